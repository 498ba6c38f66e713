/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Errors with context, cleanup attributes and checked allocation.
 *
 * A function that can fail returns 0 or a negative errno and fills the caller's 'struct kp_err'.
 * Failing allocates nothing.  The error is logged once, by whoever decides what happens next. */
#ifndef KPROXY_ERR_H
#define KPROXY_ERR_H

#include <stddef.h>
#include <stdlib.h>

struct kp_err {
	int code;	/* negative errno, 0 when unset */
	char text[768]; /* one line, no newline */
};

#define KP_ERR_INIT       \
	{                 \
		.code = 0 \
	}

/* Sets the error from a printf format and returns -code; 'code' is a positive errno.  'err' may be
 * NULL. */
int kp_err_set(struct kp_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* As kp_err_set(), and appends ": " and the text of 'code'. */
int kp_err_errno(struct kp_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "context: " in front of an error that is already set; returns its code. */
int kp_err_wrap(struct kp_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Small allocations abort when memory runs out: the rules stay in the kernel while the process is
 * started again. */
void *kp_xmalloc(size_t size);
void *kp_xcalloc(size_t n, size_t size);
void *kp_xrealloc(void *p, size_t size);
char *kp_xstrdup(const char *s);
char *kp_xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define KP_CLEANUP(f) __attribute__((cleanup(f)))

static inline void kp_freep(void *p)
{
	free(*(void **)p);
}
#define kp_autofree KP_CLEANUP(kp_freep)

/* Hands ownership over: yields the pointer and leaves NULL behind. */
#define KP_TAKE(p)                          \
	({                                  \
		__typeof__(p) taken_ = (p); \
		(p) = NULL;                 \
		taken_;                     \
	})

#endif
