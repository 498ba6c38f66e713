/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft/layout.h"

#define FRONTEND KP_FIELD_DADDR, KP_FIELD_L4PROTO, KP_FIELD_DPORT
#define NODEPORT KP_FIELD_L4PROTO, KP_FIELD_DPORT

const struct kp_nft_set_desc kp_nft_sets[KP_N_SETS] = {
	[KP_SET_SERVICES] = {"services", {FRONTEND}, .is_map = true},
	[KP_SET_ENDPOINTS] = {"endpoints", {FRONTEND, KP_FIELD_SLOT}, .is_map = true},
	[KP_SET_SLOTS_2] = {"slots-2", {FRONTEND}},
	[KP_SET_SLOTS_4] = {"slots-4", {FRONTEND}},
	[KP_SET_SLOTS_8] = {"slots-8", {FRONTEND}},
	[KP_SET_SLOTS_16] = {"slots-16", {FRONTEND}},
	[KP_SET_EXTERNAL] = {"external-services", {FRONTEND}},
	[KP_SET_NO_ENDPOINTS] = {"no-endpoints", {FRONTEND}},
	[KP_SET_NODEPORTS] = {"nodeports", {NODEPORT}, .is_map = true},
	[KP_SET_NODEPORT_ENDPOINTS] = {"nodeport-endpoints",
				       {NODEPORT, KP_FIELD_SLOT},
				       .is_map = true},
	[KP_SET_NODEPORT_SLOTS_2] = {"nodeport-slots-2", {NODEPORT}},
	[KP_SET_NODEPORT_SLOTS_4] = {"nodeport-slots-4", {NODEPORT}},
	[KP_SET_NODEPORT_SLOTS_8] = {"nodeport-slots-8", {NODEPORT}},
	[KP_SET_NODEPORT_SLOTS_16] = {"nodeport-slots-16", {NODEPORT}},
	[KP_SET_NODEPORT_EXTERNAL] = {"external-nodeports", {NODEPORT}},
	[KP_SET_NODEPORT_NO_ENDPOINTS] = {"nodeport-no-endpoints", {NODEPORT}},
	[KP_SET_HAIRPINS] = {"hairpins", {KP_FIELD_SADDR, KP_FIELD_DADDR}, .is_shared = true},
	[KP_SET_CLUSTER_IPS] = {"cluster-ips", {KP_FIELD_DADDR}, .is_shared = true},
	[KP_SET_NODEPORT_IPS] = {"nodeport-ips", {KP_FIELD_DADDR}, .is_interval = true},
	[KP_SET_SERVICE_CIDRS] = {"service-cidrs", {KP_FIELD_DADDR}, .is_interval = true},
};

const uint8_t kp_nft_target[KP_NFT_MAX_FIELDS] = {KP_FIELD_DADDR, KP_FIELD_DPORT};

unsigned int kp_nft_field_size(enum kp_family family, enum kp_nft_field field)
{
	switch (field) {
	case KP_FIELD_SADDR:
	case KP_FIELD_DADDR:
		return kp_family_addr_size(family);
	default:
		return sizeof(uint32_t);
	}
}

unsigned int kp_nft_key_size(enum kp_family family, const struct kp_nft_set_desc *set)
{
	unsigned int size = 0;

	for (int i = 0; i < KP_NFT_MAX_FIELDS && set->key[i]; i++)
		size += kp_nft_field_size(family, set->key[i]);
	return size;
}

unsigned int kp_nft_data_size(enum kp_family family)
{
	return kp_nft_field_size(family, KP_FIELD_DADDR) +
	       kp_nft_field_size(family, KP_FIELD_DPORT);
}

unsigned int kp_nft_size_of(uint32_t n)
{
	unsigned int size = 0;

	while ((1U << size) < n)
		size++;
	return size;
}

/* Common sizes have few bits, because each bit is an element per frontend. */
static const uint8_t codes[KP_NFT_N_SIZES] = {
	0x0, 0x1, 0x2, 0x4, 0x8, 0x3, 0x5, 0x6, 0x9, 0xa, 0xc, 0x7, 0xb, 0xd, 0xe, 0xf,
};

unsigned int kp_nft_slots_code(unsigned int size)
{
	return codes[size];
}

unsigned int kp_nft_slots_decode(unsigned int code)
{
	unsigned int size = 0;

	while (codes[size] != code)
		size++;
	return size;
}
