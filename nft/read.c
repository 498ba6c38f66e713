/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft/read.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/set.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <time.h>

#include "nft/expr.h"
#include "nft/query.h"

/* A dump that another transaction cuts through is asked for again. */
#define MAX_TRIES 8

/* Tags of the user data of an element; see transaction.c. */
enum {
	ELEMENT_COMMENT = 0,
	ELEMENT_COMMENT_REST = 0x7f
};

static int on_generation(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *attr;

	mnl_attr_for_each (attr, nlh, sizeof(struct nfgenmsg))
		if (mnl_attr_get_type(attr) == NFTA_GEN_ID)
			*(uint32_t *)arg = ntohl(mnl_attr_get_u32(attr));
	return MNL_CB_STOP;
}

int kp_nft_read_generation(struct mnl_socket *socket, uint32_t *ret, struct kp_err *err)
{
	char buf[256];
	int r = kp_nft_query(socket, kp_nft_query_init(buf, NFT_MSG_GETGEN, AF_UNSPEC, 0),
			     on_generation, ret);

	return r < 0 ? kp_err_errno(err, -r, "read the ruleset's generation") : 0;
}

struct set_reader {
	enum kp_family family;
	struct kp_nft_found *found;
};

static bool set_is_right(enum kp_family family, const struct nftnl_set *set,
			 const struct kp_nft_set_desc *desc)
{
	return nftnl_set_get_u32(set, NFTNL_SET_FLAGS) == kp_nft_set_flags(desc) &&
	       nftnl_set_get_u32(set, NFTNL_SET_KEY_TYPE) == kp_nft_key_type(family, desc->key) &&
	       (!kp_nft_set_is_map(desc) ||
		nftnl_set_get_u32(set, NFTNL_SET_DATA_TYPE) == kp_nft_key_type(family, desc->data));
}

static void note_set(const struct set_reader *reader, const struct nftnl_set *set)
{
	const char *name = nftnl_set_get_str(set, NFTNL_SET_NAME);
	struct kp_nft_found *found = reader->found;
	enum kp_nft_set_id id;

	if (kp_nft_find_set(name, &id)) {
		found->sets[id].is_there = true;
		found->sets[id].is_right = set_is_right(reader->family, set, &kp_nft_sets[id]);
		return;
	}
	/* Those without a name go with the rule that has them. */
	if (nftnl_set_get_u32(set, NFTNL_SET_FLAGS) & NFT_SET_ANONYMOUS)
		return;
	found->other_sets = kp_xrealloc(found->other_sets,
					(found->n_other_sets + 1) * sizeof(*found->other_sets));
	found->other_sets[found->n_other_sets++] = kp_xstrdup(name);
}

static int on_set(const struct nlmsghdr *nlh, void *arg)
{
	struct nftnl_set *set = nftnl_set_alloc();

	if (nftnl_set_nlmsg_parse(nlh, set) == 0)
		note_set(arg, set);
	nftnl_set_free(set);
	return MNL_CB_OK;
}

static int on_chain(const struct nlmsghdr *nlh, void *arg)
{
	struct kp_nft_chains *chains = arg;
	struct nftnl_chain *c = nftnl_chain_alloc();
	struct kp_nft_chain *chain;

	if (nftnl_chain_nlmsg_parse(nlh, c) == 0 &&
	    strcmp(nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE), KP_NFT_TABLE) == 0) {
		chains->items = kp_xrealloc(chains->items,
					    (chains->n + 1) * sizeof(*chains->items));
		chain = &chains->items[chains->n++];
		memset(chain, 0, sizeof(*chain));
		strncpy(chain->name, nftnl_chain_get_str(c, NFTNL_CHAIN_NAME),
			sizeof(chain->name) - 1);
		if (nftnl_chain_is_set(c, NFTNL_CHAIN_HOOKNUM)) {
			chain->type = strcmp(nftnl_chain_get_str(c, NFTNL_CHAIN_TYPE), "nat") == 0
					      ? "nat"
					      : "filter";
			chain->hook = nftnl_chain_get_u32(c, NFTNL_CHAIN_HOOKNUM);
			chain->priority = nftnl_chain_get_s32(c, NFTNL_CHAIN_PRIO);
			chain->policy = nftnl_chain_get_u32(c, NFTNL_CHAIN_POLICY);
		}
	}
	nftnl_chain_free(c);
	return MNL_CB_OK;
}

static int on_rule(const struct nlmsghdr *nlh, void *arg)
{
	struct kp_nft_chains *chains = arg;
	struct nftnl_rule *rule = nftnl_rule_alloc();
	const char *name;

	if (nftnl_rule_nlmsg_parse(nlh, rule) < 0) {
		nftnl_rule_free(rule);
		return MNL_CB_OK;
	}
	name = nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN);
	for (size_t i = 0; i < chains->n; i++) {
		struct kp_nft_chain *chain = &chains->items[i];

		if (strcmp(chain->name, name) != 0)
			continue;
		chain->rules = kp_xrealloc(chain->rules,
					   (chain->n_rules + 1) * sizeof(*chain->rules));
		chain->rules[chain->n_rules++] = rule;
		return MNL_CB_OK;
	}
	nftnl_rule_free(rule);
	return MNL_CB_OK;
}

