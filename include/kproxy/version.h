/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KPROXY_VERSION_H
#define KPROXY_VERSION_H

#define KPROXY_VERSION "0.1"

#endif
