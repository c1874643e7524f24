// The queue: namespaces in turn, those of one in order. What waits for long, or while the receiver is in
// trouble, is written to the spool by a worker thread and loaded again when its turn comes and memory has
// room.
#include "sink/sink.h"

#include <stdio.h>
#include <string.h>

#include "aio/job.h"
#include "base/alloc.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "base/text.h"
#include "sink/sink_private.h"
#include "base/banned.h"

#define SPILL_AFTER_MS 2000
#define TICK_MS        500
#define MAX_WAIT_S     300 // however long the receiver asks us to stay away

static int64_t wall_ms(const struct kp_sink *sink)
{
    return sink->options.now_ms != NULL ? sink->options.now_ms() : kp_now_ms();
}

// ---- items ----

void kp_sink_set_gauges(struct kp_sink *sink)
{
    kp_metric_set(sink->waiting, (double)sink->n_items);
    if (sink->spool != NULL) {
        kp_metric_set(sink->spool_bytes, (double)kp_spool_bytes(sink->spool));
        kp_metric_set(sink->damaged, (double)kp_spool_damaged(sink->spool));
    }
}

static struct kp_sink_item *item_new(
    struct kp_sink *sink, const struct kp_record *record, size_t bytes, int64_t put_ms)
{
    struct kp_sink_item *item = KP_NEW(struct kp_sink_item);
    item->sink = sink;
    kp_record_copy(&item->record, record);
    item->bytes = bytes;
    item->put_ms = put_ms;
    item->waits_since_mono_ms = kp_mono_ms();
    kp_list_append(&sink->items, &item->node);
    kp_list_init(&item->in_space);
    kp_sink_space_enter(item);
    sink->n_items++;
    kp_policy_counts_add(&sink->policies, record->policies, 1);
    return item;
}

void kp_sink_drop_body(struct kp_sink_item *item)
{
    if (item->body == NULL)
        return;
    *(item->on_disk ? &item->sink->copies : &item->sink->memory) -= item->bytes;
    kp_blob_unref(item->body);
    item->body = NULL;
}

struct dropping {
    struct kp_spool *spool;
    struct kp_spool_place place;
};

static void drop_work(void *arg)
{
    struct dropping *dropping = arg;
    kp_spool_drop(dropping->spool, &dropping->place);
}

static void drop_done(void *arg)
{
    kp_free(arg);
}

void kp_sink_item_free(struct kp_sink_item *item)
{
    struct kp_sink *sink = item->sink;
    kp_sink_drop_body(item);
    if (item->on_disk && sink->worker_over) {
        kp_spool_drop(sink->spool, &item->place);
    } else if (item->on_disk) {
        struct dropping *dropping = KP_NEW(struct dropping);
        *dropping = (struct dropping){sink->spool, item->place};
        kp_worker_run(sink->worker, drop_work, drop_done, dropping);
    }
    kp_record_finish(&item->record);
    kp_free(item->loaded);
    kp_free(item);
}

// The item is over: it leaves the queue, then the outcome is told.
static void conclude(struct kp_sink_item *item, enum kp_outcome outcome, const char *message)
{
    struct kp_sink *sink = item->sink;
    struct kp_record record;
    kp_record_copy(&record, &item->record); // the worker may be reading the item's own
    kp_list_remove(&item->node);
    kp_sink_space_leave(item);
    sink->n_items--;
    kp_policy_counts_add(&sink->policies, record.policies, -1);
    item->over = true;
    if (!item->writing)
        kp_sink_item_free(item);
    kp_sink_set_gauges(sink);
    if (outcome == KP_OUTCOME_UNDELIVERED)
        kp_metric_inc(sink->dropped);
    sink->on_outcome(sink->user, &record, outcome, message);
    kp_record_finish(&record);
}

// ---- trouble ----

void kp_sink_block(struct kp_sink *sink, const struct kp_sink_answer *answer)
{
    int64_t now = kp_mono_ms();
    int64_t asked = answer->retry_after_s < MAX_WAIT_S ? answer->retry_after_s * 1000 : MAX_WAIT_S * 1000;
    if (sink->blocked_until_ms <= now) // several deliveries that fail together are one failure
        sink->blocked_until_ms = now + kp_backoff_next_ms(&sink->backoff, now);
    if (sink->blocked_until_ms < now + asked)
        sink->blocked_until_ms = now + asked;
    kp_copy(sink->trouble, sizeof sink->trouble, answer->message);
    kp_metric_inc(sink->retries);
}

