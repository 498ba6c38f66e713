/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keeps the objects and the join "Service name -> Service and slices".
 *
 * Services and slices meet in a 'struct entry', one per Service name.  Slices also have an index
 * of their own, because an update or removal names the slice and not the Service.  The store owns
 * every object; what a source or the plan may know about them goes through store.h. */
#include "model/store.h"

#include <string.h>
#include <uthash.h>

#include "track/tracker.h"

/* Keys stand behind their structs: at 10 000 Services every allocation counts. */

struct entry {
	UT_hash_handle hh;
	struct kp_service *service;	  /* NULL: only slices */
	struct kp_endpointslice **slices; /* borrowed from the slice index, sorted by name */
	uint32_t n_slices;
	uint32_t seen; /* the Service's last list */
	char key[];    /* "namespace/name" */
};

struct slice {
	UT_hash_handle hh;
	struct kp_endpointslice *slice;
	struct entry *entry; /* the Service it belongs to */
	uint32_t seen;	     /* last list */
	char key[];	     /* "namespace/name" */
};

struct cidr {
	UT_hash_handle hh;
	struct kp_servicecidr *cidr;
	uint32_t seen;
};

struct kp_store {
	struct kp_tracker *tracker;
	struct entry *entries;
	struct slice *slices;
	struct cidr *cidrs;
	struct kp_node *node;
	struct kp_node *gone_node;	       /* the last one, while there is none */
	struct kp_addr node_ip[KP_N_FAMILIES]; /* in the place of the Node's; zero: none */
	uint32_t node_seen;
	size_t n_services;
	uint32_t list[KP_N_KINDS]; /* counts the lists of each kind; objects note the last one */
};

static bool put_service(struct kp_store *store, struct kp_service *service);
static bool put_slice(struct kp_store *store, struct kp_endpointslice *slice);
static bool put_node(struct kp_store *store, struct kp_node *node);
static bool put_cidr(struct kp_store *store, struct kp_servicecidr *cidr);
static bool remove_service(struct kp_store *store, const char *key);
static bool remove_slice(struct kp_store *store, const char *key);
static bool remove_node(struct kp_store *store, const char *name);
static bool remove_cidr(struct kp_store *store, const char *name);
static uint32_t *find_seen(struct kp_store *store, enum kp_kind kind, const char *key);

struct kp_store *kp_store_new(struct kp_tracker *tracker)
{
	struct kp_store *store = kp_xcalloc(1, sizeof(*store));

	store->tracker = tracker;
	return store;
}

void kp_store_free(struct kp_store *store)
{
	struct entry *entry, *next_entry;
	struct slice *slice, *next_slice;
	struct cidr *cidr, *next_cidr;

	if (!store)
		return;
	HASH_ITER (hh, store->entries, entry, next_entry) {
		HASH_DEL(store->entries, entry);
		kp_service_free(entry->service);
		free(entry->slices);
		free(entry);
	}
	HASH_ITER (hh, store->slices, slice, next_slice) {
		HASH_DEL(store->slices, slice);
		kp_endpointslice_free(slice->slice);
		free(slice);
	}
	HASH_ITER (hh, store->cidrs, cidr, next_cidr) {
		HASH_DEL(store->cidrs, cidr);
		kp_servicecidr_free(cidr->cidr);
		free(cidr);
	}
	kp_node_free(store->node);
	kp_node_free(store->gone_node);
	free(store);
}

bool kp_store_put(struct kp_store *store, struct kp_object *object)
{
	struct kp_object taken = *object;

	object->any = NULL;
	switch (taken.kind) {
	case KP_KIND_SERVICE:
		return put_service(store, taken.service);
	case KP_KIND_ENDPOINTSLICE:
		return put_slice(store, taken.slice);
	case KP_KIND_NODE:
		return put_node(store, taken.node);
	case KP_KIND_SERVICECIDR:
		return put_cidr(store, taken.cidr);
	case KP_N_KINDS:
		break;
	}
	return false;
}

bool kp_store_remove(struct kp_store *store, enum kp_kind kind, const char *ns, const char *name)
{
	kp_autofree char *key = kp_xasprintf("%s/%s", ns, name);

	switch (kind) {
	case KP_KIND_SERVICE:
		return remove_service(store, key);
	case KP_KIND_ENDPOINTSLICE:
		return remove_slice(store, key);
	case KP_KIND_NODE:
		return remove_node(store, name);
	case KP_KIND_SERVICECIDR:
		return remove_cidr(store, name);
	case KP_N_KINDS:
		break;
	}
	return false;
}

void kp_store_begin_list(struct kp_store *store, enum kp_kind kind)
{
	store->list[kind]++;
}

