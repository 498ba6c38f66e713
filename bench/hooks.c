/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long does it take to fill the maps of the socket hooks, and to change endpoints?  How much
 * memory does a frontend take?
 *
 *     hooks FRONTENDS CHANGES
 *
 * Loads the programs without attaching them, puts frontends with four endpoints each, and then
 * moves one endpoint of one frontend after the other. */
#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bpf/programs.h"
#include "bpf/ranges.h"

enum {
	N_ENDPOINTS = 4
};

static int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000) + ts.tv_nsec / 1000;
}

static struct kp_bpf_dial dial_of(unsigned int i)
{
	return (struct kp_bpf_dial){.addr = {.bytes = {10, 96 + (i >> 16), i >> 8, i}},
				    .port = 80,
				    .proto = IPPROTO_TCP};
}

static int put(struct kp_bpf_table *table, unsigned int i, unsigned int change)
{
	struct kp_target slots[N_ENDPOINTS];
	const struct kp_endpoint_set set = {.n = N_ENDPOINTS, .slots = slots};
	struct kp_bpf_dial dial = dial_of(i);

	for (unsigned int e = 0; e < N_ENDPOINTS; e++)
		slots[e] = (struct kp_target){.addr = {.bytes = {10, 180 + (i >> 16), i >> 8, i}},
					      .port = 8000 + e};
	slots[0].port += 10 * change;
	return kp_bpf_table_put(table, &dial, &set, &set, now_us());
}

static size_t map_bytes_of(const char *fd)
{
	char path[64], line[128];
	size_t bytes = 0, value;
	bool is_map = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%.9s", fd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		is_map |= strncmp(line, "map_type:", 9) == 0;
		if (sscanf(line, "memlock: %zu", &value) == 1)
			bytes = value;
	}
	if (f)
		fclose(f);
	return is_map ? bytes : 0;
}

/* What the kernel says that all our maps take. */
static size_t map_bytes(void)
{
	DIR *dir = opendir("/proc/self/fdinfo");
	const struct dirent *entry;
	size_t bytes = 0;

	while (dir && (entry = readdir(dir)))
		bytes += map_bytes_of(entry->d_name);
	if (dir)
		closedir(dir);
	return bytes;
}

static int measure(struct kp_bpf_table *table, unsigned int n_frontends, unsigned int n_changes,
		   const char *name)
{
	size_t kernel = map_bytes(), daemon = mallinfo2().uordblks;
	int64_t start_us = now_us(), loading_us;
	int r = 0;

	for (unsigned int i = 0; i < n_frontends && r == 0; i++)
		r = put(table, i, 0);
	loading_us = now_us() - start_us;
	printf("%s: a frontend takes %.0f bytes besides its cells, and %.0f in the daemon\n", name,
	       (double)(map_bytes() - kernel) / n_frontends,
	       (double)(mallinfo2().uordblks - daemon) / n_frontends);
	start_us = now_us();
	for (unsigned int i = 0; i < n_changes && r == 0; i++)
		r = put(table, i % n_frontends, 1 + i / n_frontends);
	printf("%s: %u frontends in %.0f ms, %u changes, %.2f us each\n", name, n_frontends,
	       loading_us / 1e3, n_changes, (double)(now_us() - start_us) / n_changes);
	return r;
}

int main(int argc, char **argv)
{
	const unsigned int n = argc > 1 ? atoi(argv[1]) : 100000;
	const unsigned int n_changes = argc > 2 ? atoi(argv[2]) : 100000;
	const struct kp_hook_settings settings = {.bpf_root = "/nonexistent", .udp = true};
	const struct kp_bpf_sizes size = {kp_bpf_ranges_round(n),
					  kp_bpf_ranges_round((n + n_changes) * N_ENDPOINTS)};
	const struct kp_bpf_sizes sizes[KP_N_FAMILIES] = {size, size};
	struct kp_bpf_programs *programs;
	struct kp_err err = KP_ERR_INIT;
	int r = kp_bpf_programs_load(&settings, sizes, NULL, &programs, &err);

	if (r < 0) {
		fprintf(stderr, "hooks: %s\n", err.text);
		return 1;
	}
	for (int f = 0; f < KP_N_FAMILIES && r == 0; f++) {
		struct kp_bpf_table *table = kp_bpf_table_new(f,
							      kp_bpf_programs_memory(programs, f));

		r = measure(table, n, n_changes, kp_family_name(f));
		kp_bpf_table_free(table);
	}
	kp_bpf_programs_free(programs);
	if (r < 0)
		fprintf(stderr, "hooks: %s\n", strerror(-r));
	return r < 0;
}
