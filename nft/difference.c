/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft/difference.h"

void kp_nft_add_difference(struct kp_nft_transaction *t, const struct kp_nft_elements *have,
			   const struct kp_nft_elements *want)
{
	size_t h = 0, w = 0;

	/* Deletions first: a key can be added again in the same transaction only after. */
	while (h < have->n) {
		int r = w < want->n ? kp_nft_element_compare_keys(&have->items[h], &want->items[w])
				    : -1;

		if (r > 0) {
			w++;
			continue;
		}
		if (r < 0 || !kp_nft_element_equal_content(&have->items[h], &want->items[w]))
			kp_nft_delete_element(t, &have->items[h]);
		h++;
	}
	for (h = 0, w = 0; w < want->n;) {
		int r = h < have->n ? kp_nft_element_compare_keys(&want->items[w], &have->items[h])
				    : -1;

		if (r > 0) {
			h++;
			continue;
		}
		if (r < 0 || !kp_nft_element_equal_content(&want->items[w], &have->items[h]))
			kp_nft_add_element(t, &want->items[w]);
		w++;
	}
}
