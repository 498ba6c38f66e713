/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kube-proxy in nf_tables: the tables of its nftables mode, and among the tables of iptables-nft
 * the chains of its iptables and ipvs modes.
 *
 * What iptables-nft cannot express is in rules as extensions that only iptables understands.  They
 * do not matter: a rule is told by where it leads, and deleted by its handle. */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "nft/query.h"
#include "nft/transaction.h"
#include "takeover/names.h"
#include "takeover/sources.h"

enum {
	MAX_TRIES = 8, /* of a dump that others change */
	/* The kernel lets nobody else change rules during a transaction, and keeps an answer for
	 * each message. */
	MAX_OPS = 2000,
};

static int open_socket(struct mnl_socket **ret, struct kp_err *err)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	int size = 16 * 1024 * 1024;

	if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		int code = errno;

		if (socket)
			mnl_socket_close(socket);
		return kp_err_errno(err, code, "open a netfilter netlink socket");
	}
	setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	*ret = socket;
	return 0;
}

/* --- finding --- */

static const struct nlattr *in_message(const struct nlmsghdr *nlh, uint16_t type)
{
	const struct nlattr *attr;

	mnl_attr_for_each (attr, nlh, sizeof(struct nfgenmsg))
		if (mnl_attr_get_type(attr) == type)
			return attr;
	return NULL;
}

static const struct nlattr *inside(const struct nlattr *nest, uint16_t type)
{
	const struct nlattr *attr;

	if (nest)
		mnl_attr_for_each_nested (attr, nest)
			if (mnl_attr_get_type(attr) == type)
				return attr;
	return NULL;
}

static const char *text(const struct nlattr *attr)
{
	return attr ? mnl_attr_get_str(attr) : "";
}

/* False for the families that kube-proxy does not use. */
static bool family_of(const struct nlmsghdr *nlh, enum kp_family *ret)
{
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(nlh);

	*ret = nfg->nfgen_family == NFPROTO_IPV4 ? KP_IPV4 : KP_IPV6;
	return nfg->nfgen_family == NFPROTO_IPV4 || nfg->nfgen_family == NFPROTO_IPV6;
}

static int on_table(const struct nlmsghdr *nlh, void *arg)
{
	const char *name = text(in_message(nlh, NFTA_TABLE_NAME));
	struct kp_leftovers *l = arg;
	enum kp_family family;

	if (!family_of(nlh, &family))
		return MNL_CB_OK;
	if (strcmp(name, KP_KUBE_PROXY_TABLE) == 0)
		l->nft_table[family] = true;
	else if (kp_has_kube_proxy_chains(name))
		kp_leftovers_add_table(l, family, false, name);
	return MNL_CB_OK;
}

static int on_chain(const struct nlmsghdr *nlh, void *arg)
{
	const char *table = text(in_message(nlh, NFTA_CHAIN_TABLE));
	const struct kp_leftovers *l = arg;
	enum kp_family family;

	if (!family_of(nlh, &family))
		return MNL_CB_OK;
	for (size_t i = 0; i < l->n_tables; i++)
		if (l->tables[i].family == family && strcmp(l->tables[i].name, table) == 0)
			kp_kube_table_add_chain(&l->tables[i],
						text(in_message(nlh, NFTA_CHAIN_NAME)),
						in_message(nlh, NFTA_CHAIN_HOOK) != NULL);
	return MNL_CB_OK;
}

/* The chain that an expression jumps or goes to; "" when it does not. */
static const char *target_of(const struct nlattr *expr)
{
	const struct nlattr *data;

	if (strcmp(text(inside(expr, NFTA_EXPR_NAME)), "immediate") != 0)
		return "";
	data = inside(inside(expr, NFTA_EXPR_DATA), NFTA_IMMEDIATE_DATA);
	return text(inside(inside(data, NFTA_DATA_VERDICT), NFTA_VERDICT_CHAIN));
}

static int on_rule(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *handle = in_message(nlh, NFTA_RULE_HANDLE);
	const struct nlattr *exprs = in_message(nlh, NFTA_RULE_EXPRESSIONS), *expr;
	struct kp_kube_table *table = arg;

	if (handle && exprs)
		mnl_attr_for_each_nested (expr, exprs)
			kp_kube_table_add_rule(table, text(in_message(nlh, NFTA_RULE_CHAIN)),
					       target_of(expr), be64toh(mnl_attr_get_u64(handle)),
					       NULL);
	return MNL_CB_OK;
}

static int dump(struct mnl_socket *socket, uint16_t type, mnl_cb_t each, void *arg)
{
	char buf[512];

	return kp_nft_query(socket, kp_nft_query_init(buf, type, NFPROTO_UNSPEC, NLM_F_DUMP), each,
			    arg);
}

static int dump_rules(struct mnl_socket *socket, struct kp_kube_table *table, const char *chain)
{
	char buf[512] = {0};
	struct nlmsghdr *nlh = kp_nft_query_init(buf, NFT_MSG_GETRULE, kp_nft_family(table->family),
						 NLM_F_DUMP);

	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, table->name);
	mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, chain);
	return kp_nft_query(socket, nlh, on_rule, table);
}

/* Where the chains that stay lead to; these stay too.  The rules of those that go are not read: a
 * dump of a table takes time with the square of its rules. */
static int read_rules(struct mnl_socket *socket, struct kp_kube_table *table)
{
	bool again = true;
	int r = 0;

	while (again) {
		again = false;
		for (struct kp_kube_chain *c = table->chains; c; c = c->hh.next) {
			if (c->is_read || kp_kube_chain_goes(c))
				continue;
			r = dump_rules(socket, table, c->name);
			if (r < 0)
				return r;
			again = c->is_read = true;
		}
		kp_kube_table_settle(table);
	}
	return 0;
}

