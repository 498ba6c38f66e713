/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "events/body.h"

#include <inttypes.h>
#include <string.h>

#include "kproxy/err.h"
#include "util/time.h"

/* What has no namespace has its events in this one. */
#define NODE_NAMESPACE "default"

static char *namespace_of(const struct kp_event_item *item)
{
	return item->service ? kp_xasprintf("%.*s", (int)strcspn(item->service, "/"), item->service)
			     : kp_xstrdup(NODE_NAMESPACE);
}

static const char *name_of(const struct kp_event_writer *writer, const struct kp_event_item *item)
{
	return item->service ? strchr(item->service, '/') + 1 : writer->node_name;
}

static char *event_name(const struct kp_event_writer *writer, const struct kp_event_item *item)
{
	return kp_xasprintf("%s.%" PRIx64 ".%" PRIx64, name_of(writer, item),
			    (uint64_t)writer->start_us, item->id);
}

char *kp_event_path(const struct kp_event_writer *writer, const struct kp_event_item *item)
{
	kp_autofree char *ns = namespace_of(item), *name = event_name(writer, item);

	return kp_xasprintf("/apis/events.k8s.io/v1/namespaces/%s/events%s%s", ns,
			    item->written_count ? "/" : "", item->written_count ? name : "");
}

/* "kubectl describe node" finds events by the Node's name in the place of its uid, as kubelet
 * writes them, and those of a Service by its uid. */
static json_t *regarding(const struct kp_event_writer *writer, const struct kp_event_item *item,
			 const char *uid)
{
	kp_autofree char *ns = namespace_of(item);
	json_t *object = json_pack("{s:s, s:s, s:s, s:s}", "apiVersion", "v1", "kind",
				   item->service ? "Service" : "Node", "name",
				   name_of(writer, item), "uid",
				   item->service ? uid : writer->node_name);

	if (item->service)
		json_object_set_new(object, "namespace", json_string(ns));
	return object;
}

static json_t *series(const struct kp_event_item *item)
{
	char last[KP_TIME_TEXT_SIZE];

	return json_pack("{s:I, s:s}", "count", (json_int_t)item->count, "lastObservedTime",
			 kp_time_text(item->last_us, last));
}

/* Texts of the kernel and of libraries end up in notes. */
static json_t *note(const char *text)
{
	json_t *json = json_string(text);

	return json ? json : json_string("(not UTF-8, see the log)");
}

json_t *kp_event_object(const struct kp_event_writer *writer, const struct kp_event_item *item,
			const char *uid)
{
	kp_autofree char *ns = namespace_of(item), *name = event_name(writer, item);
	char first[KP_TIME_TEXT_SIZE];
	json_t *object =
		json_pack("{s:s, s:s, s:{s:s, s:s}, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o}",
			  "apiVersion", "events.k8s.io/v1", "kind", "Event", "metadata", "name",
			  name, "namespace", ns, "eventTime", kp_time_text(item->first_us, first),
			  "reportingController", "kproxy", "reportingInstance", writer->node_name,
			  "type", item->severity == KP_WARNING ? "Warning" : "Normal", "reason",
			  item->reason, "action", item->action, "note", note(item->note),
			  "regarding", regarding(writer, item, uid));

	if (item->count > 1)
		json_object_set_new(object, "series", series(item));
	return object;
}

json_t *kp_event_patch(const struct kp_event_item *item)
{
	return json_pack("{s:o}", "series", series(item));
}