static int on_table(const struct nlmsghdr *nlh, void *arg)
{
	struct kp_nft_table *table = arg;
	const struct nlattr *attr;

	table->exists = true;
	mnl_attr_for_each (attr, nlh, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(attr) == NFTA_TABLE_FLAGS)
			table->flags = ntohl(mnl_attr_get_u32(attr));
		if (mnl_attr_get_type(attr) == NFTA_TABLE_OWNER)
			table->owner = ntohl(mnl_attr_get_u32(attr));
	}
	return MNL_CB_OK;
}

/* Asks about our table; that it is not there is an empty answer. */
static int dump(struct mnl_socket *socket, uint16_t type, uint16_t table_attr, uint16_t flags,
		enum kp_family family, mnl_cb_t each, void *arg)
{
	char buf[512] = {0}; /* libmnl leaves the padding of attributes as it is */
	struct nlmsghdr *nlh = kp_nft_query_init(buf, type, kp_nft_family(family), flags);
	int r;

	if (table_attr)
		mnl_attr_put_strz(nlh, table_attr, KP_NFT_TABLE);
	r = kp_nft_query(socket, nlh, each, arg);
	return r == -ENOENT ? 0 : r;
}

static int read_table(struct mnl_socket *socket, enum kp_family family, struct kp_nft_table *ret)
{
	memset(ret, 0, sizeof(*ret));
	return dump(socket, NFT_MSG_GETTABLE, NFTA_TABLE_NAME, NLM_F_ACK, family, on_table, ret);
}

int kp_nft_read_table(struct mnl_socket *socket, enum kp_family family, struct kp_nft_table *ret,
		      struct kp_err *err)
{
	int r = read_table(socket, family, ret);

	return r < 0 ? kp_err_errno(err, -r, "look for table " KP_NFT_TABLE) : 0;
}

static int read_structure_once(struct mnl_socket *socket, enum kp_family family,
			       struct kp_nft_found *ret)
{
	struct set_reader reader = {.family = family, .found = ret};
	int r = read_table(socket, family, &ret->table);

	if (r == 0 && ret->table.exists)
		r = dump(socket, NFT_MSG_GETSET, NFTA_SET_TABLE, NLM_F_DUMP, family, on_set,
			 &reader);
	if (r == 0 && ret->table.exists)
		r = dump(socket, NFT_MSG_GETCHAIN, 0, NLM_F_DUMP, family, on_chain, &ret->chains);
	if (r == 0 && ret->table.exists)
		r = dump(socket, NFT_MSG_GETRULE, NFTA_RULE_TABLE, NLM_F_DUMP, family, on_rule,
			 &ret->chains);
	return r;
}

void kp_nft_found_clear(struct kp_nft_found *found)
{
	kp_nft_chains_clear(&found->chains);
	for (size_t i = 0; i < found->n_other_sets; i++)
		free(found->other_sets[i]);
	free(found->other_sets);
	memset(found, 0, sizeof(*found));
}

int kp_nft_read_structure(struct mnl_socket *socket, enum kp_family family,
			  struct kp_nft_found *ret, struct kp_err *err)
{
	int r = -EINTR;

	for (int i = 0; i < MAX_TRIES && r == -EINTR; i++) {
		kp_nft_found_clear(ret);
		r = read_structure_once(socket, family, ret);
	}
	return r < 0 ? kp_err_errno(err, -r, "read the rules of table " KP_NFT_TABLE) : 0;
}

struct element_reader {
	enum kp_family family;
	enum kp_nft_set_id set;
	void (*fn)(void *arg, const struct kp_nft_element *e);
	void *arg;
};

static void read_value(const struct nlattr *value, uint8_t *ret, size_t size)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested (attr, value) {
		size_t len = mnl_attr_get_payload_len(attr);

		if (mnl_attr_get_type(attr) == NFTA_DATA_VALUE)
			memcpy(ret, mnl_attr_get_payload(attr), len < size ? len : size);
	}
}

static char *read_comment(const struct nlattr *userdata)
{
	const uint8_t *at = mnl_attr_get_payload(userdata);
	const uint8_t *end = at + mnl_attr_get_payload_len(userdata);
	char text[512] = "";
	size_t len = 0;

	for (; at + 2 <= end && at + 2 + at[1] <= end; at += 2 + at[1])
		if ((at[0] == ELEMENT_COMMENT || at[0] == ELEMENT_COMMENT_REST) && at[1] > 0 &&
		    len + at[1] < sizeof(text)) {
			memcpy(text + len, at + 2, at[1] - 1);
			len += at[1] - 1;
		}
	text[len] = 0;
	return len ? kp_xstrdup(text) : NULL;
}

