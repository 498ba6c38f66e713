/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From JSON to the model, for tests of the decoders.
 *
 * Objects are written with ' for " and decoded as node "node-1" would. */
#ifndef KPROXY_TEST_DECODING_H
#define KPROXY_TEST_DECODING_H

#include "decode/decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
	struct kp_object_id id;
	struct kp_object object;
	char why[128];
	struct kp_err err;
	char warnings[1024]; /* "text|text|" */
};

/* Further members of spec, and what stands behind it. */
#define SERVICE(spec, rest)                                                                 \
	"{'apiVersion':'v1','kind':'Service','metadata':{'name':'web','namespace':'shop'}," \
	"'spec':{'clusterIP':'10.96.0.1'" spec "}" rest "}"

#define SLICE(rest)                                                                              \
	"{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice','metadata':{'name':'web-1'," \
	"'labels':{'kubernetes.io/service-name':'web'}}" rest "}"
#define SLICE4(rest) SLICE(",'addressType':'IPv4'" rest)
#define ENDPOINT(members) SLICE4(",'endpoints':[{'addresses':['10.0.0.2']" members "}]")

#define NODE(rest) "{'apiVersion':'v1','kind':'Node','metadata':{'name':'node-1'" rest "}"

#define CIDR(cidrs)                                                                          \
	"{'apiVersion':'networking.k8s.io/v1','kind':'ServiceCIDR','metadata':{'name':'x'}," \
	"'spec':{'cidrs':" cidrs "}}"

#define TEST(name) cmocka_unit_test_setup_teardown(name, decoding_setup, decoding_teardown)

/* The fixture of all decoder tests. */
int decoding_setup(void **state);
int decoding_teardown(void **state);

/* What the last call left is freed first, so results live until the next one. */
enum kp_decode_result decode_json(struct fixture *f, const json_t *json);

/* The same from a printf format with ' for ". */
enum kp_decode_result decode(struct fixture *f, const char *format, ...);

/* Each fails the test when something else happens. */
void assert_bad(struct fixture *f, const char *object, const char *reason);
void assert_skipped(struct fixture *f, const char *object, const char *why);
const struct kp_service *decode_service(struct fixture *f, const char *object);
const struct kp_endpointslice *decode_slice(struct fixture *f, const char *object);
const struct kp_node *decode_node(struct fixture *f, const char *object);
void assert_addr(enum kp_family family, const struct kp_addr *addr, const char *expected);
void assert_list_addr(const struct kp_addr_list *list, size_t i, const char *expected);
void assert_prefix(const struct kp_prefix *prefix, const char *expected);

#endif
