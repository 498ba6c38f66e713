/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KPROXY_OPTIONS_ARGUMENTS_H
#define KPROXY_OPTIONS_ARGUMENTS_H

#include "options/values.h"

/* Reads the command line as kube-proxy does: "--name=value", "--name value", "--switch",
 * "--switch=false", "-v=2", and _ for - in names (CF-3).  -EINVAL with a text that names the flag.
 */
int kp_arguments_read(int argc, char **argv, struct kp_values *values, struct kp_err *err);

#endif
