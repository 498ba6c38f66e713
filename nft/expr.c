/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft/expr.h"

#include <libnftnl/expr.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <net/if.h>
#include <stdlib.h>

/* The kernel names a register that starts on 16 bytes by its old number; rules are compared with
 * the kernel's answer, so we name them the same way. */
static uint32_t reg(unsigned int offset)
{
	return offset % 16 == 0 ? NFT_REG_1 + offset / 16 : NFT_REG32_00 + offset / 4;
}

static struct nftnl_expr *add(struct kp_nft_rule *r, const char *name)
{
	struct nftnl_expr *e = nftnl_expr_alloc(name);

	if (!e)
		abort();
	nftnl_rule_add_expr(r->nl, e);
	return e;
}

static void load_payload(struct kp_nft_rule *r, uint32_t base, uint32_t offset, uint32_t len,
			 uint32_t dreg)
{
	struct nftnl_expr *e = add(r, "payload");

	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, len);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, dreg);
}

static void load_meta(struct kp_nft_rule *r, uint32_t key, uint32_t dreg)
{
	struct nftnl_expr *e = add(r, "meta");

	nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, dreg);
}

static void compare(struct kp_nft_rule *r, uint32_t op, const void *data, uint32_t len)
{
	struct nftnl_expr *e = add(r, "cmp");

	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, op);
	nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, data, len);
}

static void mask_reg(struct kp_nft_rule *r, uint32_t sreg, const void *and, const void * xor,
		     uint32_t len)
{
	struct nftnl_expr *e = add(r, "bitwise");

	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, sreg);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, sreg);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, len);
	nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, and, len);
	nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, xor, len);
}

static void mask(struct kp_nft_rule *r, const void *and, const void * xor, uint32_t len)
{
	mask_reg(r, NFT_REG_1, and, xor, len);
}

/* Where an address stands in the IP header. */
static uint32_t addr_offset(enum kp_family family, enum kp_nft_field field)
{
	if (family == KP_IPV4)
		return field == KP_FIELD_SADDR ? 12 : 16;
	return field == KP_FIELD_SADDR ? 8 : 24;
}

static void load_addr(struct kp_nft_rule *r, enum kp_nft_field field, uint32_t len, uint32_t dreg)
{
	load_payload(r, NFT_PAYLOAD_NETWORK_HEADER, addr_offset(r->family, field), len, dreg);
}

static void load_client(struct kp_nft_rule *r, uint32_t dreg)
{
	uint32_t size = kp_nft_field_size(r->family, KP_FIELD_CLIENT);
	uint32_t skipped = kp_family_addr_size(r->family) - size;

	load_payload(r, NFT_PAYLOAD_NETWORK_HEADER,
		     addr_offset(r->family, KP_FIELD_SADDR) + skipped, size, dreg);
}

static void load_random(struct kp_nft_rule *r, uint32_t modulus, uint32_t offset, uint32_t dreg)
{
	struct nftnl_expr *e = add(r, "numgen");

	nftnl_expr_set_u32(e, NFTNL_EXPR_NG_DREG, dreg);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NG_MODULUS, modulus);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NG_TYPE, NFT_NG_RANDOM);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NG_OFFSET, offset);
}

/* Loads a set's key into the registers from 1 on.  'number' is what the packet does not tell: how
 * many slots there are, or the seconds. */
static void load_key(struct kp_nft_rule *r, const struct kp_nft_set_desc *set, uint32_t number)
{
	unsigned int offset = 0;

	for (int i = 0; i < KP_NFT_MAX_FIELDS && set->key[i]; i++) {
		switch (set->key[i]) {
		case KP_FIELD_SADDR:
		case KP_FIELD_DADDR:
			load_addr(r, set->key[i], kp_family_addr_size(r->family), reg(offset));
			break;
		case KP_FIELD_CLIENT:
			load_client(r, reg(offset));
			break;
		case KP_FIELD_L4PROTO:
			load_meta(r, NFT_META_L4PROTO, reg(offset));
			break;
		case KP_FIELD_DPORT:
			load_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, reg(offset));
			break;
		case KP_FIELD_SLOT:
			load_random(r, number, 0, reg(offset));
			break;
		case KP_FIELD_SECONDS:
			load_random(r, 1, number, reg(offset));
			break;
		case KP_FIELD_PRIORITY:
			load_meta(r, NFT_META_PRIORITY, reg(offset));
			break;
		}
		offset += kp_nft_field_size(r->family, set->key[i]);
	}
}

static struct nftnl_expr *lookup(struct kp_nft_rule *r, enum kp_nft_set_id set)
{
	struct nftnl_expr *e = add(r, "lookup");

	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
	nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, kp_nft_sets[set].name);
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_FLAGS, 0);
	return e;
}

void kp_expr_key_in_set(struct kp_nft_rule *r, enum kp_nft_set_id set)
{
	load_key(r, &kp_nft_sets[set], 0);
	lookup(r, set);
}

