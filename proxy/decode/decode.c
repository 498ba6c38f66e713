/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decides what an object is and whether it concerns us; the fields of each kind are read in the
 * file of that kind. */
#include "decode/decode.h"

#include <errno.h>
#include <stdio.h>

#include "decode/kinds.h"

static const struct kind {
	const char *name;
	const char *api_version;
	bool namespaced;
} kinds[KP_N_KINDS] = {
	[KP_KIND_SERVICE] = {"Service", "v1", true},
	[KP_KIND_ENDPOINTSLICE] = {"EndpointSlice", "discovery.k8s.io/v1", true},
	[KP_KIND_NODE] = {"Node", "v1", false},
	[KP_KIND_SERVICECIDR] = {"ServiceCIDR", "networking.k8s.io/v1", false},
};

static enum kp_decode_result decode_kind(const struct kp_decoder *d, const struct kp_field *root,
					 enum kp_kind *ret);
static int decode_id(const struct kp_decoder *d, const struct kp_field *metadata, enum kp_kind kind,
		     struct kp_object_id *ret);
static enum kp_decode_result decode_fields(const struct kp_decoder *d, const struct kp_field *root,
					   struct kp_object *ret);
static const char *opt_out_label(const struct kp_field *labels);

void kp_object_id_clear(struct kp_object_id *id)
{
	free(KP_TAKE(id->ns));
	free(KP_TAKE(id->name));
}

enum kp_decode_result kp_decode_object(const json_t *json, const struct kp_decode_options *options,
				       struct kp_object_id *id, struct kp_object *ret,
				       char why[128], struct kp_err *err)
{
	const struct kp_decoder d = {.options = options, .id = id, .why = why, .err = err};
	const struct kp_field *root = &(const struct kp_field){.json = json};
	const struct kp_field *metadata, *labels;
	enum kp_decode_result result;
	enum kp_kind kind;

	*id = (struct kp_object_id){0};
	if (kp_field_object(root, err) < 0)
		return KP_DECODE_BAD;
	result = decode_kind(&d, root, &kind);
	if (result != KP_DECODED)
		return result;

	metadata = KP_MEMBER(root, "metadata");
	labels = KP_MEMBER(metadata, "labels");
	if (kp_field_object(metadata, err) < 0 || decode_id(&d, metadata, kind, id) < 0 ||
	    kp_field_object(labels, err) < 0)
		return KP_DECODE_BAD;

	if (kind == KP_KIND_NODE && strcmp(id->name, options->node_name) != 0)
		return kp_decode_skip(&d, "not our own node");
	if (kind != KP_KIND_NODE && opt_out_label(labels))
		return kp_decode_skip(&d, "has the label %s", opt_out_label(labels));
	return decode_fields(&d, root, ret);
}

static enum kp_decode_result decode_kind(const struct kp_decoder *d, const struct kp_field *root,
					 enum kp_kind *ret)
{
	const struct kp_field *kind_field = KP_MEMBER(root, "kind");
	const struct kp_field *version_field = KP_MEMBER(root, "apiVersion");
	const char *kind = NULL, *version = NULL;

	if (kp_field_string(kind_field, &kind, d->err) < 0 ||
	    kp_field_string(version_field, &version, d->err) < 0)
		return KP_DECODE_BAD;
	if (!kind || !version) {
		kp_field_fail(kind ? version_field : kind_field, d->err, "missing");
		return KP_DECODE_BAD;
	}
	for (unsigned int i = 0; i < KP_N_KINDS; i++) {
		if (strcmp(kind, kinds[i].name) != 0)
			continue;
		if (strcmp(version, kinds[i].api_version) != 0) {
			snprintf(d->why, KP_DECODE_WHY_SIZE, "%s of %.48s, we read only %s", kind,
				 version, kinds[i].api_version);
			return KP_DECODE_FOREIGN;
		}
		*ret = i;
		return KP_DECODED;
	}
	snprintf(d->why, KP_DECODE_WHY_SIZE, "kind %.48s of %.48s", kind, version);
	return KP_DECODE_FOREIGN;
}

/* '*ret' is filled completely or not at all: half a name identifies nothing. */
static int decode_id(const struct kp_decoder *d, const struct kp_field *metadata, enum kp_kind kind,
		     struct kp_object_id *ret)
{
	const struct kp_field *name_field = KP_MEMBER(metadata, "name");
	const struct kp_field *ns_field = KP_MEMBER(metadata, "namespace");
	const char *name = NULL, *ns = "";

	if (kp_field_string(name_field, &name, d->err) < 0 ||
	    kp_field_string(ns_field, &ns, d->err) < 0)
		return -EINVAL;
	if (!name)
		return kp_field_fail(name_field, d->err, "missing");
	if (!kinds[kind].namespaced)
		ns = "";
	else if (!*ns)
		ns = "default";
	if (kp_field_check_name(name_field, name,
				kind == KP_KIND_SERVICE ? KP_LABEL_MAX : KP_NAME_MAX, d->err) < 0 ||
	    (*ns && kp_field_check_name(ns_field, ns, KP_LABEL_MAX, d->err) < 0))
		return -EINVAL;

	ret->kind = kind;
	ret->ns = kp_xstrdup(ns);
	ret->name = kp_xstrdup(name);
	return 0;
}

/* The key counts, whatever its value, null included (IN-5). */
static const char *opt_out_label(const struct kp_field *labels)
{
	static const char *const keys[] = {
		"service.kubernetes.io/headless",
		"service.kubernetes.io/service-proxy-name",
	};

	for (unsigned int i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (json_object_get(labels->json, keys[i]))
			return keys[i];
	return NULL;
}

static enum kp_decode_result decode_fields(const struct kp_decoder *d, const struct kp_field *root,
					   struct kp_object *ret)
{
	struct kp_object object = {.kind = d->id->kind};
	enum kp_decode_result result = KP_DECODE_BAD;

	switch (object.kind) {
	case KP_KIND_SERVICE:
		result = kp_decode_service(d, root, &object.service);
		break;
	case KP_KIND_ENDPOINTSLICE:
		result = kp_decode_endpointslice(d, root, &object.slice);
		break;
	case KP_KIND_NODE:
		result = kp_decode_node(d, root, &object.node);
		break;
	case KP_KIND_SERVICECIDR:
		result = kp_decode_servicecidr(d, root, &object.cidr);
		break;
	case KP_N_KINDS:
		break;
	}
	if (result == KP_DECODED)
		*ret = object;
	return result;
}
