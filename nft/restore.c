/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft/restore.h"

#include "nft/difference.h"

/* True when the set was thought intact.  An earlier try, which someone's transaction foiled, may
 * have said that it would be new. */
static bool note_new(uint8_t *set, bool is_new)
{
	bool spread = is_new && *set == KP_NFT_SET_INTACT;

	if (is_new)
		*set = KP_NFT_SET_NEW;
	else if (*set == KP_NFT_SET_NEW)
		*set = KP_NFT_SET_ANY;
	return spread;
}

int kp_nft_restore_structure(struct mnl_socket *socket, const struct kp_nft_structure *want,
			     bool rebuild, struct kp_nft_damage *damage,
			     struct kp_nft_transaction *t, bool *ret_spread, struct kp_err *err)
{
	*ret_spread = false;
	for (int family = 0; family < KP_N_FAMILIES; family++) {
		struct kp_nft_fresh fresh;
		int r;

		if (!damage->structure[family])
			continue;
		r = kp_nft_structure_apply(socket, want, family, rebuild, t, &fresh, err);
		if (r < 0)
			return r;
		for (int set = 0; set < KP_N_SETS; set++)
			*ret_spread |= note_new(&damage->sets[family][set], fresh.sets[set]);
	}
	return 0;
}

/* The elements of one set of one family among sorted ones; borrowed. */
static struct kp_nft_elements select_set(const struct kp_nft_elements *all, enum kp_family family,
					 enum kp_nft_set_id set)
{
	struct kp_nft_elements ret = {0};
	size_t lo = 0, hi = all->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (all->items[mid].family < family ||
		    (all->items[mid].family == family && all->items[mid].set < set))
			lo = mid + 1;
		else
			hi = mid;
	}
	ret.items = all->items + lo;
	while (lo + ret.n < all->n && ret.items[ret.n].set == set &&
	       ret.items[ret.n].family == family)
		ret.n++;
	return ret;
}

/* Reads what may be wrong. */
static int read_suspects(struct mnl_socket *socket, const struct kp_nft_damage *damage,
			 enum kp_family family, enum kp_nft_set_id set, struct kp_nft_elements *ret,
			 struct kp_err *err)
{
	struct kp_nft_elements touched = select_set(&damage->touched, family, set);
	int r = 0;

	if (damage->sets[family][set] == KP_NFT_SET_NEW)
		return 0;
	if (damage->sets[family][set] == KP_NFT_SET_ANY)
		return kp_nft_read_elements(socket, family, set, ret, err);
	for (size_t i = 0; i < touched.n && r == 0; i++)
		r = kp_nft_read_element(socket, &touched.items[i], ret, err);
	return r;
}

/* One set at a time, so that memory stays small. */
int kp_nft_restore_elements(struct mnl_socket *socket, const struct kp_nft_damage *damage,
			    const struct kp_nft_elements *want, struct kp_nft_transaction *t,
			    struct kp_err *err)
{
	int r = 0;

	for (int family = 0; family < KP_N_FAMILIES && r == 0; family++) {
		for (int set = 0; set < KP_N_SETS && r == 0; set++) {
			struct kp_nft_elements part = select_set(want, family, set), have = {0};

			if (kp_nft_sets[set].is_dynamic)
				continue;
			r = read_suspects(socket, damage, family, set, &have, err);
			kp_nft_elements_sort(&have);
			if (r == 0)
				kp_nft_add_difference(t, &have, &part);
			kp_nft_elements_clear(&have);
		}
	}
	return r;
}
