/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a server or a plugin answers when something is wrong. */
#include <stdint.h>
#include <stdlib.h>

#include "api/end.h"
#include "api/exec_plugin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kp_exec_answer answer = {0};
	struct kp_end end;
	struct kp_err err;

	if (size < 1)
		return 0;
	kp_end_from_answer(300 + data[0], 0, (const char *)data + 1, size - 1, &end);
	if (kp_exec_answer_parse((const char *)data + 1, size - 1,
				 "client.authentication.k8s.io/v1", &answer, &err) == 0 &&
	    !answer.token && !answer.cert)
		abort();
	kp_exec_answer_clear(&answer);
	return 0;
}
