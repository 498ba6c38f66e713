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

struct kp_nft_element *kp_nft_elements_add(struct kp_nft_elements *elements, enum kp_family family,
					   enum kp_nft_set_id set)
{
	struct kp_nft_element *e;

	if (elements->n == elements->cap) {
		elements->cap = elements->cap ? 2 * elements->cap : 32;
		elements->items = kp_xrealloc(elements->items,
					      elements->cap * sizeof(*elements->items));
	}
	e = &elements->items[elements->n++];
	memset(e, 0, sizeof(*e));
	e->family = family;
	e->set = set;
	return e;
}

void kp_nft_element_key_end(const struct kp_nft_element *e, uint8_t ret[KP_NFT_KEY_SIZE])
{
	const uint8_t *fields = kp_nft_sets[e->set].key;
	uint8_t *last = ret + kp_nft_last_field_offset(e->family, fields);
	unsigned int bits = kp_family_addr_size(e->family) * 8;

	memcpy(ret, e->key, KP_NFT_KEY_SIZE);
	for (unsigned int bit = e->prefix_len; bit < bits; bit++)
		last[bit / 8] |= 0x80 >> bit % 8;
}

void kp_nft_element_set_key_end(struct kp_nft_element *e, const uint8_t end[KP_NFT_KEY_SIZE])
{
	unsigned int offset = kp_nft_last_field_offset(e->family, kp_nft_sets[e->set].key);
	unsigned int bits = kp_family_addr_size(e->family) * 8, len = 0;
	const uint8_t *a = e->key + offset, *b = end + offset;

	while (len < bits && !((a[len / 8] ^ b[len / 8]) & 0x80 >> len % 8))
		len++;
	e->prefix_len = len;
}

int kp_nft_element_compare_keys(const struct kp_nft_element *a, const struct kp_nft_element *b)
{
	int r;

	if (a->family != b->family)
		return (int)a->family - (int)b->family;
	if (a->set != b->set)
		return (int)a->set - (int)b->set;
	r = memcmp(a->key, b->key, sizeof(a->key));
	if (r == 0)
		r = (int)a->catchall - (int)b->catchall;
	if (r == 0)
		r = (int)a->prefix_len - (int)b->prefix_len;
	/* Where two prefixes touch, the first ends before the second starts: the kernel takes a
	 * start within an open interval for an overlap. */
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

void kp_nft_elements_sort_unique(struct kp_nft_elements *elements)
{
	size_t kept = 0;

	kp_nft_elements_sort(elements);
	for (size_t i = 0; i < elements->n; i++) {
		if (kept > 0 && compare(&elements->items[kept - 1], &elements->items[i]) == 0)
			free(elements->items[i].comment);
		else
			elements->items[kept++] = elements->items[i];
	}
	elements->n = kept;
}

const struct kp_nft_element *kp_nft_elements_find(const struct kp_nft_elements *elements,
						  const struct kp_nft_element *key)
{
	return elements->n ? bsearch(key, elements->items, elements->n, sizeof(*key), compare)
			   : NULL;
}

static void print_addr(enum kp_family family, const uint8_t *bytes, char *buf)
{
	struct kp_addr addr = {0};

	memcpy(addr.bytes, bytes, kp_family_addr_size(family));
	kp_addr_text(family, &addr, buf);
}

/* Prints a key or data made of these fields, with " . " between; returns the length. */
static size_t print_fields(enum kp_family family, const uint8_t *fields, const uint8_t *at,
			   char *buf, size_t size)
{
	char part[KP_ADDR_TEXT_SIZE];
	size_t len = 0;

	for (int i = 0; i < KP_NFT_MAX_FIELDS && fields[i] && len < size; i++) {
		uint32_t number;

		switch (fields[i]) {
		case KP_FIELD_L4PROTO:
			snprintf(part, sizeof(part), "%s", kp_proto_name_lower(*at));
			break;
		case KP_FIELD_DPORT:
			snprintf(part, sizeof(part), "%u", at[0] << 8 | at[1]);
			break;
		case KP_FIELD_SLOT:
		case KP_FIELD_SECONDS:
			memcpy(&number, at, sizeof(number));
			snprintf(part, sizeof(part), "%u", number);
			break;
		case KP_FIELD_PRIORITY:
			memcpy(&number, at, sizeof(number));
			snprintf(part, sizeof(part), "%x:%x", number >> 16, number & 0xffff);
			break;
		default:
			print_addr(family, at, part);
		}
		len += snprintf(buf + len, size - len, "%s%s", i ? " . " : "", part);
		at += kp_nft_field_size(family, fields[i]);
	}
	return len;
}

static bool has_data(const struct kp_nft_element *e)
{
	static const uint8_t none[KP_NFT_DATA_SIZE];

	return memcmp(e->data, none, sizeof(none)) != 0;
}

const char *kp_nft_element_text(const struct kp_nft_element *e, char *buf, size_t size)
{
	const struct kp_nft_set_desc *set = &kp_nft_sets[e->set];
	char key[3 * KP_ADDR_TEXT_SIZE], data[2 * KP_ADDR_TEXT_SIZE] = "";
	size_t len = print_fields(e->family, set->key, e->key, key, sizeof(key));

	if (kp_nft_set_is_concat_interval(set) && len < sizeof(key))
		snprintf(key + len, sizeof(key) - len, "/%u", e->prefix_len);
	if (has_data(e))
		print_fields(e->family, set->data, e->data, data, sizeof(data));
	snprintf(buf, size, "%s " KP_NFT_TABLE " %s { %s%s%.*s%s%s%s }",
		 e->family == KP_IPV4 ? "ip" : "ip6", set->name, key,
		 e->comment ? " comment \"" : "", KP_NFT_COMMENT_MAX, e->comment ? e->comment : "",
		 e->comment ? "\"" : "", *data ? " : " : "", data);
	return buf;
}
