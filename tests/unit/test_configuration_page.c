/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table at the end of docs/configuration.md is the program's own.  With UPDATE=1 in the
 * environment it is rewritten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "options/table.h"

#define PAGE "docs/configuration.md"
#define MARK "writes what follows. -->\n"

static void print_row(FILE *out, const struct kp_option *o)
{
	static const char *const effects[] = {
		[KP_OPTION_HONOURED] = "yes",
		[KP_OPTION_MAPPED] = "mapped",
		[KP_OPTION_IGNORED] = "ignored",
	};
	char name[64];

	fprintf(out, "| ");
	if (o->flag)
		fprintf(out, "`%s` ", kp_option_name(o, true, name));
	fprintf(out, "| ");
	if (o->field)
		fprintf(out, "`%s` ", o->field);
	fprintf(out, "| ");
	if (o->preset && *o->preset)
		fprintf(out, "%s ", o->preset);
	fprintf(out, "| %s | %s |\n", effects[o->effect], o->help);
}

static char *build_table(void)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	fputs("\n| Flag | Field | Default | | |\n| --- | --- | --- | --- | --- |\n", out);
	for (size_t i = 0; i < kp_n_options; i++)
		print_row(out, &kp_option_table[i]);
	fclose(out);
	return text;
}

static char *read_page(void)
{
	FILE *file = fopen(PAGE, "r");
	char *text = kp_xcalloc(1, 1 << 20);

	assert_non_null(file);
	assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
	fclose(file);
	return text;
}

static void test_configuration_page_has_the_table(void **state)
{
	kp_autofree char *table = build_table(), *page = read_page();
	const char *update = getenv("UPDATE");
	char *mark = strstr(page, MARK);
	FILE *file;

	(void)state;
	assert_non_null(mark);
	mark += strlen(MARK);
	if (update && strcmp(update, "1") == 0) {
		*mark = 0;
		file = fopen(PAGE, "w");
		assert_non_null(file);
		fprintf(file, "%s%s", page, table);
		fclose(file);
		return;
	}
	if (strcmp(mark, table) != 0)
		fail_msg("%s is not what proxy/options/table.c says; UPDATE=1 rewrites it", PAGE);
}

/* What is in the table twice must be the same flag of another field. */
static void test_configuration_names_are_unique(void **state)
{
	(void)state;
	for (size_t i = 0; i < kp_n_options; i++) {
		const struct kp_option *a = &kp_option_table[i];

		assert_true(a->flag || a->field);
		assert_true(*a->help);
		for (size_t j = 0; j < i; j++) {
			const struct kp_option *b = &kp_option_table[j];

			if (a->field && b->field)
				assert_string_not_equal(a->field, b->field);
			else if (a->flag && b->flag)
				assert_string_not_equal(a->flag, b->flag);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_configuration_page_has_the_table),
		cmocka_unit_test(test_configuration_names_are_unique),
	};

	return cmocka_run_group_tests_name("configuration_page", tests, NULL, NULL);
}
