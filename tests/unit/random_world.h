/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small cluster that changes at random.  Names, addresses and ports are so few that Services
 * collide, share endpoints and swap slices. */
#ifndef KPROXY_RANDOM_WORLD_H
#define KPROXY_RANDOM_WORLD_H

#include "model/store.h"

struct world;

/* The same seed makes the same changes. */
struct world *world_new(uint64_t seed);
void world_free(struct world *world);

/* Makes one change and tells the store: an object comes, goes, changes or stays as it was. */
void world_change(struct world *world, struct kp_store *store);

/* Puts all that is there into an empty store, in another order than it came. */
void world_put_all(const struct world *world, struct kp_store *store);

/* A number below 'n', out of the same sequence. */
unsigned int world_below(struct world *world, unsigned int n);

#endif
