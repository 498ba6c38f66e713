/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses to listen on. */
#include "kproxy/addr.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_addr_port_forms(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{"127.0.0.1:80", "127.0.0.1:80"},
		{"0.0.0.0", "0.0.0.0:10"},
		{"[::1]:80", "[::1]:80"},
		{"[::]", "[::]:10"},
		{"2001:db8::1", "[2001:db8::1]:10"},
	};
	char text[KP_ADDR_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kp_addr_port at;

		assert_int_equal(kp_addr_port_parse(cases[i].text, 10, &at), 0);
		assert_string_equal(kp_addr_port_text(at.family, &at.addr, at.port, text),
				    cases[i].expected);
	}
}

static void test_addr_port_refuses_anything_else(void **state)
{
	static const char *const texts[] = {
		"",
		":80",
		"localhost:80",
		"127.0.0.1:",
		"127.0.0.1:0",
		"127.0.0.1:65536",
		"127.0.0.1:+80",
		"127.0.0.1:80x",
		"[127.0.0.1]:80",
		"[::1",
		"[::1]80",
		"[::1]:",
		"1.2.3.4:5:6",
		"[]:80",
	};
	struct kp_addr_port at;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(kp_addr_port_parse(texts[i], 10, &at), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addr_port_forms),
		cmocka_unit_test(test_addr_port_refuses_anything_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
