/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One row for each option: its names, what it may hold, where it goes, and what people are told. */
#ifndef KPROXY_OPTIONS_TABLE_H
#define KPROXY_OPTIONS_TABLE_H

#include <stdint.h>

#include "options/options.h"

/* What a value is.  Whatever it is, it is kept as text, in the form that a flag takes. */
enum kp_option_type {
	KP_OPTION_SWITCH,   /* "true" or "false" */
	KP_OPTION_NUMBER,   /* a whole number, min to max */
	KP_OPTION_FRACTION, /* a number */
	KP_OPTION_DURATION, /* "1m30s", at least 'min' ms */
	KP_OPTION_TEXT,
	KP_OPTION_LIST,	  /* texts, comma separated */
	KP_OPTION_GATES,  /* "Name=true,Other=false" */
	KP_OPTION_OPAQUE, /* anything; never looked at */
};

enum kp_option_effect {
	KP_OPTION_HONOURED,
	KP_OPTION_MAPPED, /* means what it means to kube-proxy, by other means: 'help' says which */
	KP_OPTION_IGNORED, /* accepted: 'help' says why nothing follows */
};

/* Headings of --help. */
enum kp_option_group {
	KP_GROUP_CONFIG,
	KP_GROUP_OBJECTS,
	KP_GROUP_NODE,
	KP_GROUP_PODS,
	KP_GROUP_SERVICES,
	KP_GROUP_SYNC,
	KP_GROUP_HOOKS,
	KP_GROUP_HTTP,
	KP_GROUP_HOST,
	KP_GROUP_LOG,
	KP_GROUP_ACTIONS,
	KP_N_GROUPS
};

enum {
	/* Counts next to --config too, although there is a field for it (CF-2). */
	KP_OPTION_BESIDE_FILE = 1,
	/* Has no field, but does not count next to --config. */
	KP_OPTION_WITHOUT_FILE = 2,
	/* In a file, zero means the default. */
	KP_OPTION_ZERO_IS_UNSET = 4,
	/* An empty text is refused. */
	KP_OPTION_NOT_EMPTY = 8,
};

/* kube-proxy's modes, as bits. */
enum {
	KP_MODE_IPTABLES = 1,
	KP_MODE_IPVS = 2,
	KP_MODE_NFTABLES = 4,
};

struct kp_option {
	const char *flag;     /* without dashes; NULL: there is none.  Two rows may share one */
	const char *field;    /* path in the file; NULL: there is none */
	uint8_t group;	      /* enum kp_option_group */
	uint8_t type;	      /* enum kp_option_type */
	uint8_t effect;	      /* enum kp_option_effect */
	uint8_t bits;	      /* KP_OPTION_* */
	const char *value;    /* what --help calls the value; NULL: the type's name */
	const char *expected; /* what an error asks for; NULL: 'value' */
	const char *preset;   /* the default; NULL: "" */
	long min, max;	      /* of numbers; 'min' also of durations, in ms */

	/* In these of kube-proxy's modes, the value becomes that of the field 'becomes'. */
	uint8_t modes;
	const char *becomes;

	/* Where it goes: to 'at' bytes into struct kp_options, or through a function which returns
	 * -EINVAL for what it does not understand.  The text lives as long as the options. */
	size_t at;
	int (*set)(struct kp_options *o, const char *value);

	const char *help;
};

extern const struct kp_option kp_option_table[];
extern const size_t kp_n_options;

/* The name that is known to whoever gave the value: "--cluster-cidr" or "clusterCIDR". */
const char *kp_option_name(const struct kp_option *option, bool by_flag, char buf[64]);

/* What --help calls the value, such as "DURATION". */
const char *kp_option_value_name(const struct kp_option *option);

/* True when an earlier row has the same flag. */
bool kp_option_repeats_flag(const struct kp_option *option);

#endif
