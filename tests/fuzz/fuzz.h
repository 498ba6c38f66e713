/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the targets share: what is read is decoded, as node "node1" would. */
#ifndef KPROXY_FUZZ_H
#define KPROXY_FUZZ_H

#include <stdint.h>

#include "decode/framing.h"

/* libFuzzer's entry point. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A sink that decodes each object, and touches all that a reader hands over. */
extern const struct kp_object_sink kp_fuzz_sink;

#endif
