/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bpf/decide.h"

static struct kp_target some;

static const struct kp_endpoint_set none, one = {.n = 1, .slots = &some};

static void test_decide_serves_both_policies_of_tcp(void **state)
{
	const struct kp_vservice v = {
		.proto = IPPROTO_TCP, .has_any = true, .cluster = one, .local = none};
	const struct kp_frontend internal = {.policy = KP_POLICY_INTERNAL};
	const struct kp_frontend external_local = {.policy = KP_POLICY_EXTERNAL_LOCAL};

	(void)state;
	assert_int_equal(kp_bpf_decide(&v, &internal, false), KP_BPF_HOOKED);
	/* DP-6: the node and its pods reach all endpoints. */
	assert_int_equal(kp_bpf_decide(&v, &external_local, false), KP_BPF_HOOKED);
	assert_ptr_equal(kp_bpf_endpoints(&v, &external_local), &v.cluster);
}

static void test_decide_internal_local(void **state)
{
	struct kp_vservice v = {
		.proto = IPPROTO_TCP, .has_any = true, .cluster = one, .local = one};
	const struct kp_frontend f = {.policy = KP_POLICY_INTERNAL_LOCAL};

	(void)state;
	assert_int_equal(kp_bpf_decide(&v, &f, false), KP_BPF_HOOKED);
	assert_ptr_equal(kp_bpf_endpoints(&v, &f), &v.local);
	v.local = none; /* DP-3 */
	assert_int_equal(kp_bpf_decide(&v, &f, false), KP_BPF_PASS_DROP);
}

static void test_decide_without_endpoints(void **state)
{
	struct kp_vservice v = {.proto = IPPROTO_TCP};
	const struct kp_frontend f = {.policy = KP_POLICY_EXTERNAL};

	(void)state;
	assert_int_equal(kp_bpf_decide(&v, &f, true), KP_BPF_HOOKED); /* refused */
	v.proto = IPPROTO_UDP;
	assert_int_equal(kp_bpf_decide(&v, &f, true), KP_BPF_PASS_ICMP);
	v.has_any = true;
	assert_int_equal(kp_bpf_decide(&v, &f, true), KP_BPF_PASS_DROP);
}

static void test_decide_passes_what_nft_does_exactly(void **state)
{
	struct kp_vservice v = {.proto = IPPROTO_TCP, .has_any = true, .cluster = one};
	struct kp_frontend f = {.guarded = true};

	(void)state;
	assert_int_equal(kp_bpf_decide(&v, &f, true), KP_BPF_PASS_SOURCES);
	f.guarded = false;
	v.affinity.timeout_s = 10800;
	assert_int_equal(kp_bpf_decide(&v, &f, true), KP_BPF_PASS_AFFINITY);
	v.affinity.timeout_s = 0;
	v.proto = IPPROTO_SCTP;
	assert_int_equal(kp_bpf_decide(&v, &f, true), KP_BPF_PASS_PROTOCOL);
	v.proto = IPPROTO_UDP;
	assert_int_equal(kp_bpf_decide(&v, &f, false), KP_BPF_PASS_UDP);
	assert_int_equal(kp_bpf_decide(&v, &f, true), KP_BPF_HOOKED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decide_serves_both_policies_of_tcp),
		cmocka_unit_test(test_decide_internal_local),
		cmocka_unit_test(test_decide_without_endpoints),
		cmocka_unit_test(test_decide_passes_what_nft_does_exactly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
