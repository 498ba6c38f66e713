/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text form of metrics. */
#include "http/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static int setup(void **state)
{
	*state = kp_metrics_new();
	return 0;
}

static int teardown(void **state)
{
	kp_metrics_free(*state);
	return 0;
}

static void assert_text(const struct kp_metrics *metrics, const char *expected)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	kp_metrics_print(metrics, out);
	fclose(out);
	assert_string_equal(text, expected);
	free(text);
}

static void test_metrics_counter_and_gauge(void **state)
{
	struct kp_metric *c = kp_metrics_counter(*state, "a_total", "Things"),
			 *g = kp_metrics_gauge(*state, "b", "Others");

	kp_series_add(kp_metric_series(c, ""), 1);
	kp_series_add(kp_metric_series(c, ""), 2);
	kp_series_set(kp_metric_series(g, "x=\"1\",y=\"2\""), 0.5);
	kp_series_set(kp_metric_series(g, "x=\"2\",y=\"2\""), -3);
	assert_text(*state, "# HELP a_total Things\n# TYPE a_total counter\na_total 3\n"
			    "# HELP b Others\n# TYPE b gauge\n"
			    "b{x=\"1\",y=\"2\"} 0.5\nb{x=\"2\",y=\"2\"} -3\n");
}

static void test_metrics_without_series_is_not_printed(void **state)
{
	kp_metrics_gauge(*state, "a", "Nothing yet");
	assert_text(*state, "");
}

static void test_metrics_histogram_is_cumulative_and_its_bounds_belong_to_it(void **state)
{
	static const double bounds[] = {0, 0.25, 0.001 + 0.999};
	struct kp_series *s =
		kp_metric_series(kp_metrics_histogram(*state, "h", "Times", bounds, 3), "");

	kp_series_observe(s, 0);
	kp_series_observe(s, 0.25);
	kp_series_observe(s, 0.5);
	kp_series_observe(s, 1);
	kp_series_observe(s, 8);
	assert_text(*state, "# HELP h Times\n# TYPE h histogram\n"
			    "h_bucket{le=\"0\"} 1\nh_bucket{le=\"0.25\"} 2\nh_bucket{le=\"1\"} 4\n"
			    "h_bucket{le=\"+Inf\"} 5\nh_sum 9.75\nh_count 5\n");
}

static void test_metrics_histogram_with_labels(void **state)
{
	static const double bounds[] = {1};
	struct kp_metric *m = kp_metrics_histogram(*state, "h", "Times", bounds, 1);

	kp_metric_series(m, "f=\"4\"");
	kp_series_observe(kp_metric_series(m, "f=\"6\""), 2);
	assert_text(*state, "# HELP h Times\n# TYPE h histogram\n"
			    "h_bucket{f=\"4\",le=\"1\"} 0\nh_bucket{f=\"4\",le=\"+Inf\"} 0\n"
			    "h_sum{f=\"4\"} 0\nh_count{f=\"4\"} 0\n"
			    "h_bucket{f=\"6\",le=\"1\"} 0\nh_bucket{f=\"6\",le=\"+Inf\"} 1\n"
			    "h_sum{f=\"6\"} 2\nh_count{f=\"6\"} 1\n");
}

static void test_metrics_large_and_fine_numbers_stay_exact(void **state)
{
	struct kp_metric *g = kp_metrics_gauge(*state, "g", "Numbers");

	kp_series_set(kp_metric_series(g, "n=\"1\""), 123456789012345.0);
	kp_series_set(kp_metric_series(g, "n=\"2\""), 1709208000.1234560);
	kp_series_set(kp_metric_series(g, "n=\"3\""), 1e300);
	assert_text(*state, "# HELP g Numbers\n# TYPE g gauge\ng{n=\"1\"} 123456789012345\n"
			    "g{n=\"2\"} 1709208000.123456\ng{n=\"3\"} 1.0000000000000001e+300\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_metrics_counter_and_gauge),
		TEST(test_metrics_without_series_is_not_printed),
		TEST(test_metrics_histogram_is_cumulative_and_its_bounds_belong_to_it),
		TEST(test_metrics_histogram_with_labels),
		TEST(test_metrics_large_and_fine_numbers_stay_exact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
