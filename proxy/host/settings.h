/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files behind the host's settings, in a tree that tests can make themselves. */
#ifndef KPROXY_HOST_SETTINGS_H
#define KPROXY_HOST_SETTINGS_H

#include "kproxy/host.h"

/* As kp_host_apply(), on the files /proc and /sys below 'root' ("" for the host's own), for
 * 'n_cpus' processors. */
int kp_host_apply_in(const char *root, unsigned int n_cpus, const struct kp_host_settings *settings,
		     struct kp_err *err);

#endif
