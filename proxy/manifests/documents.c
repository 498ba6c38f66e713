/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A line that starts with "---" or "..." and white space ends a document wherever it stands, even
 * in the middle of a quoted string (YAML 1.2, c-forbidden).  Hence looking at line starts is
 * enough; nothing else of the syntax needs to be known here. */
#include "manifests/documents.h"

#include <errno.h>
#include <string.h>

#include "kproxy/err.h"

#define BUF_SIZE ((size_t)64 << 10)

/* "---" and what follows it. */
#define MARK_SIZE 4

static const char *look_ahead(struct kp_documents *d, size_t size, size_t *ret_size);
static void start_line(struct kp_documents *d);
static size_t copy_line(struct kp_documents *d, char *buf, size_t size);

void kp_documents_init(struct kp_documents *d, kp_read_fn *read, void *read_arg)
{
	static const char byte_order_mark[] = "\xef\xbb\xbf";
	const char *first;
	size_t n;

	*d = (struct kp_documents){
		.read = read,
		.read_arg = read_arg,
		.buf = kp_xmalloc(BUF_SIZE),
		.done = true,
		.at_line_start = true,
		.line = 1,
	};
	first = look_ahead(d, 3, &n);
	if (n == 3 && memcmp(first, byte_order_mark, 3) == 0)
		d->pos += 3;
}

void kp_documents_clear(struct kp_documents *d)
{
	free(KP_TAKE(d->buf));
}

bool kp_documents_next(struct kp_documents *d)
{
	char scrap[4096];
	size_t n;

	while (kp_documents_read(d, scrap, sizeof(scrap)) > 0)
		;
	look_ahead(d, 1, &n);
	if (n == 0)
		return false;
	d->done = false;
	d->in_body = false;
	d->last_line = false;
	d->start_line = d->line;
	return true;
}

size_t kp_documents_read(struct kp_documents *d, char *buf, size_t size)
{
	size_t n = 0;

	while (n < size && !d->done) {
		if (d->at_line_start)
			start_line(d);
		if (!d->done)
			n += copy_line(d, buf + n, size - n);
	}
	return n;
}

/* Makes 'size' bytes available, if the stream still has as many. */
static const char *look_ahead(struct kp_documents *d, size_t size, size_t *ret_size)
{
	if (d->end - d->pos < size) {
		memmove(d->buf, d->buf + d->pos, d->end - d->pos);
		d->end -= d->pos;
		d->pos = 0;
	}
	while (d->end < size && !d->eof) {
		ssize_t n = d->read(d->read_arg, d->buf + d->end, BUF_SIZE - d->end);

		if (n == -EINTR)
			continue;
		if (n < 0)
			d->error = n;
		if (n <= 0)
			d->eof = true;
		else
			d->end += n;
	}
	*ret_size = d->end - d->pos;
	return d->buf + d->pos;
}

static bool is_mark(const char *line, size_t size, const char *mark)
{
	return size >= 3 && memcmp(line, mark, 3) == 0 && (size == 3 || strchr(" \t\r\n", line[3]));
}

/* Decides whether the document ends before or with the line that starts here. */
static void start_line(struct kp_documents *d)
{
	size_t size;
	const char *line = look_ahead(d, MARK_SIZE, &size);

	if (size == 0) {
		d->done = true;
	} else if (is_mark(line, size, "---")) {
		d->done = d->in_body;
		d->in_body = true;
	} else if (is_mark(line, size, "...")) {
		d->last_line = true;
	} else if (!strchr("#%\r\n", *line)) {
		d->in_body = true;
	}
	if (!d->done)
		d->at_line_start = false;
}

static size_t copy_line(struct kp_documents *d, char *buf, size_t size)
{
	size_t n;
	const char *from = look_ahead(d, 1, &n);
	const char *newline;

	if (n == 0) {
		d->done = true;
		return 0;
	}
	if (n > size)
		n = size;
	newline = memchr(from, '\n', n);
	if (newline) {
		n = newline + 1 - from;
		d->line++;
		d->at_line_start = true;
		d->done = d->last_line;
	}
	memcpy(buf, from, n);
	d->pos += n;
	return n;
}
