/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each family has sockets of its own, because the numbers of endpoints differ (HC-7). */
#include "http/service_health.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kproxy/events.h"
#include "kproxy/log.h"
#include "plan/endpoints.h"
#include "util/node_addrs.h"

struct port;

struct socket {
	const struct port *port;
	struct kp_prefix at;
	struct kp_http_listener *listener;
};

/* The port of one Service. */
struct port {
	UT_hash_handle hh;
	struct kp_service_health *sh;
	uint16_t number;
	bool has_family[KP_N_FAMILIES];
	size_t n_local[KP_N_FAMILIES];
	bool failed;   /* a socket is missing */
	bool reported; /* and we said so */
	size_t n_sockets;
	struct socket **sockets;
	char key[]; /* "namespace/name" */
};

struct kp_service_health {
	struct kp_http *http;
	const struct kp_store *store;
	bool (*is_live)(const void *arg);
	const void *arg;
	struct port *ports;
	size_t n_failed;
	/* Where to listen; the zero address is all of its family. */
	size_t n_addrs;
	struct kp_prefix *addrs;
};

struct kp_service_health *kp_service_health_new(struct kp_http *http, const struct kp_store *store,
						bool (*is_live)(const void *arg), const void *arg)
{
	struct kp_service_health *sh = kp_xcalloc(1, sizeof(*sh));

	sh->http = http;
	sh->store = store;
	sh->is_live = is_live;
	sh->arg = arg;
	return sh;
}

/* HC-4, as kube-proxy lays it out. */
static void answer(void *arg, const char *path, struct kp_http_answer *ret)
{
	const struct socket *socket = arg;
	const struct port *port = socket->port;
	size_t n_local = port->n_local[socket->at.family];
	bool live = port->sh->is_live(port->sh->arg);
	int ns_len = strcspn(port->key, "/");

	(void)path;
	ret->status = n_local > 0 && live ? 200 : 503;
	ret->type = "application/json";
	ret->body = kp_xasprintf("{\n\t\"service\": {\n\t\t\"namespace\": \"%.*s\",\n"
				 "\t\t\"name\": \"%s\"\n\t},\n\t\"localEndpoints\": %zu,\n"
				 "\t\"serviceProxyHealthy\": %s\n}",
				 ns_len, port->key, port->key + ns_len + 1, n_local,
				 live ? "true" : "false");
	ret->size = strlen(ret->body);
	ret->header = "X-Load-Balancing-Endpoint-Weight";
	snprintf(ret->header_value, sizeof(ret->header_value), "%zu", n_local);
}

static void set_failed(struct port *port, bool failed)
{
	port->sh->n_failed += failed - port->failed;
	port->failed = failed;
	if (!failed)
		port->reported = false;
}

static void close_port(struct port *port)
{
	for (size_t i = 0; i < port->n_sockets; i++) {
		kp_http_unlisten(port->sockets[i]->listener);
		free(port->sockets[i]);
	}
	free(KP_TAKE(port->sockets));
	port->n_sockets = 0;
}

static void open_socket(struct port *port, const struct kp_prefix *at, struct kp_err *err)
{
	struct kp_addr_port addr_port = {
		.addr = at->addr, .family = at->family, .port = port->number};
	struct socket *socket = kp_xcalloc(1, sizeof(*socket));

	if (kp_http_listen(port->sh->http, &addr_port, false, answer, socket, &socket->listener,
			   err) < 0) {
		free(socket);
		return;
	}
	socket->port = port;
	socket->at = *at;
	port->sockets = kp_xrealloc(port->sockets, (port->n_sockets + 1) * sizeof(*port->sockets));
	port->sockets[port->n_sockets++] = socket;
}

static bool is_open(const struct port *port, const struct kp_prefix *at)
{
	for (size_t i = 0; i < port->n_sockets; i++)
		if (memcmp(&port->sockets[i]->at, at, sizeof(*at)) == 0)
			return true;
	return false;
}

/* Opens the sockets that are missing, and says once why one cannot be had. */
static void open_port(struct port *port)
{
	struct kp_service_health *sh = port->sh;
	struct kp_err err = KP_ERR_INIT;

	for (size_t i = 0; i < sh->n_addrs; i++)
		if (port->has_family[sh->addrs[i].family] && !is_open(port, &sh->addrs[i]))
			open_socket(port, &sh->addrs[i], &err);
	if (!err.code && port->n_sockets == 0)
		kp_err_set(&err, EADDRNOTAVAIL, "no address of this node serves node ports");
	set_failed(port, err.code != 0);
	if (!err.code || port->reported)
		return;
	port->reported = true;
	kp_log_error("health", "healthCheckNodePort is not served, trying again at each sync",
		     "service=%s port=%u error=%s", port->key, port->number,
		     kp_log_quote(err.text));
	kp_event_service(port->key, "FailedToStartServiceHealthcheck", "Listen",
			 "healthCheckNodePort %u is not served: %s", port->number, err.text);
}

static void remove_port(struct port *port)
{
	close_port(port);
	set_failed(port, false);
	HASH_DEL(port->sh->ports, port);
	free(port);
}

