/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>

#include "nft/rules.h"

void kp_nft_features_clear(struct kp_nft_features *features)
{
	free(features->timeouts_s);
	memset(features, 0, sizeof(*features));
}

static bool add_flag(bool *flag, bool needed)
{
	bool is_new = needed && !*flag;

	*flag |= needed;
	return is_new;
}

static bool add_timeout(struct kp_nft_features *features, uint32_t timeout_s)
{
	size_t at = 0;

	while (at < features->n_timeouts && features->timeouts_s[at] < timeout_s)
		at++;
	if (at < features->n_timeouts && features->timeouts_s[at] == timeout_s)
		return false;
	features->timeouts_s = kp_xrealloc(features->timeouts_s,
					   (features->n_timeouts + 1) * sizeof(timeout_s));
	memmove(&features->timeouts_s[at + 1], &features->timeouts_s[at],
		(features->n_timeouts - at) * sizeof(timeout_s));
	features->timeouts_s[at] = timeout_s;
	features->n_timeouts++;
	return true;
}

bool kp_nft_features_add(struct kp_nft_features *features, const struct kp_vservice *v)
{
	bool is_new = false;

	for (size_t i = 0; i < v->n_frontends; i++) {
		const struct kp_frontend *f = &v->frontends[i];

		is_new |= add_flag(&features->guards, f->guarded);
		is_new |= add_flag(&features->local, kp_policy_is_local(f->policy));
	}
	if (v->affinity.timeout_s)
		is_new |= add_timeout(features, v->affinity.timeout_s);
	return is_new;
}
