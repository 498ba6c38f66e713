/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft/transaction.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>

#include "kproxy/clock.h"
#include "nft/batch.h"
#include "nft/expr.h"

/* A list of elements is one attribute, whose length has 16 bits. */
#define MAX_ELEMENTS_LEN 32000

/* Tags of the user data of an element; nft shows the first and passes over the second. */
enum {
	ELEMENT_COMMENT = 0,
	ELEMENT_COMMENT_REST = 0x7f
};

struct kp_nft_transaction {
	struct kp_nft_batch *batch;
	size_t n_ops;
	/* The open list of elements. */
	struct nlmsghdr *message;
	struct nlattr *list;
	uint16_t list_type;
	uint8_t list_family, list_set;
};

static void close_list(struct kp_nft_transaction *t)
{
	if (!t->message)
		return;
	mnl_attr_nest_end(t->message, t->list);
	kp_nft_batch_put(t->batch, t->message);
	t->message = NULL;
}

static struct nlmsghdr *begin(struct kp_nft_transaction *t, uint16_t type, enum kp_family family,
			      uint16_t flags)
{
	close_list(t);
	return kp_nft_batch_begin(t->batch, type, kp_nft_family(family), flags);
}

struct kp_nft_transaction *kp_nft_transaction_new(void)
{
	struct kp_nft_transaction *t = kp_xcalloc(1, sizeof(*t));

	t->batch = kp_nft_batch_new();
	return t;
}

void kp_nft_transaction_free(struct kp_nft_transaction *t)
{
	if (!t)
		return;
	kp_nft_batch_free(t->batch);
	free(t);
}

void kp_nft_transaction_set_generation(struct kp_nft_transaction *t, uint32_t generation)
{
	kp_nft_batch_set_generation(t->batch, generation);
}

struct nlmsghdr *kp_nft_transaction_begin(struct kp_nft_transaction *t, uint16_t type,
					  enum kp_family family)
{
	return begin(t, type, family, 0);
}

void kp_nft_transaction_put(struct kp_nft_transaction *t, const struct nlmsghdr *message)
{
	kp_nft_batch_put(t->batch, message);
	t->n_ops++;
}

size_t kp_nft_transaction_n_ops(const struct kp_nft_transaction *t)
{
	return t->n_ops;
}

static void table(struct kp_nft_transaction *t, enum kp_family family, uint16_t type,
		  uint16_t message_flags, uint32_t flags)
{
	struct nftnl_table *table = nftnl_table_alloc();
	struct nlmsghdr *nlh = begin(t, type, family, message_flags);

	nftnl_table_set_u32(table, NFTNL_TABLE_FAMILY, kp_nft_family(family));
	nftnl_table_set_str(table, NFTNL_TABLE_NAME, KP_NFT_TABLE);
	if (flags)
		nftnl_table_set_u32(table, NFTNL_TABLE_FLAGS, flags);
	nftnl_table_nlmsg_build_payload(nlh, table);
	nftnl_table_free(table);
	kp_nft_transaction_put(t, nlh);
}

void kp_nft_add_table(struct kp_nft_transaction *t, enum kp_family family, uint32_t flags)
{
	table(t, family, NFT_MSG_NEWTABLE, NLM_F_CREATE, flags);
}

void kp_nft_delete_table(struct kp_nft_transaction *t, enum kp_family family)
{
	table(t, family, NFT_MSG_DELTABLE, 0, 0);
}

/* Tells the sizes of a concatenation's fields, not padded. */
static void set_concat_desc(struct nftnl_set *set, enum kp_family family,
			    const struct kp_nft_set_desc *desc)
{
	uint8_t sizes[KP_NFT_MAX_FIELDS];
	size_t n = 0;

	for (; n < KP_NFT_MAX_FIELDS && desc->key[n]; n++) {
		switch (desc->key[n]) {
		case KP_FIELD_L4PROTO:
			sizes[n] = sizeof(uint8_t);
			break;
		case KP_FIELD_DPORT:
			sizes[n] = sizeof(uint16_t);
			break;
		default:
			sizes[n] = kp_nft_field_size(family, desc->key[n]);
		}
	}
	nftnl_set_set_data(set, NFTNL_SET_DESC_CONCAT, sizes, n);
}

