/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cuts a YAML stream into documents before a parser sees it, so that a syntax error in one does
 * not spoil those behind it. */
#ifndef KPROXY_DOCUMENTS_H
#define KPROXY_DOCUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Reads up to 'size' bytes: their number, 0 at the end, or a negative errno. */
typedef ssize_t kp_read_fn(void *arg, char *buf, size_t size);

struct kp_documents {
	kp_read_fn *read;
	void *read_arg;
	char *buf;
	size_t pos, end;
	bool eof;
	int error; /* negative errno of a read that failed; it ends the stream */

	bool at_line_start;
	bool in_body;	   /* behind the directives and comments that may stand before a document */
	bool last_line;	   /* this line is the document's last */
	bool done;	   /* the current document has been read */
	unsigned int line; /* of the next byte, from 1 */
	unsigned int start_line; /* of the current document, from 1 */
};

void kp_documents_init(struct kp_documents *documents, kp_read_fn *read, void *read_arg);
void kp_documents_clear(struct kp_documents *documents);

/* Goes to the next document, passing over what is left of the current one; false at the end. */
bool kp_documents_next(struct kp_documents *documents);

/* Reads from the current document; 0 at its end. */
size_t kp_documents_read(struct kp_documents *documents, char *buf, size_t size);

#endif