static void unblock(struct kp_sink *sink)
{
    sink->trouble[0] = '\0';
    sink->blocked_until_ms = 0;
    kp_backoff_reset(&sink->backoff);
}

// ---- sending ----

static bool is_held(const struct kp_sink *sink)
{
    return sink->paused || sink->closing || kp_mono_ms() < sink->blocked_until_ms;
}

static void back_to_disk(struct kp_sink_item *item)
{
    kp_sink_drop_body(item);
    item->state = ITEM_DISK;
}

static void on_sent(void *user, const struct kp_sink_answer *answer)
{
    struct kp_sink_item *item = user;
    struct kp_sink *sink = item->sink;
    kp_sink_sending(item, -1);
    item->state = ITEM_MEMORY;
    if (answer->retry) {
        item->waits_since_mono_ms = 0; // to the spool, if there is one
        if (item->on_disk)
            back_to_disk(item);
        kp_sink_block(sink, answer);
    } else {
        unblock(sink);
        conclude(item, answer->outcome, answer->message);
    }
    if (!sink->closing)
        kp_sink_pump(sink);
}

static void send(struct kp_sink_item *item)
{
    struct kp_sink *sink = item->sink;
    item->state = ITEM_SENDING;
    sink->options.ops->send(sink->options.self, &item->record, item->body, on_sent, item);
}

static void load_work(void *arg)
{
    struct kp_sink_item *item = arg;
    struct kp_error err = {0};
    item->worker_code = kp_spool_read(item->sink->spool, &item->place, &item->loaded, &err);
}

static void unpack(struct kp_sink_item *item)
{
    struct kp_record record;
    const uint8_t *profile;
    size_t len;
    struct kp_error err = {0};
    if (item->worker_code == 0 &&
        kp_capture_unframe(item->loaded, item->place.len, &record, &profile, &len, &err) == 0) {
        item->body = kp_blob_copy(profile, len);
        kp_record_finish(&record);
    }
    kp_free(item->loaded);
    item->loaded = NULL;
}

static void load_done(void *arg)
{
    struct kp_sink_item *item = arg;
    struct kp_sink *sink = item->sink;
    unpack(item);
    if (item->body == NULL) {
        sink->copies -= item->bytes;
        kp_sink_sending(item, -1);
        item->state = ITEM_DISK;
        conclude(item, KP_OUTCOME_UNDELIVERED, "the capture could not be read back from the spool");
    } else if (is_held(sink)) {
        kp_sink_sending(item, -1);
        back_to_disk(item);
    } else {
        send(item); // in the place that was kept for it
    }
    if (!sink->closing)
        kp_sink_pump(sink);
}

static void load(struct kp_sink_item *item)
{
    item->state = ITEM_LOADING;
    item->sink->copies += item->bytes;
    kp_worker_run(item->sink->worker, load_work, load_done, item);
}

// One may always be loaded, whatever its size: else what is in memory and waits behind it would wait for
// ever.
static bool has_room_to_load(const struct kp_sink *sink, const struct kp_sink_item *item)
{
    return sink->copies == 0 || sink->memory + sink->copies + item->bytes <= sink->options.memory_bytes;
}

static bool too_old(const struct kp_sink_item *item, int64_t now)
{
    return now - item->put_ms > item->sink->options.max_age_ms;
}

static void start(struct kp_sink_item *item)
{
    kp_sink_sending(item, 1);
    if (item->state == ITEM_MEMORY)
        send(item);
    else
        load(item);
}

static void pump_items(struct kp_sink *sink)
{
    int64_t now = wall_ms(sink);
    bool may_load = true;
    while (sink->n_sending < sink->options.concurrent && kp_mono_ms() >= sink->blocked_until_ms) {
        struct kp_sink_item *item = kp_sink_next(sink, may_load);
        if (item == NULL)
            return;
        if (too_old(item, now))
            conclude(item, KP_OUTCOME_UNDELIVERED, "the registry was away for longer than captures are kept");
        else if (item->state == ITEM_DISK && !has_room_to_load(sink, item))
            may_load = false; // it keeps its turn: smaller ones that pass it would keep it out for ever
        else
            start(item);
    }
}

