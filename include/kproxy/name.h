/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared names.  Namespaces, port names and zones are the same few words in every object: each is
 * kept once and counted.  Not for use by several threads. */
#ifndef KPROXY_NAME_H
#define KPROXY_NAME_H

/* The shared copy of 'text', to be given back with kp_name_put(). */
const char *kp_name_get(const char *text);

/* Gives one back; NULL does nothing. */
void kp_name_put(const char *name);

#endif
