/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kproxy takeover: shows what kube-proxy left on this node, and removes it. */
#ifndef KPROXY_CMD_TAKEOVER_H
#define KPROXY_CMD_TAKEOVER_H

/* Returns the exit status. */
int kp_cmd_takeover(int argc, char **argv);

#endif