void kp_store_keep(struct kp_store *store, enum kp_kind kind, const char *ns, const char *name)
{
	kp_autofree char *key = kp_xasprintf("%s%s%s", ns, *ns ? "/" : "", name);
	uint32_t *seen = find_seen(store, kind, key);

	if (seen)
		*seen = store->list[kind];
}

static size_t sweep_services(struct kp_store *store)
{
	struct entry *entry, *next;
	size_t n = 0;

	HASH_ITER (hh, store->entries, entry, next)
		if (entry->service && entry->seen != store->list[KP_KIND_SERVICE])
			n += remove_service(store, entry->key);
	return n;
}

static size_t sweep_slices(struct kp_store *store)
{
	struct slice *slice, *next;
	size_t n = 0;

	HASH_ITER (hh, store->slices, slice, next)
		if (slice->seen != store->list[KP_KIND_ENDPOINTSLICE])
			n += remove_slice(store, slice->key);
	return n;
}

static size_t sweep_cidrs(struct kp_store *store)
{
	struct cidr *cidr, *next;
	size_t n = 0;

	HASH_ITER (hh, store->cidrs, cidr, next)
		if (cidr->seen != store->list[KP_KIND_SERVICECIDR])
			n += remove_cidr(store, cidr->cidr->name);
	return n;
}

size_t kp_store_end_list(struct kp_store *store, enum kp_kind kind)
{
	switch (kind) {
	case KP_KIND_SERVICE:
		return sweep_services(store);
	case KP_KIND_ENDPOINTSLICE:
		return sweep_slices(store);
	case KP_KIND_NODE:
		return store->node && store->node_seen != store->list[kind] &&
		       remove_node(store, store->node->name);
	case KP_KIND_SERVICECIDR:
		return sweep_cidrs(store);
	case KP_N_KINDS:
		break;
	}
	return 0;
}

bool kp_store_get(const struct kp_store *store, const char *key, struct kp_store_service *ret)
{
	const struct entry *entry;

	HASH_FIND_STR(store->entries, key, entry);
	if (!entry)
		return false;
	*ret = (struct kp_store_service){
		.key = entry->key,
		.service = entry->service,
		.n_slices = entry->n_slices,
		.slices = (const struct kp_endpointslice *const *)entry->slices,
	};
	return true;
}

const struct kp_node *kp_store_node(const struct kp_store *store)
{
	return store->node;
}

const struct kp_node *kp_store_last_node(const struct kp_store *store)
{
	return store->node ? store->node : store->gone_node;
}

void kp_store_override_node_ip(struct kp_store *store, enum kp_family family,
			       const struct kp_addr *addr)
{
	store->node_ip[family] = *addr;
}

const struct kp_addr *kp_store_node_ip(const struct kp_store *store, enum kp_family family)
{
	const struct kp_addr *addr = &store->node_ip[family];
	const struct kp_node *node = kp_store_last_node(store);

	if (kp_addr_is_zero(addr) && node)
		addr = &node->ip[family];
	return kp_addr_is_zero(addr) || kp_addr_is_loopback(family, addr) ? NULL : addr;
}

void kp_store_each_service_cidr(const struct kp_store *store,
				void (*fn)(void *arg, const struct kp_prefix *cidr), void *arg)
{
	for (const struct cidr *cidr = store->cidrs; cidr; cidr = cidr->hh.next)
		for (size_t i = 0; i < cidr->cidr->cidrs.n; i++)
			fn(arg, &cidr->cidr->cidrs.items[i]);
}

size_t kp_store_count(const struct kp_store *store, enum kp_kind kind)
{
	switch (kind) {
	case KP_KIND_SERVICE:
		return store->n_services;
	case KP_KIND_ENDPOINTSLICE:
		return HASH_COUNT(store->slices);
	case KP_KIND_NODE:
		return store->node ? 1 : 0;
	case KP_KIND_SERVICECIDR:
		return HASH_COUNT(store->cidrs);
	case KP_N_KINDS:
		break;
	}
	return 0;
}

void kp_store_mark_all(const struct kp_store *store)
{
	for (const struct entry *entry = store->entries; entry; entry = entry->hh.next)
		if (entry->service)
			kp_tracker_mark_service(store->tracker, entry->key);
}

/* Frees 'fresh' when it says nothing new. */
static bool is_known(enum kp_kind kind, void *known, void *fresh)
{
	struct kp_object a = {.kind = kind, .any = known}, b = {.kind = kind, .any = fresh};

	if (!known || !kp_object_equal(&a, &b))
		return false;
	kp_object_clear(&b);
	return true;
}

static struct entry *get_or_add_entry(struct kp_store *store, const char *key)
{
	size_t len = strlen(key);
	struct entry *entry;

