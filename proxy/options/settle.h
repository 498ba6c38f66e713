/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KPROXY_OPTIONS_SETTLE_H
#define KPROXY_OPTIONS_SETTLE_H

#include "options/values.h"

/* Completes 'o->values' with defaults, brings what other modes of kube-proxy are told into the
 * terms of nftables, and fills the rest of '*o'.  'by_file' tells what an empty mode means (CF-9).
 * -EINVAL names the flag or the field (CF-10). */
int kp_options_settle(struct kp_options *o, bool by_file, struct kp_err *err);

#endif
