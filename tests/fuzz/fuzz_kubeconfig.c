/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A kubeconfig gives a configuration that holds together, or an error. */
#include <stdint.h>
#include <stdlib.h>

#include "api/kubeconfig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_auto_t *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	struct kp_api_config config = {0};
	struct kp_err err;

	if (!json || kp_kubeconfig_parse(json, "/dir", &config, &err) < 0)
		return 0;
	if (kp_api_config_check(&config, &err) < 0)
		abort();
	kp_api_config_clear(&config);
	return 0;
}