void kp_expr_key_not_in_set(struct kp_nft_rule *r, enum kp_nft_set_id set)
{
	load_key(r, &kp_nft_sets[set], 0);
	nftnl_expr_set_u32(lookup(r, set), NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
}

void kp_expr_saddr_in(struct kp_nft_rule *r, const struct kp_prefix *prefix, bool negate)
{
	static const struct kp_addr zero;
	struct kp_prefix all_ones = {.family = prefix->family, .len = prefix->len};
	uint32_t len = kp_family_addr_size(r->family), op = negate ? NFT_CMP_NEQ : NFT_CMP_EQ;

	/* nft loads only the bytes that count when the prefix ends on a byte. */
	if (prefix->len % 8 == 0 && prefix->len > 0) {
		load_addr(r, KP_FIELD_SADDR, prefix->len / 8, NFT_REG_1);
		compare(r, op, prefix->addr.bytes, prefix->len / 8);
		return;
	}
	for (unsigned int bit = 0; bit < prefix->len; bit++)
		all_ones.addr.bytes[bit / 8] |= 0x80 >> bit % 8;
	load_addr(r, KP_FIELD_SADDR, len, NFT_REG_1);
	mask(r, all_ones.addr.bytes, zero.bytes, len);
	compare(r, op, prefix->addr.bytes, len);
}

void kp_expr_iifname(struct kp_nft_rule *r, const char *name, bool is_prefix, bool negate)
{
	char padded[IFNAMSIZ] = "";

	strncpy(padded, name, sizeof(padded) - 1);
	load_meta(r, NFT_META_IIFNAME, NFT_REG_1);
	compare(r, negate ? NFT_CMP_NEQ : NFT_CMP_EQ, padded,
		is_prefix ? strlen(padded) : sizeof(padded));
}

static void addr_is_local(struct kp_nft_rule *r, uint32_t which)
{
	struct nftnl_expr *e = add(r, "fib");
	const uint32_t local = 2; /* RTN_LOCAL */

	nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_FLAGS, which);
	compare(r, NFT_CMP_EQ, &local, sizeof(local));
}

void kp_expr_saddr_is_local(struct kp_nft_rule *r)
{
	addr_is_local(r, NFTA_FIB_F_SADDR);
}

void kp_expr_daddr_is_local(struct kp_nft_rule *r)
{
	addr_is_local(r, NFTA_FIB_F_DADDR);
}

void kp_expr_daddr_not_loopback(struct kp_nft_rule *r)
{
	static const uint8_t loopback4[] = {127}, loopback6[16] = {[15] = 1};
	bool v4 = r->family == KP_IPV4;

	load_addr(r, KP_FIELD_DADDR, v4 ? sizeof(loopback4) : sizeof(loopback6), NFT_REG_1);
	compare(r, NFT_CMP_NEQ, v4 ? loopback4 : loopback6,
		v4 ? sizeof(loopback4) : sizeof(loopback6));
}

void kp_expr_l4proto(struct kp_nft_rule *r, uint8_t proto)
{
	load_meta(r, NFT_META_L4PROTO, NFT_REG_1);
	compare(r, NFT_CMP_EQ, &proto, sizeof(proto));
}

static void load_ct(struct kp_nft_rule *r, uint32_t key)
{
	struct nftnl_expr *e = add(r, "ct");

	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, key);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_DREG, NFT_REG_1);
}

void kp_expr_ct_state_not_new(struct kp_nft_rule *r)
{
	const uint32_t bit = NF_CT_STATE_BIT(IP_CT_NEW);

	load_ct(r, NFT_CT_STATE);
	compare(r, NFT_CMP_NEQ, &bit, sizeof(bit));
}

void kp_expr_ct_status_dnat(struct kp_nft_rule *r)
{
	const uint32_t bits = IPS_DST_NAT, zero = 0;

	load_ct(r, NFT_CT_STATUS);
	mask(r, &bits, &zero, sizeof(bits));
	compare(r, NFT_CMP_NEQ, &zero, sizeof(zero));
}

void kp_expr_mark_is_clear(struct kp_nft_rule *r, uint32_t bit)
{
	const uint32_t zero = 0;

	load_meta(r, NFT_META_MARK, NFT_REG_1);
	mask(r, &bit, &zero, sizeof(bit));
	compare(r, NFT_CMP_EQ, &zero, sizeof(zero));
}

void kp_expr_verdict(struct kp_nft_rule *r, int verdict, const char *chain)
{
	struct nftnl_expr *e = add(r, "immediate");

	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, verdict);
	if (chain)
		nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, chain);
}

static void store_meta(struct kp_nft_rule *r, uint32_t key)
{
	struct nftnl_expr *e = add(r, "meta");

	nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_SREG, NFT_REG_1);
}

static void change_meta(struct kp_nft_rule *r, uint32_t key, uint32_t and, uint32_t xor)
{
	load_meta(r, key, NFT_REG_1);
	mask(r, &and, &xor, sizeof(and));
	store_meta(r, key);
}

void kp_expr_mark_set_bit(struct kp_nft_rule *r, uint32_t bit)
{
	change_meta(r, NFT_META_MARK, ~bit, bit);
}