void kp_nft_add_set(struct kp_nft_transaction *t, enum kp_family family, enum kp_nft_set_id id)
{
	const struct kp_nft_set_desc *desc = &kp_nft_sets[id];
	struct nlmsghdr *nlh = begin(t, NFT_MSG_NEWSET, family, NLM_F_CREATE | NLM_F_EXCL);
	struct nftnl_set *set = nftnl_set_alloc();
	uint8_t userdata[512];
	size_t len = kp_nft_set_userdata(family, desc, userdata, sizeof(userdata));

	nftnl_set_set_u32(set, NFTNL_SET_FAMILY, kp_nft_family(family));
	nftnl_set_set_str(set, NFTNL_SET_TABLE, KP_NFT_TABLE);
	nftnl_set_set_str(set, NFTNL_SET_NAME, desc->name);
	nftnl_set_set_u32(set, NFTNL_SET_ID, id + 1);
	nftnl_set_set_u32(set, NFTNL_SET_FLAGS, kp_nft_set_flags(desc));
	nftnl_set_set_u32(set, NFTNL_SET_KEY_TYPE, kp_nft_key_type(family, desc->key));
	nftnl_set_set_u32(set, NFTNL_SET_KEY_LEN, kp_nft_fields_size(family, desc->key));
	if (kp_nft_set_is_map(desc)) {
		nftnl_set_set_u32(set, NFTNL_SET_DATA_TYPE, kp_nft_key_type(family, desc->data));
		nftnl_set_set_u32(set, NFTNL_SET_DATA_LEN, kp_nft_fields_size(family, desc->data));
	}
	if (desc->is_dynamic)
		nftnl_set_set_u32(set, NFTNL_SET_DESC_SIZE, KP_NFT_AFFINITY_MAX_CLIENTS);
	if (kp_nft_set_is_concat_interval(desc))
		set_concat_desc(set, family, desc);
	nftnl_set_set_data(set, NFTNL_SET_USERDATA, userdata, len);
	nftnl_set_nlmsg_build_payload(nlh, set);
	nftnl_set_free(set);
	kp_nft_transaction_put(t, nlh);
}

void kp_nft_delete_set(struct kp_nft_transaction *t, enum kp_family family, const char *name)
{
	struct nlmsghdr *nlh = kp_nft_transaction_begin(t, NFT_MSG_DELSET, family);

	mnl_attr_put_strz(nlh, NFTA_SET_TABLE, KP_NFT_TABLE);
	mnl_attr_put_strz(nlh, NFTA_SET_NAME, name);
	kp_nft_transaction_put(t, nlh);
}

static void chain(struct kp_nft_transaction *t, uint16_t type, uint16_t flags,
		  enum kp_family family, const struct kp_nft_chain *desc)
{
	struct nlmsghdr *nlh = begin(t, type, family, flags);
	struct nftnl_chain *c = nftnl_chain_alloc();

	nftnl_chain_set_u32(c, NFTNL_CHAIN_FAMILY, kp_nft_family(family));
	nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, KP_NFT_TABLE);
	nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, desc->name);
	if (desc->type) {
		nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, desc->type);
		nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, desc->hook);
		nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, desc->priority);
		nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, desc->policy);
	}
	nftnl_chain_nlmsg_build_payload(nlh, c);
	nftnl_chain_free(c);
	kp_nft_transaction_put(t, nlh);
}

void kp_nft_add_chain(struct kp_nft_transaction *t, enum kp_family family,
		      const struct kp_nft_chain *desc)
{
	chain(t, NFT_MSG_NEWCHAIN, NLM_F_CREATE, family, desc);
}

static struct kp_nft_chain named(const char *name)
{
	struct kp_nft_chain desc = {.type = NULL};

	strncpy(desc.name, name, sizeof(desc.name) - 1);
	return desc;
}

void kp_nft_delete_chain(struct kp_nft_transaction *t, enum kp_family family, const char *name)
{
	struct kp_nft_chain desc = named(name);

	chain(t, NFT_MSG_DELCHAIN, 0, family, &desc);
}

