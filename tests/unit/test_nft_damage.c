/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CL-3: what the kernel's messages of foreign changes say about our tables. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "nft/damage.h"

static char buf[1024];

/* Attribute 1 is the table's name in all messages, and 2 the set's or chain's. */
static struct nlmsghdr *message(uint16_t type, uint8_t family, const char *table, const char *name)
{
	struct nlmsghdr *nlh;
	struct nfgenmsg *nfg;

	memset(buf, 0, sizeof(buf));
	nlh = mnl_nlmsg_put_header(buf);
	nlh->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | type;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = family;
	mnl_attr_put_strz(nlh, 1, table);
	if (name)
		mnl_attr_put_strz(nlh, 2, name);
	return nlh;
}

/* FRONTEND as the kernel has it: each field padded to four bytes. */
static const uint8_t key[] = {10, 96, 0, 10, IPPROTO_TCP, 0, 0, 0, 0, 80, 0, 0};

static struct nlmsghdr *element(uint8_t family, const char *set, uint8_t last_byte)
{
	struct nlmsghdr *nlh = message(NFT_MSG_DELSETELEM, family, "kproxy", set);
	struct nlattr *list = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
	struct nlattr *elem = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);
	struct nlattr *value = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_KEY);
	uint8_t bytes[sizeof(key)];

	memcpy(bytes, key, sizeof(key));
	bytes[3] = last_byte;
	mnl_attr_put(nlh, NFTA_DATA_VALUE, sizeof(bytes), bytes);
	mnl_attr_nest_end(nlh, value);
	mnl_attr_nest_end(nlh, elem);
	mnl_attr_nest_end(nlh, list);
	return nlh;
}

static struct kp_nft_element like(enum kp_family family, enum kp_nft_set_id set, uint8_t last_byte)
{
	struct kp_nft_element e = {.family = family, .set = set};

	memcpy(e.key, key, sizeof(key));
	e.key[3] = last_byte;
	return e;
}

static bool concerns(const struct kp_nft_damage *d, enum kp_family family, enum kp_nft_set_id set,
		     uint8_t last_byte)
{
	struct kp_nft_element e = like(family, set, last_byte);

	return kp_nft_damage_concerns(d, &e);
}

static void test_damage_of_others_is_none(void **state)
{
	struct kp_nft_damage d = {0};

	(void)state;
	kp_nft_damage_note(&d, message(NFT_MSG_DELTABLE, NFPROTO_IPV4, "theirs", NULL));
	kp_nft_damage_note(&d, message(NFT_MSG_NEWRULE, NFPROTO_INET, "kproxy", NULL));
	kp_nft_damage_note(&d, message(NFT_MSG_NEWSET, NFPROTO_BRIDGE, "kproxy", "services"));
	/* Packets make those, and they time out. */
	kp_nft_damage_note(&d, element(NFPROTO_IPV4, "affinity-clients", 1));
	/* Goes with its set, of which another message tells. */
	kp_nft_damage_note(&d, element(NFPROTO_IPV4, "theirs", 1));
	assert_true(kp_nft_damage_is_none(&d));
}

static void test_damage_of_elements(void **state)
{
	struct kp_nft_damage noted = {0}, d;

	(void)state;
	kp_nft_damage_note(&noted, element(NFPROTO_IPV6, "services", 10));
	kp_nft_damage_note(&noted, element(NFPROTO_IPV4, "services", 12));
	kp_nft_damage_note(&noted, element(NFPROTO_IPV4, "services", 11));
	kp_nft_damage_note(&noted, element(NFPROTO_IPV4, "services", 12));
	assert_false(kp_nft_damage_is_none(&noted));
	kp_nft_damage_take(&noted, &d);
	assert_true(kp_nft_damage_is_none(&noted));
	assert_int_equal(d.touched.n, 3);
	assert_true(concerns(&d, KP_IPV4, KP_SET_SERVICES, 11));
	assert_true(concerns(&d, KP_IPV4, KP_SET_SERVICES, 12));
	assert_true(concerns(&d, KP_IPV6, KP_SET_SERVICES, 10));
	assert_false(concerns(&d, KP_IPV4, KP_SET_SERVICES, 10));
	assert_false(concerns(&d, KP_IPV4, KP_SET_SLOTS_4, 11));
	assert_false(d.structure[KP_IPV4]);
	kp_nft_damage_clear(&d);
	assert_true(kp_nft_damage_is_none(&d));
}

static void test_damage_of_many_elements_is_that_of_the_set(void **state)
{
	struct kp_nft_damage noted = {0}, d;

	(void)state;
	for (int i = 0; i < 256; i++)
		kp_nft_damage_note(&noted, element(NFPROTO_IPV4, "services", i));
	assert_int_equal(noted.sets[KP_IPV4][KP_SET_SERVICES], KP_NFT_SET_INTACT);
	kp_nft_damage_note(&noted, element(NFPROTO_IPV4, "slots-4", 1));
	kp_nft_damage_take(&noted, &d);
	assert_int_equal(d.touched.n, 256);
	assert_true(concerns(&d, KP_IPV4, KP_SET_SLOTS_4, 77));
	assert_false(concerns(&d, KP_IPV4, KP_SET_SLOTS_8, 77));
	kp_nft_damage_clear(&d);
}

