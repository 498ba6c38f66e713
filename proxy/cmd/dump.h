/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kproxy dump: what is in the kernel right now.  Needs no running daemon. */
#ifndef KPROXY_DUMP_H
#define KPROXY_DUMP_H

/* Returns the exit status. */
int kp_cmd_dump(int argc, char **argv);

#endif