void kp_nft_add_rule(struct kp_nft_transaction *t, const struct nftnl_rule *rule)
{
	enum kp_family family = nftnl_rule_get_u32(rule, NFTNL_RULE_FAMILY) == NFPROTO_IPV4
					? KP_IPV4
					: KP_IPV6;
	struct nlmsghdr *nlh = begin(t, NFT_MSG_NEWRULE, family, NLM_F_CREATE | NLM_F_APPEND);

	nftnl_rule_nlmsg_build_payload(nlh, (struct nftnl_rule *)rule);
	kp_nft_transaction_put(t, nlh);
}

void kp_nft_flush_chain(struct kp_nft_transaction *t, enum kp_family family, const char *name)
{
	struct nlmsghdr *nlh = begin(t, NFT_MSG_DELRULE, family, 0);

	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, KP_NFT_TABLE);
	mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, name);
	kp_nft_transaction_put(t, nlh);
}

/* Opens a list of elements for 'e', or goes on with the one that is open. */
static void open_list(struct kp_nft_transaction *t, uint16_t type, const struct kp_nft_element *e)
{
	if (t->message && t->list_type == type && t->list_family == e->family &&
	    t->list_set == e->set &&
	    (char *)mnl_nlmsg_get_payload_tail(t->message) - (char *)t->list < MAX_ELEMENTS_LEN)
		return;
	t->message = begin(t, type, e->family,
			   type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE | NLM_F_EXCL : 0);
	mnl_attr_put_strz(t->message, NFTA_SET_ELEM_LIST_TABLE, KP_NFT_TABLE);
	mnl_attr_put_strz(t->message, NFTA_SET_ELEM_LIST_SET, kp_nft_sets[e->set].name);
	t->list = mnl_attr_nest_start(t->message, NFTA_SET_ELEM_LIST_ELEMENTS);
	t->list_type = type;
	t->list_family = e->family;
	t->list_set = e->set;
}

static void put_value(struct nlmsghdr *nlh, uint16_t type, const void *bytes, size_t len)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, type);

	mnl_attr_put(nlh, NFTA_DATA_VALUE, len, bytes);
	mnl_attr_nest_end(nlh, nest);
}

/* Longer names than nft can load as a comment go on in a second, private part. */
static void put_comment(struct nlmsghdr *nlh, const char *comment)
{
	uint8_t buf[NFT_USERDATA_MAXLEN];
	size_t len = strlen(comment), at;
	size_t head = len > KP_NFT_COMMENT_MAX ? KP_NFT_COMMENT_MAX : len;

	/* Namespace, name and port name are labels (decode/fields.h). */
	assert(len <= 250);
	buf[0] = ELEMENT_COMMENT;
	buf[1] = head + 1;
	memcpy(buf + 2, comment, head);
	buf[2 + head] = 0;
	at = head + 3;
	if (len > head) {
		buf[at++] = ELEMENT_COMMENT_REST;
		buf[at++] = len - head + 1;
		memcpy(buf + at, comment + head, len - head + 1);
		at += len - head + 1;
	}
	mnl_attr_put(nlh, NFTA_SET_ELEM_USERDATA, at, buf);
}

static void element(struct kp_nft_transaction *t, uint16_t type, const struct kp_nft_element *e)
{
	const struct kp_nft_set_desc *set = &kp_nft_sets[e->set];
	unsigned int key_size = kp_nft_fields_size(e->family, set->key);
	uint8_t key_end[KP_NFT_KEY_SIZE];
	struct nlattr *nest;

	open_list(t, type, e);
	nest = mnl_attr_nest_start(t->message, NFTA_LIST_ELEM);
	if (e->interval_end)
		mnl_attr_put_u32(t->message, NFTA_SET_ELEM_FLAGS, htonl(NFT_SET_ELEM_INTERVAL_END));
	if (e->catchall)
		mnl_attr_put_u32(t->message, NFTA_SET_ELEM_FLAGS, htonl(NFT_SET_ELEM_CATCHALL));
	else
		put_value(t->message, NFTA_SET_ELEM_KEY, e->key, key_size);
	if (kp_nft_set_is_concat_interval(set) && !e->catchall) {
		kp_nft_element_key_end(e, key_end);
		put_value(t->message, NFTA_SET_ELEM_KEY_END, key_end, key_size);
	}
	if (type == NFT_MSG_NEWSETELEM) {
		if (kp_nft_set_is_map(set))
			put_value(t->message, NFTA_SET_ELEM_DATA, e->data,
				  kp_nft_fields_size(e->family, set->data));
		if (e->comment)
			put_comment(t->message, e->comment);
	}
	mnl_attr_nest_end(t->message, nest);
	t->n_ops++;
}