static int find_once(struct mnl_socket *socket, struct kp_leftovers *l)
{
	int r = dump(socket, NFT_MSG_GETTABLE, on_table, l);

	if (r == 0 && l->n_tables > 0)
		r = dump(socket, NFT_MSG_GETCHAIN, on_chain, l);
	kp_leftovers_drop_unconcerned(l);
	for (size_t i = 0; i < l->n_tables && r == 0; i++)
		r = read_rules(socket, &l->tables[i]);
	return r;
}

int kp_kube_nft_find(struct kp_leftovers *l, struct kp_err *err)
{
	struct mnl_socket *socket;
	int r = open_socket(&socket, err);

	if (r < 0)
		return r;
	r = -EINTR;
	for (int i = 0; i < MAX_TRIES && r == -EINTR; i++) {
		kp_leftovers_clear(l);
		r = find_once(socket, l);
	}
	mnl_socket_close(socket);
	return r < 0 ? kp_err_errno(err, -r, "look for rules of kube-proxy in nftables") : 0;
}

/* --- removing --- */

struct removal {
	struct mnl_socket *socket;
	struct kp_nft_transaction *t;
	int r;
	struct kp_err *err;
};

static void commit(struct removal *rm)
{
	struct kp_apply_stats stats = {0};
	struct kp_nft_element culprit;
	bool has_culprit;

	if (rm->r == 0 && kp_nft_transaction_n_ops(rm->t) > 0)
		rm->r = kp_nft_transaction_commit(rm->t, rm->socket, &stats, &culprit, &has_culprit,
						  rm->err);
	kp_nft_transaction_free(rm->t);
	rm->t = kp_nft_transaction_new();
}

static void put(struct removal *rm, const struct nlmsghdr *nlh)
{
	kp_nft_transaction_put(rm->t, nlh);
	if (kp_nft_transaction_n_ops(rm->t) >= MAX_OPS)
		commit(rm);
}

static void delete_table(struct removal *rm, enum kp_family family, const char *name)
{
	struct nlmsghdr *nlh = kp_nft_transaction_begin(rm->t, NFT_MSG_DELTABLE, family);

	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, name);
	put(rm, nlh);
}

/* With handle 0, all rules of the chain. */
static void delete_rule(struct removal *rm, const struct kp_kube_table *table, const char *chain,
			uint64_t handle)
{
	struct nlmsghdr *nlh = kp_nft_transaction_begin(rm->t, NFT_MSG_DELRULE, table->family);

	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, table->name);
	mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, chain);
	if (handle)
		mnl_attr_put_u64(nlh, NFTA_RULE_HANDLE, htobe64(handle));
	put(rm, nlh);
}

static void delete_chain(struct removal *rm, const struct kp_kube_table *table, const char *chain)
{
	struct nlmsghdr *nlh = kp_nft_transaction_begin(rm->t, NFT_MSG_DELCHAIN, table->family);

	mnl_attr_put_strz(nlh, NFTA_CHAIN_TABLE, table->name);
	mnl_attr_put_strz(nlh, NFTA_CHAIN_NAME, chain);
	put(rm, nlh);
}

/* First all that leads packets to the chains, at once; then, in parts, the rules by which they lead
 * to each other; then the chains. */
static void remove_chains(struct removal *rm, const struct kp_kube_table *table)
{
	for (size_t i = 0; i < table->n_rules; i++)
		if (kp_kube_rule_goes(&table->rules[i]))
			delete_rule(rm, table, table->rules[i].chain->name, table->rules[i].handle);
	commit(rm);
	for (const struct kp_kube_chain *c = table->chains; c; c = c->hh.next)
		if (kp_kube_chain_goes(c))
			delete_rule(rm, table, c->name, 0);
	commit(rm);
	for (const struct kp_kube_chain *c = table->chains; c; c = c->hh.next)
		if (kp_kube_chain_goes(c))
			delete_chain(rm, table, c->name);
	commit(rm);
}

/* Ends what concerns one table; an error does not keep the next one from going. */
static void end_table(struct removal *rm, enum kp_family family, const char *name, int *first,
		      struct kp_err *ret_err)
{
	commit(rm);
	if (rm->r < 0 && *first == 0) {
		*first = rm->r;
		*ret_err = *rm->err;
		kp_err_wrap(ret_err, "kube-proxy's rules in table %s %s",
			    family == KP_IPV4 ? "ip" : "ip6", name);
	}
	rm->r = 0;
}

int kp_kube_nft_remove(const struct kp_leftovers *l, struct kp_err *err)
{
	struct kp_err last = KP_ERR_INIT;
	struct removal rm = {.err = &last};
	int first = open_socket(&rm.socket, err);

	if (first < 0)
		return first;
	rm.t = kp_nft_transaction_new();
	for (int family = 0; family < KP_N_FAMILIES; family++) {
		if (l->nft_table[family])
			delete_table(&rm, family, KP_KUBE_PROXY_TABLE);
		end_table(&rm, family, KP_KUBE_PROXY_TABLE, &first, err);
	}
	for (size_t i = 0; i < l->n_tables; i++) {
		if (l->tables[i].is_legacy)
			continue;
		remove_chains(&rm, &l->tables[i]);
		end_table(&rm, l->tables[i].family, l->tables[i].name, &first, err);
	}
	kp_nft_transaction_free(rm.t);
	mnl_socket_close(rm.socket);
	return first;
}