static struct port *get_or_add_port(struct kp_service_health *sh, const char *key)
{
	size_t len = strlen(key);
	struct port *port;

	HASH_FIND(hh, sh->ports, key, len, port);
	if (port)
		return port;
	port = kp_xcalloc(1, sizeof(*port) + len + 1);
	port->sh = sh;
	memcpy(port->key, key, len + 1);
	HASH_ADD_KEYPTR(hh, sh->ports, port->key, len, port);
	return port;
}

static void set_families(struct port *port, const struct kp_service *service)
{
	for (int f = 0; f < KP_N_FAMILIES; f++)
		port->has_family[f] = !kp_addr_is_zero(&service->cluster_ip[f]);
}

static bool has_same_families(const struct port *port, const struct kp_service *service)
{
	for (int f = 0; f < KP_N_FAMILIES; f++)
		if (port->has_family[f] != !kp_addr_is_zero(&service->cluster_ip[f]))
			return false;
	return true;
}

static bool wants_port(const struct kp_store_service *service)
{
	return service->service && service->service->needs_health_port &&
	       service->service->health_check_node_port != 0;
}

/* Sockets open later, in retry_failed(): another Service may give the port up in the same sync. */
static void update_service(void *arg, const char *key)
{
	struct kp_service_health *sh = arg;
	struct kp_store_service service = {0};
	struct port *port;

	if (!kp_store_get(sh->store, key, &service) || !wants_port(&service)) {
		HASH_FIND_STR(sh->ports, key, port);
		if (port)
			remove_port(port);
		return;
	}
	port = get_or_add_port(sh, key);
	if (port->number != service.service->health_check_node_port ||
	    !has_same_families(port, service.service)) {
		close_port(port);
		set_failed(port, true);
		port->reported = false;
		port->number = service.service->health_check_node_port;
		set_families(port, service.service);
	}
	for (int f = 0; f < KP_N_FAMILIES; f++)
		port->n_local[f] = kp_endpoints_count_local(&service, f);
}

static void retry_failed(struct kp_service_health *sh)
{
	for (struct port *port = sh->ports; port && sh->n_failed > 0; port = port->hh.next)
		if (port->failed)
			open_port(port);
}

static bool serves_all(const struct kp_facts *facts, enum kp_family family)
{
	for (size_t i = 0; i < facts->n_node_port_ranges; i++)
		if (facts->node_port_ranges[i].family == family &&
		    facts->node_port_ranges[i].len == 0)
			return true;
	return false;
}

/* One socket for all addresses of a family where it serves all, else one each (HC-1). */
static void find_addrs(const struct kp_facts *facts, struct kp_prefix **ret, size_t *ret_n)
{
	kp_autofree struct kp_prefix *own = NULL;
	size_t n_own;
	int r = kp_node_addrs(facts, &own, &n_own);

	*ret = NULL;
	*ret_n = 0;
	if (r < 0)
		kp_log_warn("health", "cannot read the node's addresses", "error=%s",
			    kp_log_quote(strerror(-r)));
	for (int f = 0; f < KP_N_FAMILIES; f++)
		if (serves_all(facts, f))
			kp_prefixes_add(ret, ret_n, &(struct kp_prefix){.family = f});
	for (size_t i = 0; i < n_own; i++)
		if (!serves_all(facts, own[i].family))
			kp_prefixes_add(ret, ret_n, &own[i]);
	kp_prefixes_normalize(*ret, ret_n);
}

static bool same_addrs(const struct kp_service_health *sh, const struct kp_prefix *addrs, size_t n)
{
	return n == sh->n_addrs && (n == 0 || memcmp(addrs, sh->addrs, n * sizeof(*addrs)) == 0);
}

/* All ports move when the addresses do. */
static void update_addrs(struct kp_service_health *sh, const struct kp_facts *facts)
{
	struct kp_prefix *addrs;
	size_t n;

	find_addrs(facts, &addrs, &n);
	if (same_addrs(sh, addrs, n)) {
		free(addrs);
		return;
	}
	free(sh->addrs);
	sh->addrs = addrs;
	sh->n_addrs = n;
	for (struct port *port = sh->ports; port; port = port->hh.next) {
		close_port(port);
		set_failed(port, true);
	}
}

void kp_service_health_update(struct kp_service_health *sh, const struct kp_tracker *tracker,
			      const struct kp_facts *facts, bool full)
{
	kp_tracker_each(tracker, update_service, sh);
	if (sh->ports && (full || sh->n_failed > 0 || kp_tracker_facts_dirty(tracker)))
		update_addrs(sh, facts);
	retry_failed(sh);
}

void kp_service_health_free(struct kp_service_health *sh)
{
	struct port *port, *next;

	if (!sh)
		return;
	HASH_ITER (hh, sh->ports, port, next)
		remove_port(port);
	free(sh->addrs);
	free(sh);
}

size_t kp_service_health_n_ports(const struct kp_service_health *sh)
{
	return HASH_COUNT(sh->ports);
}

size_t kp_service_health_n_failed(const struct kp_service_health *sh)
{
	return sh->n_failed;
}
