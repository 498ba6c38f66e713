/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft/element.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

void kp_nft_elements_clear(struct kp_nft_elements *elements)
{
	for (size_t i = 0; i < elements->n; i++)
		free(elements->items[i].comment);
	free(elements->items);
	memset(elements, 0, sizeof(*elements));
}

struct kp_nft_element *kp_nft_elements_add(struct kp_nft_elements *elements,
					   enum kp_family family, enum kp_nft_set_id set)
{
	struct kp_nft_element *e;

	if (elements->n == elements->cap) {
		elements->cap = elements->cap ? 2 * elements->cap : 32;
		elements->items =
			kp_xrealloc(elements->items, elements->cap * sizeof(*elements->items));
	}
	e = &elements->items[elements->n++];
	memset(e, 0, sizeof(*e));
	e->family = family;
	e->set = set;
	return e;
}

int kp_nft_element_compare_keys(const struct kp_nft_element *a, const struct kp_nft_element *b)
{
	int r;

	if (a->family != b->family)
		return (int)a->family - (int)b->family;
	if (a->set != b->set)
		return (int)a->set - (int)b->set;
	r = memcmp(a->key, b->key, sizeof(a->key));
	/* Where two prefixes touch, the first ends before the second starts: the kernel takes a start
	 * within an open interval for an overlap. */
	return r ? r : (int)b->interval_end - (int)a->interval_end;
}

bool kp_nft_element_equal_content(const struct kp_nft_element *a, const struct kp_nft_element *b)
{
	return memcmp(a->data, b->data, sizeof(a->data)) == 0 &&
	       strcmp(a->comment ? a->comment : "", b->comment ? b->comment : "") == 0;
}

static int compare(const void *a, const void *b)
{
	return kp_nft_element_compare_keys(a, b);
}

void kp_nft_elements_sort(struct kp_nft_elements *elements)
{
	if (elements->n > 1)
		qsort(elements->items, elements->n, sizeof(*elements->items), compare);
}

static void print_addr(enum kp_family family, const uint8_t *bytes, char *buf)
{
	struct kp_addr addr = {0};

	memcpy(addr.bytes, bytes, kp_family_addr_size(family));
	kp_addr_text(family, &addr, buf);
}

const char *kp_nft_element_text(const struct kp_nft_element *e, char *buf, size_t size)
{
	const struct kp_nft_set_desc *set = &kp_nft_sets[e->set];
	const uint8_t *key = e->key;
	char part[KP_ADDR_TEXT_SIZE];
	size_t len;

	len = snprintf(buf, size, "%s " KP_NFT_TABLE " %s {",
		       e->family == KP_IPV4 ? "ip" : "ip6", set->name);
	for (int i = 0; i < KP_NFT_MAX_FIELDS && set->key[i] && len < size; i++) {
		uint32_t slot;

		switch (set->key[i]) {
		case KP_FIELD_L4PROTO:
			snprintf(part, sizeof(part), "%s", kp_proto_name_lower(*key));
			break;
		case KP_FIELD_DPORT:
			snprintf(part, sizeof(part), "%u", key[0] << 8 | key[1]);
			break;
		case KP_FIELD_SLOT:
			memcpy(&slot, key, sizeof(slot));
			snprintf(part, sizeof(part), "%u", slot);
			break;
		default:
			print_addr(e->family, key, part);
		}
		len += snprintf(buf + len, size - len, "%s %s", i ? " ." : "", part);
		key += kp_nft_field_size(e->family, set->key[i]);
	}
	if (len < size)
		snprintf(buf + len, size - len, " }");
	return buf;
}
