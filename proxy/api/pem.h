/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Certificates and keys as PEM, and base64; on OpenSSL. */
#ifndef KPROXY_PEM_H
#define KPROXY_PEM_H

#include "kproxy/err.h"

/* Decodes base64 of the standard alphabet, white space ignored.  The result is text: a NUL byte in
 * it is refused.  The caller frees it. */
int kp_base64_decode(const char *text, char **ret, struct kp_err *err);

/* The caller frees the result. */
char *kp_base64_encode(const char *text);

/* 'pem' holds at least one certificate, and all can be parsed. */
int kp_pem_check_certificates(const char *pem, struct kp_err *err);

/* The key can be parsed and is that of the first certificate. */
int kp_pem_check_key(const char *certificates, const char *key, struct kp_err *err);

#endif
