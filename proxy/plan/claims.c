/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/claims.h"

#include <stdlib.h>

struct claim_key {
	struct kp_addr addr; /* zero: any node port address */
	uint16_t port;
	uint8_t proto;
	uint8_t family;
};
_Static_assert(sizeof(struct claim_key) == 20, "padding would break lookups");

/* One who asks for a frontend. */
struct claimant {
	const struct owner *owner;
	uint32_t index; /* of the owner's virtual service */
};

struct claim {
	struct claim_key key;
	uint32_t n_losers;
	struct claimant winner;	 /* nearly always the only one */
	struct claimant *losers; /* by rank */
	UT_hash_handle hh;
};

/* A frontend that an owner asks for in vain, kept so that it is reported once. */
struct loss {
	struct claim_key key;
	uint64_t winner; /* its serial */
	bool met;	 /* by the filtering that is under way */
	UT_hash_handle hh;
};

struct owner {
	uint64_t serial;
	int64_t created_s;
	size_t n_claims;
	struct claim **claims;
	struct loss *losses;
	UT_hash_handle hh;
	char name[];
};

struct kp_claims {
	struct claim *claims;
	struct owner *owners;
	uint64_t last_serial; /* of an owner, never used again */
};

struct kp_claims *kp_claims_new(void)
{
	return kp_xcalloc(1, sizeof(struct kp_claims));
}

static struct claim_key key_of(const struct kp_vservice *v, const struct kp_frontend *f)
{
	return (struct claim_key){
		.addr = f->addr, .port = f->port, .proto = v->proto, .family = v->family};
}

static struct claim *find(const struct kp_claims *claims, const struct claim_key *key)
{
	struct claim *claim;

	HASH_FIND(hh, claims->claims, key, sizeof(*key), claim);
	return claim;
}

/* Below zero when 'a' comes first. */
static int compare_ranks(const struct claimant *a, const struct claimant *b)
{
	int64_t a_s = a->owner->created_s ? a->owner->created_s : INT64_MAX;
	int64_t b_s = b->owner->created_s ? b->owner->created_s : INT64_MAX;
	int r;

	if (a_s != b_s)
		return a_s < b_s ? -1 : 1;
	r = strcmp(a->owner->name, b->owner->name);
	return r ? r : (a->index > b->index) - (a->index < b->index);
}

/* Where 'who' is among the losers, or would be: anyone may ask for the same address, thousands of
 * Services as well. */
