/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "process_metrics.h"

#include <dirent.h>
#include <inttypes.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "kproxy/version.h"
#include "util/time.h"

static void set(struct kp_metric *metric, double value)
{
	kp_series_set(kp_metric_series(metric, ""), value);
}

void kp_process_metrics_add(struct kp_process_metrics *p, struct kp_metrics *metrics)
{
	struct kp_metric *build = kp_metrics_gauge(metrics, "kproxy_build_info",
						   "1, with the version");

	kp_series_set(kp_metric_series(build, "version=\"" KPROXY_VERSION "\""), 1);
	set(kp_metrics_gauge(metrics, "process_start_time_seconds",
			     "Unix time when the process started"),
	    kp_time_now_us() / 1e6);
	p->cpu = kp_metrics_counter(metrics, "process_cpu_seconds_total",
				    "User and system CPU time");
	p->open_fds = kp_metrics_gauge(metrics, "process_open_fds", "Open file descriptors");
	p->max_fds = kp_metrics_gauge(metrics, "process_max_fds",
				      "File descriptors that may be open");
	p->virtual_bytes = kp_metrics_gauge(metrics, "process_virtual_memory_bytes",
					    "Virtual memory");
	p->resident_bytes = kp_metrics_gauge(metrics, "process_resident_memory_bytes",
					     "Resident memory");
}

static void read_fds(struct kp_metric *metric)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = -3; /* ".", ".." and the directory itself */

	if (!dir)
		return;
	while (readdir(dir))
		n++;
	closedir(dir);
	set(metric, n);
}

static void read_memory(const struct kp_process_metrics *p)
{
	FILE *file = fopen("/proc/self/statm", "re");
	uint64_t virtual_pages, resident_pages;
	long page_size = sysconf(_SC_PAGESIZE);

	if (!file)
		return;
	if (fscanf(file, "%" SCNu64 " %" SCNu64, &virtual_pages, &resident_pages) == 2) {
		set(p->virtual_bytes, (double)virtual_pages * page_size);
		set(p->resident_bytes, (double)resident_pages * page_size);
	}
	fclose(file);
}

void kp_process_metrics_read(const struct kp_process_metrics *p)
{
	struct timespec cpu;
	struct rlimit fds;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
		set(p->cpu, cpu.tv_sec + cpu.tv_nsec / 1e9);
	if (getrlimit(RLIMIT_NOFILE, &fds) == 0)
		set(p->max_fds, fds.rlim_cur);
	read_fds(p->open_fds);
	read_memory(p);
}
