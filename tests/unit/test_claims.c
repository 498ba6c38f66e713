/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who owns a frontend (FE-4).  Every Service here asks for node port 30080 in both families. */
#include "plan/claims.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

struct fixture {
	struct kp_claims *claims;
	char affected[256]; /* "name name " */
	char told[256];	    /* "loser<winner " */
};

static int setup(void **state)
{
	struct fixture *f = kp_xcalloc(1, sizeof(*f));

	f->claims = kp_claims_new();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kp_claims_free(f->claims);
	free(f);
	return 0;
}

static void on_affected(void *arg, const char *owner)
{
	struct fixture *f = arg;
	size_t len = strlen(f->affected);

	snprintf(f->affected + len, sizeof(f->affected) - len, "%s ", owner);
}

static void on_conflict(void *arg, const char *loser, const char *winner,
			const struct kp_vservice *v, const struct kp_frontend *frontend)
{
	struct fixture *f = arg;
	size_t len = strlen(f->told);

	(void)v;
	(void)frontend;
	snprintf(f->told + len, sizeof(f->told) - len, "%s<%s ", loser, winner);
}

static struct kp_claims_events events(struct fixture *f)
{
	f->affected[0] = f->told[0] = 0;
	return (struct kp_claims_events){
		.affected = on_affected, .conflict = on_conflict, .arg = f};
}

static struct kp_vservices node_port(void)
{
	struct kp_vservices vs = {0};

	for (int family = 0; family < KP_N_FAMILIES; family++) {
		struct kp_vservice *v = kp_vservices_add(&vs);
		struct kp_frontend *frontend = kp_vservice_add_frontend(v);

		v->family = family;
		v->proto = IPPROTO_TCP;
		v->port_name = kp_name_get("http");
		frontend->type = KP_NODE_PORT;
		frontend->port = 30080;
	}
	return vs;
}

static void ask(struct fixture *f, const char *name, int64_t created_s)
{
	const struct kp_claims_events e = events(f);
	struct kp_vservices vs = node_port();

	kp_claims_update(f->claims, name, created_s, &vs, &e);
	kp_vservices_clear(&vs);
}

static void leave(struct fixture *f, const char *name)
{
	const struct kp_claims_events e = events(f);

	kp_claims_update(f->claims, name, 0, &(const struct kp_vservices){0}, &e);
}

static void assert_owner(struct fixture *f, const char *name, bool owns, const char *told)
{
	const struct kp_claims_events e = events(f);
	struct kp_vservices vs = node_port();

	kp_claims_filter(f->claims, name, &vs, &e);
	assert_int_equal(vs.n, owns ? KP_N_FAMILIES : 0);
	assert_string_equal(f->told, told);
	kp_vservices_clear(&vs);
}

static void test_claims_oldest_wins_and_unknown_age_is_youngest(void **state)
{
	struct fixture *f = *state;

	ask(f, "a", 0);
	ask(f, "b", 200);
	ask(f, "c", 100);
	assert_owner(f, "c", true, "");
	assert_owner(f, "b", false, "b<c ");
	assert_owner(f, "a", false, "a<c ");
}

static void test_claims_first_by_name_wins_among_equals(void **state)
{
	struct fixture *f = *state;

	ask(f, "b", 100);
	ask(f, "a", 100);
	assert_owner(f, "a", true, "");
	assert_owner(f, "b", false, "b<a ");
}

static void test_claims_next_takes_over_when_the_winner_goes(void **state)
{
	struct fixture *f = *state;

	ask(f, "a", 100);
	ask(f, "b", 200);
	ask(f, "c", 300);
	assert_owner(f, "c", false, "c<a ");
	leave(f, "a");
	/* In each family; nothing changes for c. */
	assert_string_equal(f->affected, "b b ");
	assert_owner(f, "b", true, "");
	assert_owner(f, "c", false, "c<b ");
}

/* Thousands may ask for one address: a change of one of them must not concern all. */
static void test_claims_a_loser_concerns_nobody(void **state)
{
	struct fixture *f = *state;

	ask(f, "a", 100);
	ask(f, "b", 200);
	ask(f, "c", 300);
	ask(f, "d", 400);
	assert_string_equal(f->affected, "");
	ask(f, "c", 300);
	assert_string_equal(f->affected, "");
	leave(f, "c");
	assert_string_equal(f->affected, "");
	ask(f, "oldest", 50);
	assert_string_equal(f->affected, "a a ");
	leave(f, "oldest");
	leave(f, "a");
	leave(f, "b");
	assert_string_equal(f->affected, "d d ");
	assert_owner(f, "d", true, "");
}

/* A change of endpoints makes the same claims again. */
static void test_claims_conflict_is_told_once(void **state)
{
	struct fixture *f = *state;

	ask(f, "a", 100);
	ask(f, "b", 200);
	assert_owner(f, "b", false, "b<a ");
	ask(f, "b", 200);
	assert_owner(f, "b", false, "");
	ask(f, "a", 100);
	assert_owner(f, "b", false, "");
}

static void test_claims_conflict_that_comes_back_is_told_again(void **state)
{
	struct fixture *f = *state;

	ask(f, "a", 100);
	ask(f, "b", 200);
	assert_owner(f, "b", false, "b<a ");
	leave(f, "a");
	assert_owner(f, "b", true, "");
	ask(f, "a", 100);
	assert_owner(f, "b", false, "b<a ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_claims_oldest_wins_and_unknown_age_is_youngest,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_claims_first_by_name_wins_among_equals, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_claims_next_takes_over_when_the_winner_goes,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_claims_a_loser_concerns_nobody, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_claims_conflict_is_told_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_claims_conflict_that_comes_back_is_told_again,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
