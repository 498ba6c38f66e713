/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One element of one of our sets, and the rendering of virtual services and facts into elements. */
#ifndef KPROXY_NFT_ELEMENT_H
#define KPROXY_NFT_ELEMENT_H

#include "kproxy/plan.h"
#include "nft/layout.h"

/* nft 1.0.6 lists longer comments, but cannot load them again. */
#define KP_NFT_COMMENT_MAX 127

struct kp_nft_element {
	uint8_t set;	    /* enum kp_nft_set_id */
	uint8_t family;	    /* enum kp_family */
	bool interval_end;  /* of a plain interval set: the first address after the prefix */
	bool catchall;	    /* somebody else's: for what no other element matches; without a key */
	uint8_t prefix_len; /* of the last field, where a set has prefixes behind other fields */
	uint8_t key[KP_NFT_KEY_SIZE];	/* as the kernel has it; unused bytes are zero */
	uint8_t data[KP_NFT_DATA_SIZE]; /* of maps; unused bytes are zero */
	char *comment;			/* the whole name, NULL = none; owned by the list */
};

struct kp_nft_elements {
	size_t n, cap;
	struct kp_nft_element *items;
};

void kp_nft_elements_clear(struct kp_nft_elements *elements);

/* Appends a zeroed element. */
struct kp_nft_element *kp_nft_elements_add(struct kp_nft_elements *elements, enum kp_family family,
					   enum kp_nft_set_id set);

/* The last key of the range that a prefix behind other fields makes. */
void kp_nft_element_key_end(const struct kp_nft_element *e, uint8_t ret[KP_NFT_KEY_SIZE]);

/* Finds the prefix length out of that key. */
void kp_nft_element_set_key_end(struct kp_nft_element *e, const uint8_t end[KP_NFT_KEY_SIZE]);

/* By family, set and key, for sorting and merging. */
int kp_nft_element_compare_keys(const struct kp_nft_element *a, const struct kp_nft_element *b);

/* Same key already given: also the same data and comment. */
bool kp_nft_element_equal_content(const struct kp_nft_element *a, const struct kp_nft_element *b);

/* Sorts by key. */
void kp_nft_elements_sort(struct kp_nft_elements *elements);

/* The same, and drops the repetitions that shared sets may have. */
void kp_nft_elements_sort_unique(struct kp_nft_elements *elements);

/* The element with this key among sorted ones; NULL when there is none. */
const struct kp_nft_element *kp_nft_elements_find(const struct kp_nft_elements *elements,
						  const struct kp_nft_element *key);

/* Appends all elements of an owner's virtual services.  An element of a shared set may come more
 * than once. */
void kp_nft_render_vservices(const char *owner, const struct kp_vservices *vs,
			     struct kp_nft_elements *ret);

/* Appends the elements of the facts. */
void kp_nft_render_facts(const struct kp_facts *facts, struct kp_nft_elements *ret);

/* Reads what the renderer wrote back into a state; sorted elements of all sets of all families.
 * Elements that make no sense are passed over. */
void kp_nft_parse_state(const struct kp_nft_elements *elements, struct kp_state *ret);

/* Learns from the records of clients which affinity ids were given before, also to what is gone.
 * 'state' has been parsed and is completed; the result is freed with free(). */
struct kp_nft_clients;
struct kp_nft_clients *kp_nft_clients_new(struct kp_state *state);
void kp_nft_clients_note(void *clients, const struct kp_nft_element *e); /* NULL is ignored */

#define KP_NFT_ELEMENT_TEXT_SIZE 512

/* As nft writes it: 'ip kproxy services { 10.96.0.10 . tcp . 80 comment "default/web:http" :
 * 10.244.0.7 . 8080 }'.  Zeroed data is left out. */
const char *kp_nft_element_text(const struct kp_nft_element *e, char *buf, size_t size);

#endif