void kp_sink_pump(struct kp_sink *sink)
{
    // what is told on the way may put captures in: those wait for the next round
    if (sink->pumping || is_held(sink))
        return;
    sink->pumping = true;
    kp_sink_pump_states(sink);
    pump_items(sink);
    sink->pumping = false;
}

// ---- flushing ----

static bool only_disk_left(const struct kp_sink *sink)
{
    kp_list_foreach (node, (struct kp_list *)(uintptr_t)&sink->items) {
        const struct kp_sink_item *item = kp_container_of(node, struct kp_sink_item, node);
        if (!item->on_disk && (sink->spool != NULL || item->state == ITEM_SENDING))
            return false;
    }
    return true;
}

static void check_flushed(struct kp_sink *sink)
{
    if (sink->on_flushed == NULL)
        return;
    bool over = kp_mono_ms() >= sink->flush_until_ms;
    bool stuck = sink->trouble[0] != '\0';
    if (over || stuck)
        kp_sink_spill(sink, 0);
    bool done = sink->n_items == 0 || ((over || stuck) && only_disk_left(sink)) ||
                kp_mono_ms() >= sink->flush_until_ms + 2000;
    if (!done)
        return;
    kp_loop_fn on_flushed = sink->on_flushed;
    sink->on_flushed = NULL;
    on_flushed(sink->flushed_user);
}

static void on_tick(void *user)
{
    struct kp_sink *sink = user;
    bool crowded = sink->memory > sink->options.memory_bytes / 2;
    kp_sink_spill(sink, sink->trouble[0] != '\0' || crowded ? 0 : SPILL_AFTER_MS);
    kp_sink_set_gauges(sink);
    kp_sink_pump(sink);
    check_flushed(sink);
}

void kp_sink_flush(struct kp_sink *sink, int64_t grace_ms, kp_loop_fn on_flushed, void *user)
{
    sink->on_flushed = on_flushed;
    sink->flushed_user = user;
    sink->flush_until_ms = kp_mono_ms() + grace_ms;
    kp_timer_start(sink->timer, 0, 50);
}

// ---- the interface ----

// Why nothing more can be taken, NULL if it can. Memory may be passed by as much again while the disk writes.
static const char *why_full(const struct kp_sink *sink, size_t bytes)
{
    size_t memory = sink->memory + bytes;
    if (sink->n_items >= KP_SINK_MAX_ITEMS)
        return "65536 captures wait for the registry already: see to the registry";
    if (memory <= sink->options.memory_bytes || sink->memory == 0)
        return NULL; // one always may
    if (sink->spool == NULL)
        return "the registry is away, memory is full and there is no spool: see to the registry, or set "
               "--spool-dir";
    if (!kp_sink_spool_has_room(sink, memory))
        return "the registry is away and the spool is full: see to the registry, or raise --spool-bytes";
    if (memory > 2 * sink->options.memory_bytes)
        return "the spool's disk does not keep up: see to the registry, or give the spool a faster disk";
    return NULL;
}

void kp_sink_put(struct kp_sink *sink, const struct kp_record *record, struct kp_blob *body)
{
    bool memory_full = sink->memory + body->len > sink->options.memory_bytes;
    const char *full = why_full(sink, body->len);
    if (full == NULL)
        full = kp_sink_share_full(sink, record->namespace != NULL ? record->namespace : "", body->len);
    if (full != NULL) {
        kp_metric_inc(sink->dropped);
        sink->on_outcome(sink->user, record, KP_OUTCOME_UNDELIVERED, full);
        return;
    }
    struct kp_sink_item *item = item_new(sink, record, body->len, wall_ms(sink));
    item->state = ITEM_MEMORY;
    item->body = kp_blob_ref(body);
    sink->memory += body->len;
    if (memory_full)
        kp_sink_spill(sink, 0);
    kp_sink_set_gauges(sink);
    kp_sink_pump(sink);
}

void kp_sink_pause(struct kp_sink *sink, bool paused)
{
    sink->paused = paused;
    kp_sink_pump(sink);
}

void kp_sink_wake(struct kp_sink *sink)
{
    sink->blocked_until_ms = 0;
    kp_backoff_reset(&sink->backoff);
    kp_sink_pump(sink);
}

size_t kp_sink_memory(const struct kp_sink *sink)
{
    return sink->memory + sink->copies;
}

uint64_t kp_sink_waiting(const struct kp_sink *sink)
{
    return sink->n_items;
}

uint64_t kp_sink_waiting_of(const struct kp_sink *sink, const char *policy)
{
    return kp_policy_counts_get(sink->policies, policy);
}

