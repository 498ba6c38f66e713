/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/event_sender.h"

#include "events/body.h"
#include "kproxy/clock.h"
#include "kproxy/log.h"
#include "model/store.h"
#include "util/time.h"

enum {
	ANSWER_TIMEOUT_MS = 30000
};

struct kp_event_sender {
	struct kp_event_writer writer;
	struct kp_event_series series;

	/* From start to stop. */
	struct kp_client *client;
	const struct kp_store *store;
	uv_timer_t timer; /* the next request, or the guard of the one under way */
	bool connected;

	/* The request under way. */
	struct kp_request *request;
	uint64_t item_id, count;

	bool failing; /* and said so */
};

static void on_timer(uv_timer_t *timer);

/* Outside of whoever tells, who may be in the middle of a sync. */
static void schedule(struct kp_event_sender *sender)
{
	uint64_t due = kp_event_series_due_ms(&sender->series), now = kp_clock_ms();

	if (!sender->client || sender->request)
		return;
	if (!sender->connected || due == KP_EVENT_SERIES_NEVER)
		uv_timer_stop(&sender->timer);
	else
		uv_timer_start(&sender->timer, on_timer, due > now ? due - now : 0, 0);
}

static void on_event(void *arg, const struct kp_event *event)
{
	struct kp_event_sender *sender = arg;

	kp_event_series_add(&sender->series, event, kp_clock_ms(), kp_time_now_us());
	schedule(sender);
}

struct kp_event_sender *kp_event_sender_new(const char *node_name)
{
	struct kp_event_sender *sender = kp_xcalloc(1, sizeof(*sender));

	sender->writer = (struct kp_event_writer){.node_name = node_name,
						  .start_us = kp_time_now_us()};
	kp_events_listen(on_event, sender);
	return sender;
}

void kp_event_sender_free(struct kp_event_sender *sender)
{
	if (!sender)
		return;
	kp_events_listen(NULL, NULL);
	kp_event_series_clear(&sender->series);
	free(sender);
}

void kp_event_sender_start(struct kp_event_sender *sender, struct kp_client *client,
			   const struct kp_store *store, uv_loop_t *loop)
{
	sender->client = client;
	sender->store = store;
	uv_timer_init(loop, &sender->timer);
	sender->timer.data = sender;
}

void kp_event_sender_use(struct kp_event_sender *sender, struct kp_client *client)
{
	kp_request_cancel(KP_TAKE(sender->request));
	sender->client = client;
	sender->connected = false;
}

void kp_event_sender_stop(struct kp_event_sender *sender)
{
	kp_request_cancel(KP_TAKE(sender->request));
	sender->client = NULL;
	uv_close((uv_handle_t *)&sender->timer, NULL);
}

void kp_event_sender_set_connected(struct kp_event_sender *sender, bool connected)
{
	sender->connected = connected;
	schedule(sender);
}

/* --- the answer --- */

/* The item that was written; NULL when it has been forgotten meanwhile. */
static struct kp_event_item *find_written(struct kp_event_sender *sender)
{
	struct kp_event_item *item = sender->series.items;

	while (item && item->id != sender->item_id)
		item = item->next;
	return item;
}

static const char *hint_for(enum kp_end_kind kind)
{
	return kind == KP_END_FORBIDDEN
		       ? "bind our user to the ClusterRole of deploy/clusterrole.yaml"
		       : "";
}

static void failed(struct kp_event_sender *sender, const struct kp_end *end)
{
	if (!sender->failing)
		kp_log_warn("api", "cannot write events, going on without",
			    "error=%s audit_id=%s hint=%s", kp_log_quote(end->text),
			    kp_log_quote(end->ids.audit), kp_log_quote(hint_for(end->kind)));
	sender->failing = true;
	/* Until another request finds that the server is back. */
	if (end->kind == KP_END_NO_CONNECTION)
		sender->connected = false;
}

static int on_body(void *arg, const char *data, size_t size)
{
	(void)arg, (void)data, (void)size;
	return 0;
}

static void on_end(void *arg, const struct kp_end *end)
{
	struct kp_event_sender *sender = arg;
	struct kp_event_item *item = find_written(sender);
	/* The server keeps events for an hour. */
	bool gone = end->kind == KP_END_NOT_FOUND && item && item->written_count > 0;

	sender->request = NULL;
	if (end->kind == KP_END_OK)
		sender->failing = false;
	else if (!gone)
		failed(sender, end);
	if (item && end->kind == KP_END_OK)
		kp_event_series_written(item, sender->count, kp_clock_ms());
	else if (item)
		kp_event_series_drop(&sender->series, item);
	schedule(sender);
}

/* Only this request: whether the connection is dead, the watches find out. */
static void give_up(struct kp_event_sender *sender)
{
	struct kp_end end;

	kp_request_cancel(sender->request);
	kp_end_set(&end, KP_END_BROKEN, "the answer is overdue");
	on_end(sender, &end);
}

/* --- the request --- */

static const char *uid_of(const struct kp_event_sender *sender, const struct kp_event_item *item)
{
	struct kp_store_service service = {0};

	if (!item->service || !kp_store_get(sender->store, item->service, &service) ||
	    !service.service)
		return "";
	return service.service->uid;
}

static void send_item(struct kp_event_sender *sender, struct kp_event_item *item)
{
	const struct kp_request_handler handler = {.body = on_body, .end = on_end, .arg = sender};
	kp_autofree char *path = kp_event_path(&sender->writer, item);
	bool is_new = item->written_count == 0;
	json_auto_t *body = is_new ? kp_event_object(&sender->writer, item, uid_of(sender, item))
				   : kp_event_patch(item);

	sender->item_id = item->id;
	sender->count = item->count;
	sender->request = is_new ? kp_client_create(sender->client, path, body, &handler)
				 : kp_client_patch(sender->client, path, body, &handler);
	uv_timer_start(&sender->timer, on_timer, ANSWER_TIMEOUT_MS, 0);
}

static void on_timer(uv_timer_t *timer)
{
	struct kp_event_sender *sender = timer->data;
	struct kp_event_item *item;

	if (sender->request) {
		give_up(sender);
		return;
	}
	item = kp_event_series_next(&sender->series, kp_clock_ms());
	if (item)
		send_item(sender, item);
	else
		schedule(sender);
}
