/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/privileges.h"

#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct privilege {
	unsigned int number;
	const char *name;
};

static uint64_t effective(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	/* glibc has no wrapper; a failure leaves the set empty. */
	syscall(SYS_capget, &header, data);
	return (uint64_t)data[1].effective << 32 | data[0].effective;
}

static bool list_missing(const struct privilege *wanted, size_t n, char ret[KP_PRIVILEGES_SIZE])
{
	uint64_t have = effective();

	*ret = 0;
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(ret);

		if (!(have >> wanted[i].number & 1))
			snprintf(ret + len, KP_PRIVILEGES_SIZE - len, "%s%s", len > 0 ? ", " : "",
				 wanted[i].name);
	}
	return *ret;
}

bool kp_privileges_missing_for_hooks(char ret[KP_PRIVILEGES_SIZE])
{
	static const struct privilege wanted[] = {
		{CAP_BPF, "CAP_BPF"},
		{CAP_NET_ADMIN, "CAP_NET_ADMIN"},
		{CAP_PERFMON, "CAP_PERFMON"},
	};

	return list_missing(wanted, sizeof(wanted) / sizeof(wanted[0]), ret);
}

bool kp_privileges_missing_for_sockets(char ret[KP_PRIVILEGES_SIZE])
{
	static const struct privilege wanted[] = {
		{CAP_PERFMON, "CAP_PERFMON"},
		{CAP_SYS_PTRACE, "CAP_SYS_PTRACE"},
		/* /proc/PID/fd of other users; without DAC_OVERRIDE root may not list it. */
		{CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"},
	};

	return list_missing(wanted, sizeof(wanted) / sizeof(wanted[0]), ret);
}