const char *kp_sink_trouble(const struct kp_sink *sink)
{
    return sink->trouble[0] != '\0' ? sink->trouble : NULL;
}

// ---- life ----

static bool replay(
    void *user, const struct kp_spool_place *place, int64_t put_ms, const void *capture, size_t len)
{
    struct kp_sink *sink = user;
    struct kp_record record;
    const uint8_t *profile;
    size_t profile_len;
    if (kp_capture_unframe(capture, len, &record, &profile, &profile_len, NULL) != 0)
        return false;
    struct kp_sink_item *item = item_new(sink, &record, profile_len, put_ms);
    item->state = ITEM_DISK;
    item->on_disk = true;
    item->place = *place;
    kp_record_finish(&record);
    return true;
}

static void make_metrics(struct kp_sink *sink, struct kp_metrics *metrics)
{
    if (metrics == NULL)
        return;
    sink->waiting =
        kp_gauge(metrics, "kube_pprof_sink_waiting", "Captures that wait to be delivered, memory and spool.");
    sink->spool_bytes = kp_gauge(metrics, "kube_pprof_spool_bytes", "Bytes of the spool on disk.");
    kp_metric_set(kp_gauge(metrics, "kube_pprof_spool_limit_bytes", "Bytes the spool may have; 0: no spool."),
        sink->options.spool_dir != NULL ? (double)sink->options.spool_bytes : 0);
    sink->dropped =
        kp_counter(metrics, "kube_pprof_sink_undelivered_total", "Captures given up: spool full or too old.");
    sink->retries = kp_counter(metrics, "kube_pprof_sink_retries_total", "Deliveries that are tried again.");
    sink->damaged =
        kp_gauge(metrics, "kube_pprof_spool_damaged", "Frames of the spool that could not be read.");
}

int kp_sink_create(struct kp_loop *loop, const struct kp_sink_options *options, kp_sink_outcome_fn on_outcome,
    void *user, struct kp_sink **ret, struct kp_error *err)
{
    struct kp_sink *sink = KP_NEW(struct kp_sink);
    sink->loop = loop;
    sink->options = *options;
    sink->options.spool_bytes = options->spool_bytes != 0 ? options->spool_bytes : 512ull * KP_MIB;
    sink->options.memory_bytes = options->memory_bytes != 0 ? options->memory_bytes : 16 * KP_MIB;
    sink->options.max_age_ms = options->max_age_ms != 0 ? options->max_age_ms : 24 * 3600000;
    sink->options.concurrent = options->concurrent != 0 ? options->concurrent : 8;
    sink->on_outcome = on_outcome;
    sink->user = user;
    kp_list_init(&sink->items);
    kp_list_init(&sink->turns);
    kp_backoff_init(&sink->backoff, 500, 30000, 0.25, (uint64_t)kp_mono_us());
    make_metrics(sink, options->metrics);
    sink->worker = kp_worker_create(loop, "kp-spool");
    if (options->spool_dir != NULL &&
        kp_spool_open(options->spool_dir, replay, sink, &sink->spool, err) != 0) {
        int code = err != NULL ? err->code : KP_INTERNAL;
        kp_sink_destroy(sink);
        return code;
    }
    sink->timer = kp_timer_create(loop, on_tick, sink);
    kp_timer_start(sink->timer, 10, TICK_MS);
    *ret = sink;
    return 0;
}

void kp_sink_destroy(struct kp_sink *sink)
{
    if (sink == NULL)
        return;
    sink->closing = true;
    kp_timer_destroy(sink->timer);
    if (sink->options.ops != NULL)
        sink->options.ops->close(sink->options.self); // every answer comes now
    sink->worker_over = true; // its thread has ended when it delivers the last results
    kp_worker_destroy(sink->worker);
    kp_list_foreach_safe (node, &sink->items) {
        struct kp_sink_item *item = kp_container_of(node, struct kp_sink_item, node);
        kp_list_remove(&item->node);
        kp_sink_space_leave(item);
        kp_sink_drop_body(item);
        kp_record_finish(&item->record);
        kp_free(item);
    }
    struct kp_sink_state *post, *next;
    HASH_ITER (hh, sink->states, post, next)
        kp_sink_state_free(sink, post);
    kp_policy_counts_free(&sink->policies);
    kp_spool_close(sink->spool);
    kp_free(sink);
}
