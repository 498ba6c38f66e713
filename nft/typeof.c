/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How nft remembers the declared type of a set: numbers that are its own, not the kernel's.  The
 * user data is a tree of (type, length, value) bytes. */
#include <string.h>

#include "nft/expr.h"

/* nft's data types, six bits each in a concatenation. */
enum {
	TYPE_INTEGER = 4,
	TYPE_IPADDR = 7,
	TYPE_IP6ADDR = 8,
	TYPE_INET_PROTOCOL = 12,
	TYPE_INET_SERVICE = 13,
	TYPE_CLASSID = 23
};

/* nft's expression and protocol numbers in "typeof" user data. */
enum {
	EXPR_PAYLOAD = 7,
	EXPR_META = 9,
	EXPR_CONCAT = 13,
	EXPR_NUMGEN = 23
};
enum {
	PROTO_TH = 11,
	PROTO_IP = 12,
	PROTO_IP6 = 13
};
enum {
	BASE_NETWORK_HEADER = 2
};
enum {
	BYTEORDER_INVALID = 0,
	BYTEORDER_HOST_ENDIAN = 1,
	BYTEORDER_BIG_ENDIAN = 2
};

/* Tags of the user data of a set. */
enum {
	SET_KEYBYTEORDER,
	SET_DATABYTEORDER,
	SET_MERGE_ELEMENTS,
	SET_KEY_TYPEOF,
	SET_DATA_TYPEOF,
	SET_DATA_INTERVAL = 6
};

uint32_t kp_nft_key_type(enum kp_family family, const uint8_t *fields)
{
	uint32_t type = 0;

	for (int i = 0; i < KP_NFT_MAX_FIELDS && fields[i]; i++) {
		type <<= 6;
		switch (fields[i]) {
		case KP_FIELD_L4PROTO:
			type |= TYPE_INET_PROTOCOL;
			break;
		case KP_FIELD_DPORT:
			type |= TYPE_INET_SERVICE;
			break;
		case KP_FIELD_SLOT:
		case KP_FIELD_SECONDS:
			type |= TYPE_INTEGER;
			break;
		case KP_FIELD_PRIORITY:
			type |= TYPE_CLASSID;
			break;
		case KP_FIELD_CLIENT:
			type |= family == KP_IPV4 ? TYPE_IPADDR : TYPE_INTEGER;
			break;
		default:
			type |= family == KP_IPV4 ? TYPE_IPADDR : TYPE_IP6ADDR;
		}
	}
	return type;
}

struct writer {
	uint8_t *buf;
	size_t len, size;
};

static void put_bytes(struct writer *w, const void *bytes, size_t len)
{
	if (w->len + len <= w->size)
		memcpy(w->buf + w->len, bytes, len);
	w->len += len;
}

static void put_u32(struct writer *w, uint8_t tag, uint32_t value)
{
	put_bytes(w, (uint8_t[]){tag, sizeof(value)}, 2);
	put_bytes(w, &value, sizeof(value));
}

/* Opens a nested value; its length is filled in by end(). */
static size_t begin(struct writer *w, uint8_t tag)
{
	put_bytes(w, (uint8_t[]){tag, 0}, 2);
	return w->len;
}

static void end(struct writer *w, size_t start)
{
	w->buf[start - 1] = w->len - start;
}

static void put_payload(struct writer *w, uint32_t protocol, uint32_t field)
{
	size_t data;

	put_u32(w, 0, EXPR_PAYLOAD);
	data = begin(w, 1);
	put_u32(w, 0, protocol);
	put_u32(w, 1, field);
	end(w, data);
}

/* @nh,96,96: bytes of the network header, counted in bits. */
static void put_raw_client(struct writer *w)
{
	size_t data;

	put_u32(w, 0, EXPR_PAYLOAD);
	data = begin(w, 1);
	put_u32(w, 0, 0);
	put_u32(w, 1, 0);
	put_u32(w, 2, BASE_NETWORK_HEADER);
	put_u32(w, 3, 96);
	put_u32(w, 4, 96);
	end(w, data);
}

