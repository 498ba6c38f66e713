/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/pem.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "api/config.h"

int kp_base64_decode(const char *text, char **ret, struct kp_err *err)
{
	char *compact = kp_xmalloc(strlen(text) + 1), *out;
	size_t len = 0;
	int size;

	for (; *text; text++)
		if (!strchr(" \t\r\n", *text))
			compact[len++] = *text;
	compact[len] = 0;
	out = kp_xmalloc(len / 4 * 3 + 1);
	size = len % 4 ? -1 : EVP_DecodeBlock((unsigned char *)out, (unsigned char *)compact, len);
	kp_wipe(compact);
	if (size < 0) {
		free(out);
		return kp_err_set(err, EINVAL, "not base64");
	}
	/* OpenSSL counts the padding as bytes that are zero. */
	while (size > 0 && out[size - 1] == 0)
		size--;
	out[size] = 0;
	if (memchr(out, 0, size)) {
		free(out);
		return kp_err_set(err, EINVAL, "not text in base64");
	}
	*ret = out;
	return 0;
}

char *kp_base64_encode(const char *text)
{
	size_t len = strlen(text);
	char *out = kp_xmalloc((len + 2) / 3 * 4 + 1);

	EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)text, len);
	return out;
}

static X509 *next_certificate(BIO *bio)
{
	return PEM_read_bio_X509(bio, NULL, NULL, NULL);
}

int kp_pem_check_certificates(const char *pem, struct kp_err *err)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	unsigned long error;
	X509 *certificate;
	size_t n = 0;

	ERR_clear_error();
	for (; (certificate = next_certificate(bio)); n++)
		X509_free(certificate);
	error = ERR_peek_last_error();
	ERR_clear_error();
	BIO_free(bio);
	if (n == 0)
		return kp_err_set(err, EINVAL, "holds no PEM certificate");
	if (ERR_GET_REASON(error) != PEM_R_NO_START_LINE)
		return kp_err_set(err, EINVAL, "certificate %zu cannot be parsed", n + 1);
	return 0;
}

/* An encrypted key would make OpenSSL ask on the terminal. */
static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)arg;
	return -1;
}

int kp_pem_check_key(const char *certificates, const char *key, struct kp_err *err)
{
	BIO *certificate_bio = BIO_new_mem_buf(certificates, -1);
	BIO *key_bio = BIO_new_mem_buf(key, -1);
	X509 *certificate = next_certificate(certificate_bio);
	EVP_PKEY *parsed = PEM_read_bio_PrivateKey(key_bio, NULL, no_passphrase, NULL);
	int r = 0;

	if (!certificate)
		r = kp_err_set(err, EINVAL, "client certificate: holds no PEM certificate");
	else if (!parsed)
		r = kp_err_set(err, EINVAL, "client key: not an unencrypted PEM key");
	else if (X509_check_private_key(certificate, parsed) != 1)
		r = kp_err_set(err, EINVAL, "client key: not the key of the client certificate");
	EVP_PKEY_free(parsed);
	X509_free(certificate);
	BIO_free(key_bio);
	BIO_free(certificate_bio);
	ERR_clear_error();
	return r;
}
