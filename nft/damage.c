/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft/damage.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "nft/read.h"

/* With more than this, whole sets are read: a question for each element costs a system call. */
enum {
	MAX_TOUCHED = 256
};

void kp_nft_damage_clear(struct kp_nft_damage *damage)
{
	kp_nft_elements_clear(&damage->touched);
	memset(damage, 0, sizeof(*damage));
}

static void note_table(struct kp_nft_damage *damage, enum kp_family family)
{
	damage->structure[family] = true;
	for (int set = 0; set < KP_N_SETS; set++)
		damage->sets[family][set] = KP_NFT_SET_ANY;
}

static void note_set(struct kp_nft_damage *damage, enum kp_family family, const char *name)
{
	enum kp_nft_set_id set;

	damage->structure[family] = true;
	if (kp_nft_find_set(name, &set))
		damage->sets[family][set] = KP_NFT_SET_ANY;
}

static void note_element(void *arg, const struct kp_nft_element *e)
{
	struct kp_nft_damage *damage = arg;
	struct kp_nft_element *key;

	free(e->comment);
	/* Packets make those, and nobody has to put them right. */
	if (kp_nft_sets[e->set].is_dynamic)
		return;
	if (kp_nft_sets[e->set].is_interval || e->catchall || damage->touched.n >= MAX_TOUCHED) {
		damage->sets[e->family][e->set] = KP_NFT_SET_ANY;
		return;
	}
	key = kp_nft_elements_add(&damage->touched, e->family, e->set);
	memcpy(key->key, e->key, sizeof(key->key));
}

/* Where the table and the set are named has the same number in every kind of message. */
static const char *name_of(const struct nlmsghdr *nlh, uint16_t type)
{
	const struct nlattr *attr;

	mnl_attr_for_each (attr, nlh, sizeof(struct nfgenmsg))
		if (mnl_attr_get_type(attr) == type)
			return mnl_attr_get_str(attr);
	return "";
}

void kp_nft_damage_note(struct kp_nft_damage *damage, const struct nlmsghdr *nlh)
{
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(nlh);
	enum kp_family family = nfg->nfgen_family == NFPROTO_IPV4 ? KP_IPV4 : KP_IPV6;

	if ((nfg->nfgen_family != NFPROTO_IPV4 && nfg->nfgen_family != NFPROTO_IPV6) ||
	    strcmp(name_of(nlh, NFTA_TABLE_NAME), KP_NFT_TABLE) != 0)
		return;
	switch (nlh->nlmsg_type & 0xff) {
	case NFT_MSG_NEWTABLE:
	case NFT_MSG_DELTABLE:
		note_table(damage, family);
		break;
	case NFT_MSG_NEWSET:
	case NFT_MSG_DELSET:
		note_set(damage, family, name_of(nlh, NFTA_SET_NAME));
		break;
	case NFT_MSG_NEWSETELEM:
	case NFT_MSG_DELSETELEM:
		kp_nft_read_message(nlh, family, note_element, damage);
		break;
	case NFT_MSG_NEWCHAIN:
	case NFT_MSG_DELCHAIN:
	case NFT_MSG_NEWRULE:
	case NFT_MSG_DELRULE:
		damage->structure[family] = true;
		break;
	default:
		note_table(damage, family);
	}
}

void kp_nft_damage_all(struct kp_nft_damage *damage)
{
	kp_nft_damage_clear(damage);
	for (int family = 0; family < KP_N_FAMILIES; family++)
		note_table(damage, family);
}

bool kp_nft_damage_is_none(const struct kp_nft_damage *damage)
{
	static const uint8_t intact[KP_N_FAMILIES][KP_N_SETS];

	return !damage->structure[KP_IPV4] && !damage->structure[KP_IPV6] &&
	       damage->touched.n == 0 && memcmp(damage->sets, intact, sizeof(intact)) == 0;
}

void kp_nft_damage_take(struct kp_nft_damage *damage, struct kp_nft_damage *ret)
{
	*ret = *damage;
	memset(damage, 0, sizeof(*damage));
	kp_nft_elements_sort_unique(&ret->touched);
}

bool kp_nft_damage_concerns(const struct kp_nft_damage *damage, const struct kp_nft_element *e)
{
	return damage->sets[e->family][e->set] != KP_NFT_SET_INTACT ||
	       kp_nft_elements_find(&damage->touched, e);
}