/* One element does not tell which others make up the range. */
static void test_damage_of_intervals_is_that_of_the_set(void **state)
{
	struct kp_nft_damage d = {0};

	(void)state;
	kp_nft_damage_note(&d, element(NFPROTO_IPV4, "nodeport-ips", 1));
	assert_int_equal(d.touched.n, 0);
	assert_int_equal(d.sets[KP_IPV4][KP_SET_NODEPORT_IPS], KP_NFT_SET_ANY);
}

static void test_damage_of_sets(void **state)
{
	struct kp_nft_damage d = {0};

	(void)state;
	kp_nft_damage_note(&d, message(NFT_MSG_NEWSET, NFPROTO_IPV4, "kproxy", "services"));
	assert_true(d.structure[KP_IPV4]);
	assert_false(d.structure[KP_IPV6]);
	assert_true(concerns(&d, KP_IPV4, KP_SET_SERVICES, 1));
	assert_false(concerns(&d, KP_IPV4, KP_SET_SLOTS_4, 1));
}

static void test_damage_of_rules(void **state)
{
	static const uint16_t types[] = {NFT_MSG_NEWRULE, NFT_MSG_DELRULE, NFT_MSG_NEWCHAIN,
					 NFT_MSG_DELCHAIN};

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct kp_nft_damage d = {0};

		kp_nft_damage_note(&d, message(types[i], NFPROTO_IPV6, "kproxy", "dispatch"));
		assert_true(d.structure[KP_IPV6]);
		assert_false(d.structure[KP_IPV4]);
		assert_false(concerns(&d, KP_IPV6, KP_SET_SERVICES, 1));
	}
}

static void test_damage_of_a_table_is_all_of_its_family(void **state)
{
	struct kp_nft_damage d = {0};

	(void)state;
	kp_nft_damage_note(&d, message(NFT_MSG_DELTABLE, NFPROTO_IPV6, "kproxy", NULL));
	assert_true(d.structure[KP_IPV6]);
	for (int set = 0; set < KP_N_SETS; set++) {
		assert_true(concerns(&d, KP_IPV6, set, 1));
		assert_false(concerns(&d, KP_IPV4, set, 1));
	}
	kp_nft_damage_all(&d);
	assert_true(d.structure[KP_IPV4] && d.structure[KP_IPV6]);
	assert_true(concerns(&d, KP_IPV4, KP_SET_HAIRPINS, 1));
}

/* Of a later kernel, perhaps. */
static void test_damage_of_an_unknown_kind_is_all_of_its_family(void **state)
{
	struct kp_nft_damage d = {0};

	(void)state;
	kp_nft_damage_note(&d, message(0x7f, NFPROTO_IPV6, "kproxy", NULL));
	assert_true(d.structure[KP_IPV6]);
	assert_true(concerns(&d, KP_IPV6, KP_SET_SERVICES, 1));
	assert_false(concerns(&d, KP_IPV4, KP_SET_SERVICES, 1));
}

/* It has no key, and matches what no other element does. */
static void test_damage_of_a_catchall_is_that_of_the_set(void **state)
{
	struct nlmsghdr *nlh = message(NFT_MSG_NEWSETELEM, NFPROTO_IPV4, "kproxy", "no-endpoints");
	struct nlattr *list = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
	struct nlattr *elem = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);
	struct kp_nft_damage d = {0};

	(void)state;
	mnl_attr_put_u32(nlh, NFTA_SET_ELEM_FLAGS, htonl(NFT_SET_ELEM_CATCHALL));
	mnl_attr_nest_end(nlh, elem);
	mnl_attr_nest_end(nlh, list);
	kp_nft_damage_note(&d, nlh);
	assert_int_equal(d.sets[KP_IPV4][KP_SET_NO_ENDPOINTS], KP_NFT_SET_ANY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_damage_of_others_is_none),
		cmocka_unit_test(test_damage_of_elements),
		cmocka_unit_test(test_damage_of_many_elements_is_that_of_the_set),
		cmocka_unit_test(test_damage_of_intervals_is_that_of_the_set),
		cmocka_unit_test(test_damage_of_sets),
		cmocka_unit_test(test_damage_of_rules),
		cmocka_unit_test(test_damage_of_a_table_is_all_of_its_family),
		cmocka_unit_test(test_damage_of_an_unknown_kind_is_all_of_its_family),
		cmocka_unit_test(test_damage_of_a_catchall_is_that_of_the_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