static void read_element(const struct element_reader *reader, const struct nlattr *elem)
{
	uint8_t key_end[KP_NFT_KEY_SIZE] = {0};
	bool has_end = false;
	struct kp_nft_element e = {.family = reader->family, .set = reader->set, .catchall = true};
	const struct nlattr *attr;

	mnl_attr_for_each_nested (attr, elem) {
		switch (mnl_attr_get_type(attr)) {
		case NFTA_SET_ELEM_KEY:
			read_value(attr, e.key, sizeof(e.key));
			e.catchall = false;
			break;
		case NFTA_SET_ELEM_KEY_END:
			read_value(attr, key_end, sizeof(key_end));
			has_end = true;
			break;
		case NFTA_SET_ELEM_DATA:
			read_value(attr, e.data, sizeof(e.data));
			break;
		case NFTA_SET_ELEM_FLAGS:
			e.interval_end = ntohl(mnl_attr_get_u32(attr)) & NFT_SET_ELEM_INTERVAL_END;
			break;
		case NFTA_SET_ELEM_USERDATA:
			e.comment = read_comment(attr);
			break;
		}
	}
	if (has_end)
		kp_nft_element_set_key_end(&e, key_end);
	reader->fn(reader->arg, &e);
}

static int on_elements(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *attr, *elem;

	mnl_attr_for_each (attr, nlh, sizeof(struct nfgenmsg))
		if (mnl_attr_get_type(attr) == NFTA_SET_ELEM_LIST_ELEMENTS)
			mnl_attr_for_each_nested (elem, attr)
				read_element(arg, elem);
	return MNL_CB_OK;
}

int kp_nft_read_each(struct mnl_socket *socket, enum kp_family family, enum kp_nft_set_id set,
		     void (*fn)(void *arg, const struct kp_nft_element *e), void *arg,
		     struct kp_err *err)
{
	struct element_reader reader = {.family = family, .set = set, .fn = fn, .arg = arg};
	char buf[512] = {0};
	int r = -EINTR;

	for (int i = 0; i < MAX_TRIES && r == -EINTR; i++) {
		struct nlmsghdr *nlh = kp_nft_query_init(buf, NFT_MSG_GETSETELEM,
							 kp_nft_family(family), NLM_F_DUMP);

		mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, KP_NFT_TABLE);
		mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, kp_nft_sets[set].name);
		fn(arg, NULL);
		r = kp_nft_query(socket, nlh, on_elements, &reader);
	}
	if (r < 0 && r != -ENOENT)
		return kp_err_errno(err, -r, "read set %s", kp_nft_sets[set].name);
	return 0;
}

struct collector {
	struct kp_nft_elements *out;
	size_t n_before;
};

static void collect(void *arg, const struct kp_nft_element *e)
{
	struct collector *c = arg;

	if (e) {
		*kp_nft_elements_add(c->out, e->family, e->set) = *e;
		return;
	}
	while (c->out->n > c->n_before)
		free(c->out->items[--c->out->n].comment);
}

int kp_nft_read_elements(struct mnl_socket *socket, enum kp_family family, enum kp_nft_set_id set,
			 struct kp_nft_elements *ret, struct kp_err *err)
{
	struct collector collector = {.out = ret, .n_before = ret->n};

	return kp_nft_read_each(socket, family, set, collect, &collector, err);
}

int kp_nft_read_element(struct mnl_socket *socket, const struct kp_nft_element *key,
			struct kp_nft_elements *ret, struct kp_err *err)
{
	const struct kp_nft_set_desc *set = &kp_nft_sets[key->set];
	struct collector collector = {.out = ret};
	struct element_reader reader = {
		.family = key->family, .set = key->set, .fn = collect, .arg = &collector};
	char buf[512] = {0};
	struct nlmsghdr *nlh = kp_nft_query_init(buf, NFT_MSG_GETSETELEM,
						 kp_nft_family(key->family), NLM_F_ACK);
	struct nlattr *list, *elem, *value;
	int r;

	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, KP_NFT_TABLE);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, set->name);
	list = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
	elem = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);
	value = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_KEY);
	mnl_attr_put(nlh, NFTA_DATA_VALUE, kp_nft_fields_size(key->family, set->key), key->key);
	mnl_attr_nest_end(nlh, value);
	mnl_attr_nest_end(nlh, elem);
	mnl_attr_nest_end(nlh, list);
	r = kp_nft_query(socket, nlh, on_elements, &reader);
	if (r < 0 && r != -ENOENT)
		return kp_err_errno(err, -r, "read an element of set %s", set->name);
	return 0;
}

void kp_nft_read_message(const struct nlmsghdr *nlh, enum kp_family family,
			 void (*fn)(void *arg, const struct kp_nft_element *e), void *arg)
{
	struct element_reader reader = {.family = family, .fn = fn, .arg = arg};
	const struct nlattr *attr;

	mnl_attr_for_each (attr, nlh, sizeof(struct nfgenmsg))
		if (mnl_attr_get_type(attr) == NFTA_SET_ELEM_LIST_SET &&
		    kp_nft_find_set(mnl_attr_get_str(attr), &reader.set))
			on_elements(nlh, &reader);
}