	HASH_FIND(hh, store->entries, key, len, entry);
	if (entry)
		return entry;
	entry = kp_xcalloc(1, sizeof(*entry) + len + 1);
	memcpy(entry->key, key, len + 1);
	HASH_ADD_KEYPTR(hh, store->entries, entry->key, len, entry);
	return entry;
}

static void drop_entry_if_empty(struct kp_store *store, struct entry *entry)
{
	if (entry->service || entry->n_slices > 0)
		return;
	HASH_DEL(store->entries, entry);
	free(entry->slices);
	free(entry);
}

static bool put_service(struct kp_store *store, struct kp_service *service)
{
	kp_autofree char *key = kp_xasprintf("%s/%s", service->ns, service->name);
	struct entry *entry = get_or_add_entry(store, key);

	entry->seen = store->list[KP_KIND_SERVICE];
	if (is_known(KP_KIND_SERVICE, entry->service, service))
		return false;
	if (!entry->service)
		store->n_services++;
	kp_service_free(entry->service);
	entry->service = service;
	kp_tracker_mark_changed(store->tracker, key, KP_CHANGE_OF_SERVICE);
	return true;
}

static bool remove_service(struct kp_store *store, const char *key)
{
	struct entry *entry;

	HASH_FIND_STR(store->entries, key, entry);
	if (!entry || !entry->service)
		return false;
	kp_service_free(KP_TAKE(entry->service));
	store->n_services--;
	kp_tracker_mark_changed(store->tracker, key, KP_CHANGE_OF_SERVICE);
	drop_entry_if_empty(store, entry);
	return true;
}

/* Slices of one Service share its namespace, so their names alone order them. */
static void entry_insert(struct entry *entry, struct kp_endpointslice *slice)
{
	size_t i = entry->n_slices;

	entry->slices = kp_xrealloc(entry->slices, (i + 1) * sizeof(*entry->slices));
	for (; i > 0 && strcmp(entry->slices[i - 1]->name, slice->name) > 0; i--)
		entry->slices[i] = entry->slices[i - 1];
	entry->slices[i] = slice;
	entry->n_slices++;
}

static void entry_erase(struct entry *entry, const struct kp_endpointslice *slice)
{
	size_t i = 0;

	while (entry->slices[i] != slice)
		i++;
	entry->n_slices--;
	memmove(&entry->slices[i], &entry->slices[i + 1],
		(entry->n_slices - i) * sizeof(*entry->slices));
}

/* Takes a slice away from its Service and frees it; its place in the index stays. */
static void detach_slice(struct kp_store *store, struct slice *known)
{
	entry_erase(known->entry, known->slice);
	drop_entry_if_empty(store, KP_TAKE(known->entry));
	kp_endpointslice_free(KP_TAKE(known->slice));
}

static void mark_slice_gone(struct kp_store *store, const struct slice *known)
{
	kp_tracker_mark_changed(store->tracker, known->entry->key, KP_CHANGE_OF_ENDPOINTS);
	kp_tracker_drop_triggers(store->tracker, known->entry->key);
}

static struct slice *get_or_add_slice(struct kp_store *store, const char *key)
{
	size_t len = strlen(key);
	struct slice *slice;

	HASH_FIND(hh, store->slices, key, len, slice);
	if (slice)
		return slice;
	slice = kp_xcalloc(1, sizeof(*slice) + len + 1);
	memcpy(slice->key, key, len + 1);
	HASH_ADD_KEYPTR(hh, store->slices, slice->key, len, slice);
	return slice;
}

static bool put_slice(struct kp_store *store, struct kp_endpointslice *slice)
{
	kp_autofree char *key = kp_xasprintf("%s/%s", slice->ns, slice->name);
	kp_autofree char *service_key = kp_xasprintf("%s/%s", slice->ns, slice->service);
	struct slice *known = get_or_add_slice(store, key);

	known->seen = store->list[KP_KIND_ENDPOINTSLICE];
	if (is_known(KP_KIND_ENDPOINTSLICE, known->slice, slice))
		return false;
	if (known->slice && strcmp(known->entry->key, service_key) != 0)
		mark_slice_gone(store, known); /* from another Service (ES-10) */
	if (known->slice)
		detach_slice(store, known);
	known->slice = slice;
	known->entry = get_or_add_entry(store, service_key);
	entry_insert(known->entry, slice);
	kp_tracker_mark_changed(store->tracker, service_key, KP_CHANGE_OF_ENDPOINTS);
	if (slice->trigger_us)
		kp_tracker_add_trigger(store->tracker, service_key, slice->family,
				       slice->trigger_us);
	return true;
}

