/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is asked for of each kind (IN-1 to IN-4). */
#ifndef KPROXY_SELECTION_H
#define KPROXY_SELECTION_H

#include "kproxy/model.h"

struct kp_selection {
	const char *name;	      /* "services" */
	const char *path;	      /* "/api/v1/services" */
	const char *api_version;      /* of the objects */
	const char *label_selector;   /* percent-encoded, NULL: none */
	const char *field_selector;   /* the same */
	bool field_selector_required; /* if not, a server that refuses it is asked without */
	bool optional;		      /* a cluster may do without */
};

extern const struct kp_selection kp_selections[KP_N_KINDS];

/* The field selector of our own node, percent-encoded; the caller frees it. */
char *kp_selection_node(const char *node_name);

/* Text for the query of a URL, with everything escaped that could mean something there; the caller
 * frees it. */
char *kp_query_escape(const char *text);

#endif
