/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft/layout.h"

#include <string.h>

#define FRONTEND KP_FIELD_DADDR, KP_FIELD_L4PROTO, KP_FIELD_DPORT
#define NODEPORT KP_FIELD_L4PROTO, KP_FIELD_DPORT
#define ENDPOINT                               \
	{                                      \
		KP_FIELD_DADDR, KP_FIELD_DPORT \
	}
#define ID                        \
	{                         \
		KP_FIELD_PRIORITY \
	}

const struct kp_nft_set_desc kp_nft_sets[KP_N_SETS] = {
	[KP_SET_SERVICES] = {"services", {FRONTEND}, ENDPOINT},
	[KP_SET_ENDPOINTS] = {"endpoints", {FRONTEND, KP_FIELD_SLOT}, ENDPOINT},
	[KP_SET_SLOTS_2] = {"slots-2", {FRONTEND}},
	[KP_SET_SLOTS_4] = {"slots-4", {FRONTEND}},
	[KP_SET_SLOTS_8] = {"slots-8", {FRONTEND}},
	[KP_SET_SLOTS_16] = {"slots-16", {FRONTEND}},
	[KP_SET_LOCAL_SERVICES] = {"local-services", {FRONTEND}, ENDPOINT},
	[KP_SET_LOCAL_ENDPOINTS] = {"local-endpoints", {FRONTEND, KP_FIELD_SLOT}, ENDPOINT},
	[KP_SET_LOCAL_SLOTS_2] = {"local-slots-2", {FRONTEND}},
	[KP_SET_LOCAL_SLOTS_4] = {"local-slots-4", {FRONTEND}},
	[KP_SET_LOCAL_SLOTS_8] = {"local-slots-8", {FRONTEND}},
	[KP_SET_LOCAL_SLOTS_16] = {"local-slots-16", {FRONTEND}},
	[KP_SET_EXTERNAL] = {"external-services", {FRONTEND}},
	[KP_SET_EXTERNAL_LOCAL] = {"external-local-services", {FRONTEND}},
	[KP_SET_NO_ENDPOINTS] = {"no-endpoints", {FRONTEND}},
	[KP_SET_NO_LOCAL_ENDPOINTS] = {"no-local-endpoints", {FRONTEND}},
	[KP_SET_STICKY] = {"sticky-services", {FRONTEND}, ID},
	[KP_SET_NODEPORTS] = {"nodeports", {NODEPORT}, ENDPOINT},
	[KP_SET_NODEPORT_ENDPOINTS] = {"nodeport-endpoints", {NODEPORT, KP_FIELD_SLOT}, ENDPOINT},
	[KP_SET_NODEPORT_SLOTS_2] = {"nodeport-slots-2", {NODEPORT}},
	[KP_SET_NODEPORT_SLOTS_4] = {"nodeport-slots-4", {NODEPORT}},
	[KP_SET_NODEPORT_SLOTS_8] = {"nodeport-slots-8", {NODEPORT}},
	[KP_SET_NODEPORT_SLOTS_16] = {"nodeport-slots-16", {NODEPORT}},
	[KP_SET_LOCAL_NODEPORTS] = {"local-nodeports", {NODEPORT}, ENDPOINT},
	[KP_SET_LOCAL_NODEPORT_ENDPOINTS] = {"local-nodeport-endpoints",
					     {NODEPORT, KP_FIELD_SLOT},
					     ENDPOINT},
	[KP_SET_LOCAL_NODEPORT_SLOTS_2] = {"local-nodeport-slots-2", {NODEPORT}},
	[KP_SET_LOCAL_NODEPORT_SLOTS_4] = {"local-nodeport-slots-4", {NODEPORT}},
	[KP_SET_LOCAL_NODEPORT_SLOTS_8] = {"local-nodeport-slots-8", {NODEPORT}},
	[KP_SET_LOCAL_NODEPORT_SLOTS_16] = {"local-nodeport-slots-16", {NODEPORT}},
	[KP_SET_NODEPORT_EXTERNAL] = {"external-nodeports", {NODEPORT}},
	[KP_SET_NODEPORT_EXTERNAL_LOCAL] = {"external-local-nodeports", {NODEPORT}},
	[KP_SET_NODEPORT_NO_ENDPOINTS] = {"nodeport-no-endpoints", {NODEPORT}},
	[KP_SET_NODEPORT_NO_LOCAL_ENDPOINTS] = {"nodeport-no-local-endpoints", {NODEPORT}},
	[KP_SET_NODEPORT_STICKY] = {"sticky-nodeports", {NODEPORT}, ID},
	[KP_SET_INTERNAL_LOCAL] = {"internal-local-services", {FRONTEND}},
	[KP_SET_GUARDED] = {"guarded", {FRONTEND}},
	[KP_SET_ALLOWED] = {"allowed", {FRONTEND, KP_FIELD_SADDR}, .is_interval = true},
	[KP_SET_AFFINITY_SLOTS] = {"affinity-slots", {KP_FIELD_PRIORITY, KP_FIELD_SLOT}, ID},
	[KP_SET_AFFINITY_SLOTS_2] = {"affinity-slots-2", ID},
	[KP_SET_AFFINITY_SLOTS_4] = {"affinity-slots-4", ID},
	[KP_SET_AFFINITY_SLOTS_8] = {"affinity-slots-8", ID},
	[KP_SET_AFFINITY_SLOTS_16] = {"affinity-slots-16", ID},
	[KP_SET_AFFINITY_ENDPOINTS] = {"affinity-endpoints",
				       {KP_FIELD_PRIORITY, KP_FIELD_L4PROTO},
				       ENDPOINT},
	[KP_SET_AFFINITY_LOCAL_ENDPOINTS] = {"affinity-local-endpoints",
					     {KP_FIELD_PRIORITY, KP_FIELD_L4PROTO},
					     ENDPOINT},
	[KP_SET_AFFINITY_TIMEOUTS] = {"affinity-timeouts", {KP_FIELD_PRIORITY, KP_FIELD_SECONDS}},
	[KP_SET_AFFINITY_CLIENTS] = {"affinity-clients",
				     {KP_FIELD_CLIENT, KP_FIELD_PRIORITY},
				     ID,
				     .is_dynamic = true},
	[KP_SET_HAIRPINS] = {"hairpins", {KP_FIELD_SADDR, KP_FIELD_DADDR}, .is_shared = true},
	[KP_SET_CLUSTER_IPS] = {"cluster-ips", {KP_FIELD_DADDR}, .is_shared = true},
	[KP_SET_NODEPORT_IPS] = {"nodeport-ips", {KP_FIELD_DADDR}, .is_interval = true},
	[KP_SET_SERVICE_CIDRS] = {"service-cidrs", {KP_FIELD_DADDR}, .is_interval = true},
};