static uint32_t find_place(const struct claim *claim, const struct claimant *who)
{
	uint32_t lo = 0, hi = claim->n_losers;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (compare_ranks(&claim->losers[mid], who) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void insert(struct claim *claim, struct claimant who)
{
	uint32_t at;

	if (compare_ranks(&who, &claim->winner) < 0) {
		struct claimant displaced = claim->winner;

		claim->winner = who;
		who = displaced;
	}
	at = find_place(claim, &who);
	claim->losers = kp_xrealloc(claim->losers, (claim->n_losers + 1) * sizeof(*claim->losers));
	memmove(&claim->losers[at + 1], &claim->losers[at],
		(claim->n_losers - at) * sizeof(*claim->losers));
	claim->losers[at] = who;
	claim->n_losers++;
}

static void remove_loser(struct claim *claim, uint32_t at)
{
	claim->n_losers--;
	memmove(&claim->losers[at], &claim->losers[at + 1],
		(claim->n_losers - at) * sizeof(*claim->losers));
}

/* Takes one claimant of 'owner' out; false when it was the last one, and the claim is gone. */
static bool withdraw(struct kp_claims *claims, struct claim *claim, const struct owner *owner)
{
	const struct claimant lowest = {.owner = owner};

	if (claim->winner.owner != owner) {
		remove_loser(claim, find_place(claim, &lowest));
	} else if (claim->n_losers > 0) {
		claim->winner = claim->losers[0];
		remove_loser(claim, 0);
	} else {
		HASH_DEL(claims->claims, claim);
		free(claim->losers);
		free(claim);
		return false;
	}
	return true;
}

static struct owner *get_owner(struct kp_claims *claims, const char *name)
{
	struct owner *owner;
	size_t len = strlen(name);

	HASH_FIND_STR(claims->owners, name, owner);
	if (!owner) {
		owner = kp_xcalloc(1, sizeof(*owner) + len + 1);
		memcpy(owner->name, name, len + 1);
		owner->serial = ++claims->last_serial;
		HASH_ADD_STR(claims->owners, name, owner);
	}
	return owner;
}

/* Forgets the losses that the last filtering has not met. */
static void forget_losses(struct owner *owner)
{
	struct loss *loss, *tmp;

	HASH_ITER (hh, owner->losses, loss, tmp) {
		if (loss->met) {
			loss->met = false;
			continue;
		}
		HASH_DEL(owner->losses, loss);
		free(loss);
	}
}

static void free_owner(struct kp_claims *claims, struct owner *owner)
{
	forget_losses(owner);
	HASH_DEL(claims->owners, owner);
	free(owner);
}

/* Of all others, only who won or lost through this has to look again. */
static void tell(const struct owner *affected, const struct owner *by,
		 const struct kp_claims_events *events)
{
	if (affected != by && events)
		events->affected(events->arg, affected->name);
}

static void release(struct kp_claims *claims, struct claim *claim, const struct owner *owner,
		    const struct kp_claims_events *events)
{
	bool won = claim->winner.owner == owner;

	if (withdraw(claims, claim, owner) && won)
		tell(claim->winner.owner, owner, events);
}

static void release_all(struct kp_claims *claims, struct owner *owner,
			const struct kp_claims_events *events)
{
	for (size_t i = 0; i < owner->n_claims; i++)
		release(claims, owner->claims[i], owner, events);
	free(owner->claims);
	owner->claims = NULL;
	owner->n_claims = 0;
}

static struct claim *claim_one(struct kp_claims *claims, const struct claim_key *key,
			       struct claimant who, const struct kp_claims_events *events)
{
	struct claim *claim = find(claims, key);
	const struct owner *before;

	if (claim) {
		before = claim->winner.owner;
		insert(claim, who);
		if (claim->winner.owner != before)
			tell(before, who.owner, events);
		return claim;
	}
	claim = kp_xcalloc(1, sizeof(*claim));
	claim->key = *key;
	claim->winner = who;
	HASH_ADD(hh, claims->claims, key, sizeof(claim->key), claim);
	return claim;
}

static size_t count_frontends(const struct kp_vservices *vs)
{
	size_t n = 0;

	for (size_t i = 0; i < vs->n; i++)
		n += vs->items[i].n_frontends;
	return n;
}

void kp_claims_update(struct kp_claims *claims, const char *name, int64_t created_s,
		      const struct kp_vservices *vs, const struct kp_claims_events *events)
{
	struct owner *owner = get_owner(claims, name);

	release_all(claims, owner, events);
	if (vs->n == 0) {
		free_owner(claims, owner);
		return;
	}
	owner->created_s = created_s;
	owner->claims = kp_xcalloc(count_frontends(vs), sizeof(struct claim *));
	for (size_t i = 0; i < vs->n; i++) {
		const struct kp_vservice *v = &vs->items[i];

		for (size_t j = 0; j < v->n_frontends; j++) {
			struct claim_key key = key_of(v, &v->frontends[j]);
			const struct claimant who = {.owner = owner, .index = i};

			owner->claims[owner->n_claims++] = claim_one(claims, &key, who, events);
		}
	}
}

static struct loss *find_loss(const struct owner *owner, const struct claim_key *key)
{
	struct loss *loss;

	HASH_FIND(hh, owner->losses, key, sizeof(*key), loss);
	return loss;
}

/* Notes a loss.  True when it is news: a node port that is lost in both families is one loss. */
static bool note_loss(struct owner *owner, const struct claim_key *key, uint64_t winner)
{
	static const struct kp_addr any;
	struct loss *loss = find_loss(owner, key), *twin = NULL;
	struct claim_key ipv4 = *key;
	bool known = loss && loss->winner == winner;

	if (!loss) {
		loss = kp_xcalloc(1, sizeof(*loss));
		loss->key = *key;
		HASH_ADD(hh, owner->losses, key, sizeof(loss->key), loss);
	}
	loss->winner = winner;
	loss->met = true;
	ipv4.family = KP_IPV4;
	if (key->family == KP_IPV6 && kp_addr_equal(&key->addr, &any))
		twin = find_loss(owner, &ipv4);
	return !known && !(twin && twin->met && twin->winner == winner);
}

/* Whether the owner's virtual service 'index' has this frontend. */
static bool wins(const struct kp_claims *claims, struct owner *owner, size_t index,
		 const struct kp_vservice *v, const struct kp_frontend *f,
		 const struct kp_claims_events *events)
{
	struct claim_key key = key_of(v, f);
	const struct claimant *winner = &find(claims, &key)->winner;

	if (winner->owner == owner && winner->index == index)
		return true;
	if (note_loss(owner, &key, winner->owner->serial))
		events->conflict(events->arg, owner->name, winner->owner->name, v, f);
	return false;
}

void kp_claims_filter(struct kp_claims *claims, const char *name, struct kp_vservices *vs,
		      const struct kp_claims_events *events)
{
	size_t n = vs->n;
	struct owner *owner;

	HASH_FIND_STR(claims->owners, name, owner);
	vs->n = 0;
	for (size_t i = 0; i < n; i++) {
		struct kp_vservice v = vs->items[i];
		uint16_t kept = 0;

		for (size_t j = 0; j < v.n_frontends; j++)
			if (wins(claims, owner, i, &v, &v.frontends[j], events))
				v.frontends[kept++] = v.frontends[j];
		v.n_frontends = kept;
		if (kept > 0)
			vs->items[vs->n++] = v;
		else
			kp_vservice_clear(&v);
	}
	if (owner)
		forget_losses(owner);
}

size_t kp_claims_n_losses(const struct kp_claims *claims)
{
	size_t n = 0;

	for (const struct owner *owner = claims->owners; owner; owner = owner->hh.next)
		n += HASH_COUNT(owner->losses);
	return n;
}

void kp_claims_free(struct kp_claims *claims)
{
	struct owner *owner, *tmp;

	if (!claims)
		return;
	HASH_ITER (hh, claims->owners, owner, tmp) {
		release_all(claims, owner, NULL);
		free_owner(claims, owner);
	}
	free(claims);
}