void kp_nft_add_element(struct kp_nft_transaction *t, const struct kp_nft_element *e)
{
	element(t, NFT_MSG_NEWSETELEM, e);
}

void kp_nft_delete_element(struct kp_nft_transaction *t, const struct kp_nft_element *e)
{
	element(t, NFT_MSG_DELSETELEM, e);
}

/* Fills '*ret' with the key of the element that stands at 'offset' of a message, when the message
 * is about elements. */
static bool find_element(const struct nlmsghdr *nlh, uint32_t offset, struct kp_nft_element *ret)
{
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr, *elem, *key;
	enum kp_nft_set_id set;

	memset(ret, 0, sizeof(*ret));
	ret->family = nfg->nfgen_family == NFPROTO_IPV4 ? KP_IPV4 : KP_IPV6;
	mnl_attr_for_each (attr, nlh, sizeof(*nfg)) {
		switch (mnl_attr_get_type(attr)) {
		case NFTA_SET_ELEM_LIST_SET:
			if (!kp_nft_find_set(mnl_attr_get_str(attr), &set))
				return false;
			ret->set = set;
			break;
		case NFTA_SET_ELEM_LIST_ELEMENTS:
			mnl_attr_for_each_nested (elem, attr) {
				uint32_t start = (const char *)elem - (const char *)nlh;

				if (offset < start || offset >= start + elem->nla_len)
					continue;
				mnl_attr_for_each_nested (key, elem)
					if (mnl_attr_get_type(key) == NFTA_SET_ELEM_KEY)
						memcpy(ret->key,
						       (const char *)mnl_attr_get_payload(key) + 4,
						       mnl_attr_get_payload_len(key) - 4);
				return true;
			}
		}
	}
	return false;
}

static const char *op_name(uint16_t type)
{
	switch (type & 0xff) {
	case NFT_MSG_NEWTABLE:
		return "add table";
	case NFT_MSG_DELTABLE:
		return "delete table";
	case NFT_MSG_NEWSET:
		return "add set";
	case NFT_MSG_DELSET:
		return "delete set";
	case NFT_MSG_NEWCHAIN:
		return "add chain";
	case NFT_MSG_DELCHAIN:
		return "delete chain";
	case NFT_MSG_NEWRULE:
		return "add rule";
	case NFT_MSG_DELRULE:
		return "delete rules";
	case NFT_MSG_NEWSETELEM:
		return "add element";
	case NFT_MSG_DELSETELEM:
		return "delete element";
	default:
		return "transaction";
	}
}

static int report(const struct kp_nft_refusal *refusal, struct kp_nft_element *culprit,
		  bool *has_culprit, struct kp_err *err)
{
	char text[256] = "";

	*has_culprit = refusal->message && refusal->offset &&
		       find_element(refusal->message, refusal->offset, culprit);
	if (*has_culprit)
		kp_nft_element_text(culprit, text, sizeof(text));
	return kp_err_errno(err, refusal->error, "%s%s%s",
			    refusal->message ? op_name(refusal->message->nlmsg_type)
					     : "transaction",
			    *text ? " " : "", text);
}

int kp_nft_transaction_commit(struct kp_nft_transaction *t, struct mnl_socket *socket,
			      struct kp_apply_stats *stats, struct kp_nft_element *culprit,
			      bool *has_culprit, struct kp_err *err)
{
	struct kp_nft_refusal refusal;
	int64_t start_us;
	int r;

	*has_culprit = false;
	close_list(t);
	start_us = kp_clock_us();
	r = kp_nft_batch_commit(t->batch, socket, &refusal, err);
	stats->kernel_us += kp_clock_us() - start_us;
	if (r < 0)
		return r;
	if (refusal.error)
		return report(&refusal, culprit, has_culprit, err);
	stats->n_ops += t->n_ops;
	stats->n_bytes += kp_nft_batch_n_bytes(t->batch);
	return 0;
}
