/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "http/health.h"

#include <jansson.h>
#include <string.h>

#include "util/time.h"

void kp_health_queued(struct kp_health *health, int64_t now_us)
{
	if (!health->waiting)
		health->since_us = now_us;
	health->waiting = true;
}

void kp_health_updated(struct kp_health *health, int64_t time_us)
{
	health->waiting = false;
	health->updated_us = time_us;
}

void kp_health_note_node(struct kp_health *health, const struct kp_node *node)
{
	health->node_seen = health->node_seen || node;
	health->node_eligible = node && node->eligible;
}

void kp_health_note_watches(struct kp_health *health, const struct kp_watch watches[KP_N_KINDS])
{
	memcpy(health->watches, watches, sizeof(health->watches));
	health->n_watches = KP_N_KINDS;
}

bool kp_health_is_live(const struct kp_health *health, int64_t now_us)
{
	return !health->waiting || now_us - health->since_us < health->timeout_us;
}

static bool is_node_eligible(const struct kp_health *health)
{
	return health->node_eligible || !health->node_seen;
}

static bool is_stale(const struct kp_health *health)
{
	for (size_t i = 0; i < health->n_watches; i++)
		if (health->watches[i].stale)
			return true;
	return false;
}

static json_t *json_time(int64_t us)
{
	char text[KP_TIME_TEXT_SIZE];

	return json_string(kp_time_text(us, text));
}

static json_t *describe_families(const struct kp_health *health, bool live)
{
	json_t *families = json_object();

	for (int f = 0; f < KP_N_FAMILIES; f++)
		json_object_set_new(families, kp_family_name(f),
				    json_pack("{s:o, s:b}", "lastUpdated",
					      json_time(health->updated_us), "healthy", live));
	return families;
}

static json_t *describe_watches(const struct kp_health *health, int64_t time_us)
{
	json_t *watches = json_object();

	for (size_t i = 0; i < health->n_watches; i++) {
		const struct kp_watch *w = &health->watches[i];
		int64_t heard_us = time_us - (int64_t)w->silent_ms * 1000;

		json_object_set_new(watches, w->resource,
				    json_pack("{s:o, s:b}", "lastHeard", json_time(heard_us),
					      "stale", w->stale));
	}
	return watches;
}

/* HZ-2, HZ-6 */
static json_t *describe(const struct kp_health *health, bool live, bool ok, int64_t time_us)
{
	return json_pack("{s:o, s:o, s:b, s:o}", "lastUpdated",
			 json_time(ok ? time_us : health->updated_us), "currentTime",
			 json_time(time_us), "healthy", live, "status",
			 describe_families(health, live));
}

void kp_health_answer(const struct kp_health *health, const char *path, int64_t now_us,
		      int64_t time_us, struct kp_http_answer *ret)
{
	bool live = kp_health_is_live(health, now_us), ok = live;
	json_t *body;

	if (strcmp(path, "/healthz") == 0) {
		ok = live && is_node_eligible(health);
	} else if (strcmp(path, "/readyz") == 0) {
		ok = live && health->updated_us != 0 && !is_stale(health);
	} else if (strcmp(path, "/livez") != 0) {
		kp_http_text(ret, 404, "not found\n");
		return;
	}
	body = describe(health, live, ok, time_us);
	if (strcmp(path, "/healthz") == 0)
		json_object_set_new(body, "nodeEligible", json_boolean(is_node_eligible(health)));
	if (health->n_watches > 0)
		json_object_set_new(body, "watches", describe_watches(health, time_us));
	kp_http_json(ret, ok ? 200 : 503, body);
}
