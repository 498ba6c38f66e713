/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KPROXY_HTTP_CONFIGZ_H
#define KPROXY_HTTP_CONFIGZ_H

#include <jansson.h>

#include "options/options.h"

/* The configuration in effect, as kube-proxy's KubeProxyConfiguration (MS-1); the caller owns
 * it. */
json_t *kp_configz(const struct kp_options *options, const char *backend);

/* How kube-proxy calls the mode of a backend: "nftables" for "nft". */
const char *kp_proxy_mode(const char *backend);

#endif