static bool remove_slice(struct kp_store *store, const char *key)
{
	struct slice *known;

	HASH_FIND_STR(store->slices, key, known);
	if (!known)
		return false;
	mark_slice_gone(store, known);
	detach_slice(store, known);
	HASH_DEL(store->slices, known);
	free(known);
	return true;
}

/* A new zone changes which hints apply (ND-5), a new address what source ranges admit (FW-4). */
static bool concerns_services(const struct kp_node *a, const struct kp_node *b)
{
	static const struct kp_node unknown = {.zone = ""};

	a = a ? a : &unknown;
	b = b ? b : &unknown;
	return strcmp(a->zone, b->zone) != 0 || memcmp(a->ip, b->ip, sizeof(a->ip)) != 0;
}

/* A Node that is made anew has neither addresses nor podCIDRs at first: those that we know stay. */
static void complete_node(const struct kp_store *store, struct kp_node *node)
{
	const struct kp_node *last = kp_store_last_node(store);

	if (last && kp_addr_is_zero(&node->ip[KP_IPV4]) && kp_addr_is_zero(&node->ip[KP_IPV6]))
		memcpy(node->ip, last->ip, sizeof(node->ip));
	if (last && !node->has_pod_cidr[KP_IPV4] && !node->has_pod_cidr[KP_IPV6]) {
		memcpy(node->has_pod_cidr, last->has_pod_cidr, sizeof(node->has_pod_cidr));
		memcpy(node->pod_cidr, last->pod_cidr, sizeof(node->pod_cidr));
	}
	for (int f = 0; f < KP_N_FAMILIES; f++)
		if (!kp_addr_is_zero(&store->node_ip[f]))
			node->ip[f] = store->node_ip[f];
}

static bool put_node(struct kp_store *store, struct kp_node *node)
{
	bool moved;

	store->node_seen = store->list[KP_KIND_NODE];
	complete_node(store, node);
	if (is_known(KP_KIND_NODE, store->node, node))
		return false;
	moved = concerns_services(kp_store_last_node(store), node);
	kp_node_free(store->node);
	kp_node_free(KP_TAKE(store->gone_node));
	store->node = node;
	kp_tracker_mark_facts(store->tracker);
	if (moved)
		kp_store_mark_all(store);
	return true;
}

static bool remove_node(struct kp_store *store, const char *name)
{
	if (!store->node || strcmp(store->node->name, name) != 0)
		return false;
	store->gone_node = KP_TAKE(store->node);
	kp_tracker_mark_facts(store->tracker);
	return true;
}

static bool put_cidr(struct kp_store *store, struct kp_servicecidr *cidr)
{
	struct cidr *known;

	HASH_FIND_STR(store->cidrs, cidr->name, known);
	if (known) {
		known->seen = store->list[KP_KIND_SERVICECIDR];
		if (is_known(KP_KIND_SERVICECIDR, known->cidr, cidr))
			return false;
		/* The hash key is the object's own name, so it leaves together with it. */
		HASH_DEL(store->cidrs, known);
		kp_servicecidr_free(known->cidr);
	} else {
		known = kp_xcalloc(1, sizeof(*known));
	}
	known->cidr = cidr;
	known->seen = store->list[KP_KIND_SERVICECIDR];
	HASH_ADD_KEYPTR(hh, store->cidrs, cidr->name, strlen(cidr->name), known);
	kp_tracker_mark_facts(store->tracker);
	return true;
}

static bool remove_cidr(struct kp_store *store, const char *name)
{
	struct cidr *known;

	HASH_FIND_STR(store->cidrs, name, known);
	if (!known)
		return false;
	HASH_DEL(store->cidrs, known);
	kp_servicecidr_free(known->cidr);
	free(known);
	kp_tracker_mark_facts(store->tracker);
	return true;
}

/* Where an object notes the last list that held it; NULL when there is no such object. */
static uint32_t *find_seen(struct kp_store *store, enum kp_kind kind, const char *key)
{
	struct entry *entry = NULL;
	struct slice *slice = NULL;
	struct cidr *cidr = NULL;

	switch (kind) {
	case KP_KIND_SERVICE:
		HASH_FIND_STR(store->entries, key, entry);
		return entry ? &entry->seen : NULL;
	case KP_KIND_ENDPOINTSLICE:
		HASH_FIND_STR(store->slices, key, slice);
		return slice ? &slice->seen : NULL;
	case KP_KIND_NODE:
		return &store->node_seen;
	case KP_KIND_SERVICECIDR:
		HASH_FIND_STR(store->cidrs, key, cidr);
		return cidr ? &cidr->seen : NULL;
	case KP_N_KINDS:
		break;
	}
	return NULL;
}