void kp_expr_mark_clear_bit(struct kp_nft_rule *r, uint32_t bit)
{
	change_meta(r, NFT_META_MARK, ~bit, 0);
}

void kp_expr_mark_flip_bit(struct kp_nft_rule *r, uint32_t bit)
{
	change_meta(r, NFT_META_MARK, UINT32_MAX, bit);
}

void kp_expr_masquerade(struct kp_nft_rule *r)
{
	nftnl_expr_set_u32(add(r, "masq"), NFTNL_EXPR_MASQ_FLAGS, 1U << 4 /* RANDOM_FULLY */);
}

void kp_expr_reject(struct kp_nft_rule *r, int type, uint8_t code)
{
	struct nftnl_expr *e = add(r, "reject");

	nftnl_expr_set_u32(e, NFTNL_EXPR_REJECT_TYPE, type);
	nftnl_expr_set_u8(e, NFTNL_EXPR_REJECT_CODE, code);
}

void kp_expr_dnat(struct kp_nft_rule *r, enum kp_nft_set_id map, uint32_t n_slots)
{
	uint32_t port_reg = reg(kp_nft_field_size(r->family, KP_FIELD_DADDR));
	struct nftnl_expr *e;

	load_key(r, &kp_nft_sets[map], n_slots);
	nftnl_expr_set_u32(lookup(r, map), NFTNL_EXPR_LOOKUP_DREG, NFT_REG_1);
	e = add(r, "nat");
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_TYPE, NFT_NAT_DNAT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_FAMILY,
			   r->family == KP_IPV4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_ADDR_MIN, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_ADDR_MAX, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_PROTO_MIN, port_reg);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_PROTO_MAX, port_reg);
	/* The address and port are given: NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED. */
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_FLAGS, 0x3);
}

void kp_expr_affinity_timeout(struct kp_nft_rule *r, uint32_t seconds)
{
	load_key(r, &kp_nft_sets[KP_SET_AFFINITY_TIMEOUTS], seconds);
	lookup(r, KP_SET_AFFINITY_TIMEOUTS);
}

void kp_expr_priority_has(struct kp_nft_rule *r, uint32_t bits)
{
	const uint32_t zero = 0;

	load_meta(r, NFT_META_PRIORITY, NFT_REG_1);
	mask(r, &bits, &zero, sizeof(bits));
	compare(r, NFT_CMP_NEQ, &zero, sizeof(zero));
}

void kp_expr_priority_lacks(struct kp_nft_rule *r, uint32_t bits)
{
	const uint32_t zero = 0;

	load_meta(r, NFT_META_PRIORITY, NFT_REG_1);
	mask(r, &bits, &zero, sizeof(bits));
	compare(r, NFT_CMP_EQ, &zero, sizeof(zero));
}

void kp_expr_priority_reset(struct kp_nft_rule *r)
{
	struct nftnl_expr *e = add(r, "immediate");
	const uint32_t zero = 0;

	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_1);
	nftnl_expr_set(e, NFTNL_EXPR_IMM_DATA, &zero, sizeof(zero));
	store_meta(r, NFT_META_PRIORITY);
}

void kp_expr_priority_change(struct kp_nft_rule *r, uint32_t and, uint32_t xor)
{
	change_meta(r, NFT_META_PRIORITY, and, xor);
}

void kp_expr_priority_from(struct kp_nft_rule *r, enum kp_nft_set_id map, uint32_t n_slots)
{
	load_key(r, &kp_nft_sets[map], n_slots);
	nftnl_expr_set_u32(lookup(r, map), NFTNL_EXPR_LOOKUP_DREG, NFT_REG_1);
	store_meta(r, NFT_META_PRIORITY);
}

static void change_client(struct kp_nft_rule *r, uint32_t op, uint32_t timeout_s)
{
	const struct kp_nft_set_desc *set = &kp_nft_sets[KP_SET_AFFINITY_CLIENTS];
	const uint32_t record = KP_NFT_AFFINITY_RECORD, zero = 0;
	unsigned int size = kp_nft_fields_size(r->family, set->key);
	uint32_t data_reg = reg((size + 15) / 16 * 16);
	struct nftnl_expr *e;

	load_key(r, set, 0);
	mask_reg(r, reg(kp_nft_last_field_offset(r->family, set->key)), &record, &zero,
		 sizeof(record));
	load_meta(r, NFT_META_PRIORITY, data_reg);
	e = add(r, "dynset");
	nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_OP, op);
	nftnl_expr_set_str(e, NFTNL_EXPR_DYNSET_SET_NAME, set->name);
	nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_SREG_KEY, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_SREG_DATA, data_reg);
	nftnl_expr_set_u64(e, NFTNL_EXPR_DYNSET_TIMEOUT, timeout_s * 1000ULL);
}

void kp_expr_affinity_remember(struct kp_nft_rule *r, uint32_t timeout_s)
{
	change_client(r, NFT_DYNSET_OP_UPDATE, timeout_s);
}

void kp_expr_affinity_forget(struct kp_nft_rule *r)
{
	change_client(r, NFT_DYNSET_OP_DELETE, 0);
}