/* The number of an address field in nft's description of the IP header. */
static uint32_t addr_field(enum kp_family family, enum kp_nft_field field)
{
	if (family == KP_IPV4)
		return field == KP_FIELD_SADDR ? 11 : 12;
	return field == KP_FIELD_SADDR ? 8 : 9;
}

static void put_meta(struct writer *w, uint32_t key)
{
	size_t data;

	put_u32(w, 0, EXPR_META);
	data = begin(w, 1);
	put_u32(w, 0, key);
	end(w, data);
}

static void put_field(struct writer *w, enum kp_family family, enum kp_nft_field field)
{
	size_t data;

	switch (field) {
	case KP_FIELD_L4PROTO:
		put_meta(w, NFT_META_L4PROTO);
		break;
	case KP_FIELD_PRIORITY:
		put_meta(w, NFT_META_PRIORITY);
		break;
	case KP_FIELD_CLIENT:
		if (family == KP_IPV6)
			put_raw_client(w);
		else
			put_field(w, family, KP_FIELD_SADDR);
		break;
	case KP_FIELD_DPORT:
		put_payload(w, PROTO_TH, 2);
		break;
	case KP_FIELD_SLOT:
	case KP_FIELD_SECONDS:
		put_u32(w, 0, EXPR_NUMGEN);
		data = begin(w, 1);
		put_u32(w, 0, NFT_NG_RANDOM);
		put_u32(w, 1, 65536);
		put_u32(w, 2, 0);
		end(w, data);
		break;
	default:
		put_payload(w, family == KP_IPV4 ? PROTO_IP : PROTO_IP6, addr_field(family, field));
	}
}

static void put_typeof(struct writer *w, uint8_t tag, enum kp_family family, const uint8_t *fields)
{
	size_t type = begin(w, tag), data, item;

	if (!fields[1]) {
		put_field(w, family, fields[0]);
		end(w, type);
		return;
	}
	put_u32(w, 0, EXPR_CONCAT);
	data = begin(w, 1);
	for (int i = 0; i < KP_NFT_MAX_FIELDS && fields[i]; i++) {
		item = begin(w, i);
		put_field(w, family, fields[i]);
		end(w, item);
	}
	end(w, data);
	end(w, type);
}

static uint32_t byteorder(const uint8_t *fields)
{
	if (fields[1])
		return BYTEORDER_INVALID;
	return fields[0] == KP_FIELD_PRIORITY ? BYTEORDER_HOST_ENDIAN : BYTEORDER_BIG_ENDIAN;
}

uint32_t kp_nft_set_flags(const struct kp_nft_set_desc *set)
{
	return (kp_nft_set_is_map(set) ? NFT_SET_MAP : 0U) |
	       (set->is_interval ? NFT_SET_INTERVAL : 0U) |
	       (kp_nft_set_is_concat_interval(set) ? NFT_SET_CONCAT : 0U) |
	       (set->is_dynamic ? NFT_SET_EVAL | NFT_SET_TIMEOUT : 0U);
}

size_t kp_nft_set_userdata(enum kp_family family, const struct kp_nft_set_desc *set, uint8_t *buf,
			   size_t size)
{
	struct writer w = {.buf = buf, .size = size};

	put_u32(&w, SET_KEYBYTEORDER, byteorder(set->key));
	if (kp_nft_set_is_map(set))
		put_u32(&w, SET_DATABYTEORDER, byteorder(set->data));
	put_typeof(&w, SET_KEY_TYPEOF, family, set->key);
	if (kp_nft_set_is_map(set)) {
		put_typeof(&w, SET_DATA_TYPEOF, family, set->data);
		put_u32(&w, SET_DATA_INTERVAL, 0);
	}
	return w.len;
}
