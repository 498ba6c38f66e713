/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a data path must be able to do.  Backends see states and plans, never a Kubernetes object.
 */
#ifndef KPROXY_BACKEND_H
#define KPROXY_BACKEND_H

#include <stdio.h>

#include "kproxy/plan.h"

/* How packets of pods are told from others. */
enum kp_detect {
	KP_DETECT_RANGE,	    /* the source is in pod_range (LD-2) */
	KP_DETECT_INTERFACE,	    /* they come in by the interface pod_interface (LD-4) */
	KP_DETECT_INTERFACE_PREFIX, /* ... or by one whose name starts like that */
};

#define KP_BPF_ROOT "/sys/fs/bpf" /* where distributions mount the bpf file system */

/* Where the socket hooks go and whom they serve; strings are borrowed. */
struct kp_hook_settings {
	const char *cgroup_root; /* NULL = found by itself */
	const char *bpf_root;	 /* a bpf file system, for what outlives the process */
	bool node_only;		 /* leave pods to nft */
	bool udp;
	bool strict; /* without hooks, fail */
};

/* What shapes the rules. */
struct kp_settings {
	enum kp_detect detect;
	bool has_pod_range[KP_N_FAMILIES]; /* without, pods of this family are unknown (LD-1) */
	struct kp_prefix pod_range[KP_N_FAMILIES];
	char pod_interface[16];
	bool masquerade_all;
	bool own_table;		  /* nobody else can change the rules while we run */
	uint32_t masquerade_mark; /* one bit, host byte order (MQ-1) */
	struct kp_hook_settings hooks;
};

/* What one apply cost. */
struct kp_apply_stats {
	size_t n_ops;	   /* elements, chains, rules, sets put or removed, all in force */
	size_t n_bytes;	   /* netlink bytes of that */
	int64_t kernel_us; /* time from the first byte sent to the last answer read */
	bool restructured; /* the rules themselves had to be made or mended */
};

/* What others may have done to what we installed. */
enum kp_damage {
	KP_DAMAGE_NONE,
	KP_DAMAGE_KNOWN,   /* repair() puts it right */
	KP_DAMAGE_UNKNOWN, /* a full plan does */
};

struct kp_backend; /* each backend's own */

struct kp_backend_ops {
	const char *name; /* "nft", "bpf" */

	/* Opens the kernel interface; changes nothing.  -EPERM and -EPROTONOSUPPORT tell what is
	 * missing and what to do.  '*settings' is copied. */
	int (*open)(const struct kp_settings *settings, struct kp_backend **ret,
		    struct kp_err *err);

	/* Changes the settings; a full apply has to follow. */
	void (*configure)(struct kp_backend *be, const struct kp_settings *settings);

	/* Reads what is installed into '*ret' (empty on entry, the caller clears it).  Nothing
	 * installed is an empty state and no error.  What cannot be understood is left out: a full
	 * apply removes it. */
	int (*readback)(struct kp_backend *be, struct kp_state *ret, struct kp_err *err);

	/* Prints what is installed in the words of the backend's own tools; with 'owner', only what
	 * belongs to this one. */
	int (*list)(struct kp_backend *be, const char *owner, FILE *out, struct kp_err *err);

	/* Carries a plan out, in one transaction: all of it or, with an error that names the
	 * culprit, nothing.  After an error, the next plan must be a full one.  A full plan leaves
	 * alone what is already right. */
	int (*apply)(struct kp_backend *be, const struct kp_plan *plan,
		     struct kp_apply_stats *stats, struct kp_err *err);

	/* As a full apply, but starts from nothing: removes everything of ours and makes it anew,
	 * in one transaction.  The last resort. */
	int (*rebuild)(struct kp_backend *be, const struct kp_plan *plan,
		       struct kp_apply_stats *stats, struct kp_err *err);

	/* Puts back what others changed, as was_changed() or missed_change() found it; 'state' is
	 * what the last apply led to.  Reads no more of the kernel than what was damaged.  After
	 * an error, the next plan must be a full one. */
	int (*repair)(struct kp_backend *be, const struct kp_state *state,
		      struct kp_apply_stats *stats, struct kp_err *err);

	/* A descriptor that becomes readable when someone else changes the kernel's side.  It
	 * belongs to the backend. */
	int (*watch)(struct kp_backend *be, int *ret_fd, struct kp_err *err);

	/* Reads that descriptor. */
	enum kp_damage (*was_changed)(struct kp_backend *be);

	/* The same, and looks for a change that the descriptor did not tell of.  Cheap, whatever is
	 * installed; called every second, after watch(). */
	enum kp_damage (*missed_change)(struct kp_backend *be);

	/* Removes everything of ours from the kernel.  Nothing there is no error. */
	int (*cleanup)(struct kp_backend *be, struct kp_err *err);

	void (*close)(struct kp_backend *be); /* accepts NULL; leaves the kernel as it is */
};

extern const struct kp_backend_ops kp_nft_backend;
extern const struct kp_backend_ops kp_hybrid_backend; /* nft, and socket hooks on top of it */

#endif