bool kp_nft_find_set(const char *name, enum kp_nft_set_id *ret)
{
	for (int set = 0; set < KP_N_SETS; set++) {
		if (strcmp(kp_nft_sets[set].name, name) == 0) {
			*ret = set;
			return true;
		}
	}
	return false;
}

unsigned int kp_nft_field_size(enum kp_family family, enum kp_nft_field field)
{
	switch (field) {
	case KP_FIELD_SADDR:
	case KP_FIELD_DADDR:
		return kp_family_addr_size(family);
	case KP_FIELD_CLIENT:
		return family == KP_IPV4 ? 4 : 12;
	default:
		return sizeof(uint32_t);
	}
}

unsigned int kp_nft_fields_size(enum kp_family family, const uint8_t *fields)
{
	unsigned int size = 0;

	for (int i = 0; i < KP_NFT_MAX_FIELDS && fields[i]; i++)
		size += kp_nft_field_size(family, fields[i]);
	return size;
}

unsigned int kp_nft_last_field_offset(enum kp_family family, const uint8_t *fields)
{
	unsigned int offset = 0;

	for (int i = 0; i + 1 < KP_NFT_MAX_FIELDS && fields[i + 1]; i++)
		offset += kp_nft_field_size(family, fields[i]);
	return offset;
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
