// The queue: in order, memory first. What waits for long, or while the receiver is in trouble, is written to
// the spool by a worker thread and loaded again when its turn comes.
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
#include "sink/policies.h"
#include "sink/spool.h"
#include "base/banned.h"

#define SPILL_AFTER_MS 2000
#define TICK_MS        500
#define SPILL_BATCH    64

enum item_state {
    ITEM_MEMORY,   // body at hand, waits
    ITEM_SPILLING, // the worker writes it
    ITEM_DISK,     // lies in the spool only
    ITEM_LOADING,  // the worker reads it
    ITEM_SENDING,
};

struct item {
    enum item_state state;
    struct kp_list node; // in order of arrival
    struct kp_sink *sink;
    struct kp_record record;
    struct kp_blob *body; // NULL on disk
    size_t bytes;
    int64_t put_ms, waits_since_mono_ms;
    bool on_disk;
    struct kp_spool_place place;
    int worker_code; // of what the worker did
    char *loaded;
};

struct batch { // of items to be written
    struct kp_sink *sink;
    struct item *items[SPILL_BATCH];
    size_t n;
    struct kp_error error;
};

struct state_post {
    struct kp_sink *sink;
    char *namespace;
    struct kp_blob *blob, *in_flight;
    UT_hash_handle hh;
};

struct kp_sink {
    struct kp_loop *loop;
    struct kp_sink_options options;
    kp_sink_outcome_fn on_outcome;
    void *user;
    struct kp_list items;
    size_t n_items, memory;
    int n_sending;
    bool paused, spilling, closing;
    char trouble[260];
    int64_t blocked_until_ms; // monotonic
    struct kp_backoff backoff;
    struct kp_spool *spool;
    struct kp_worker *worker;
    struct kp_timer *timer;
    struct kp_policy_counts *policies;
    struct state_post *states;
    bool state_in_flight;
    kp_loop_fn on_flushed;
    void *flushed_user;
    int64_t flush_until_ms;
    struct kp_metric *waiting, *spool_bytes, *dropped, *retries, *damaged;
};

static void pump(struct kp_sink *sink);

static int64_t wall_ms(const struct kp_sink *sink)
{
    return sink->options.now_ms != NULL ? sink->options.now_ms() : kp_now_ms();
}

// ---- items ----

static void set_gauges(struct kp_sink *sink)
{
    kp_metric_set(sink->waiting, (double)sink->n_items);
    if (sink->spool != NULL) {
        kp_metric_set(sink->spool_bytes, (double)kp_spool_bytes(sink->spool));
        kp_metric_set(sink->damaged, (double)kp_spool_damaged(sink->spool));
    }
}

static struct item *item_new(
    struct kp_sink *sink, const struct kp_record *record, size_t bytes, int64_t put_ms)
{
    struct item *item = KP_NEW(struct item);
    item->sink = sink;
    kp_record_copy(&item->record, record);
    item->bytes = bytes;
    item->put_ms = put_ms;
    item->waits_since_mono_ms = kp_mono_ms();
    kp_list_append(&sink->items, &item->node);
    sink->n_items++;
    kp_policy_counts_add(&sink->policies, record->policies, 1);
    return item;
}

static void drop_body(struct item *item)
{
    if (item->body == NULL)
        return;
    item->sink->memory -= item->bytes;
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

// Takes the item out of everything and frees it.
static void item_remove(struct item *item)
{
    struct kp_sink *sink = item->sink;
    kp_list_remove(&item->node);
    sink->n_items--;
    kp_policy_counts_add(&sink->policies, item->record.policies, -1);
    drop_body(item);
    if (item->on_disk) {
        struct dropping *dropping = KP_NEW(struct dropping);
        *dropping = (struct dropping){sink->spool, item->place};
        kp_worker_run(sink->worker, drop_work, drop_done, dropping);
    }
    kp_record_finish(&item->record);
    kp_free(item->loaded);
    kp_free(item);
    set_gauges(sink);
}

static void conclude(struct item *item, enum kp_outcome outcome, const char *message)
{
    struct kp_sink *sink = item->sink;
    struct kp_record record = item->record;
    memset(&item->record, 0, sizeof item->record);
    kp_policy_counts_add(&sink->policies, record.policies, -1);
    item_remove(item);
    if (outcome == KP_OUTCOME_UNDELIVERED)
        kp_metric_inc(sink->dropped);
    sink->on_outcome(sink->user, &record, outcome, message);
    kp_record_finish(&record);
}

// ---- trouble ----

static void block(struct kp_sink *sink, const struct kp_sink_answer *answer)
{
    int64_t now = kp_mono_ms();
    int64_t wait = kp_backoff_next_ms(&sink->backoff, now);
    if ((int64_t)answer->retry_after_s * 1000 > wait)
        wait = (int64_t)answer->retry_after_s * 1000;
    if (sink->blocked_until_ms <= now)
        sink->blocked_until_ms = now + wait;
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

static void on_sent(void *user, const struct kp_sink_answer *answer)
{
    struct item *item = user;
    struct kp_sink *sink = item->sink;
    sink->n_sending--;
    item->state = ITEM_MEMORY;
    if (answer->retry) {
        block(sink, answer);
    } else {
        unblock(sink);
        conclude(item, answer->outcome, answer->message);
    }
    if (!sink->closing)
        pump(sink);
}

static void send(struct item *item)
{
    struct kp_sink *sink = item->sink;
    item->state = ITEM_SENDING;
    sink->n_sending++;
    sink->options.ops->send(sink->options.self, &item->record, item->body, on_sent, item);
}

static void load_work(void *arg)
{
    struct item *item = arg;
    struct kp_error err = {0};
    item->worker_code = kp_spool_read(item->sink->spool, &item->place, &item->loaded, &err);
}

static void load_done(void *arg)
{
    struct item *item = arg;
    struct kp_sink *sink = item->sink;
    struct kp_record record;
    const uint8_t *profile;
    size_t len;
    struct kp_error err = {0};
    sink->n_sending--; // a place among the deliveries was kept for it
    item->state = ITEM_DISK;
    if (item->worker_code == 0 &&
        kp_capture_unframe(item->loaded, item->place.len, &record, &profile, &len, &err) == 0) {
        item->body = kp_blob_copy(profile, len);
        item->bytes = len;
        sink->memory += len;
        item->state = ITEM_MEMORY;
        kp_record_finish(&record);
    }
    kp_free(item->loaded);
    item->loaded = NULL;
    if (item->state == ITEM_DISK)
        conclude(item, KP_OUTCOME_UNDELIVERED, "the capture could not be read back from the spool");
    if (!sink->closing)
        pump(sink);
}

static void load(struct item *item)
{
    item->state = ITEM_LOADING;
    item->sink->n_sending++;
    kp_worker_run(item->sink->worker, load_work, load_done, item);
}

static bool too_old(const struct item *item, int64_t now)
{
    return now - item->put_ms > item->sink->options.max_age_ms;
}

static void pump_items(struct kp_sink *sink)
{
    int64_t now = wall_ms(sink);
    kp_list_foreach_safe (node, &sink->items) {
        struct item *item = kp_container_of(node, struct item, node);
        if (sink->n_sending >= sink->options.concurrent)
            return;
        if (item->state != ITEM_MEMORY && item->state != ITEM_DISK)
            continue;
        if (too_old(item, now))
            conclude(item, KP_OUTCOME_UNDELIVERED, "the registry was away for longer than captures are kept");
        else if (item->state == ITEM_MEMORY)
            send(item);
        else
            load(item);
    }
}

// ---- states of targets ----

static void state_free(struct kp_sink *sink, struct state_post *post)
{
    HASH_DEL(sink->states, post);
    kp_blob_unref(post->blob);
    kp_free(post->namespace);
    kp_free(post);
}

static void on_state_sent(void *user, const struct kp_sink_answer *answer)
{
    struct state_post *post = user;
    struct kp_blob *sent = kp_take(post->in_flight);
    struct kp_sink *sink = post->sink;
    sink->state_in_flight = false;
    if (answer->retry)
        block(sink, answer);
    else if (post->blob == sent)
        state_free(sink, post); // delivered, or refused for good; a newer one goes next
    kp_blob_unref(sent);
    if (!sink->closing)
        pump(sink);
}

static void pump_states(struct kp_sink *sink)
{
    struct state_post *post = sink->states;
    if (post == NULL || sink->state_in_flight)
        return;
    sink->state_in_flight = true;
    post->in_flight = kp_blob_ref(post->blob);
    sink->options.ops->send_state(sink->options.self, post->in_flight, on_state_sent, post);
}

static void pump(struct kp_sink *sink)
{
    if (sink->paused || sink->closing || kp_mono_ms() < sink->blocked_until_ms)
        return;
    pump_states(sink);
    pump_items(sink);
}

// ---- spilling ----

static void spill_work(void *arg)
{
    struct batch *batch = arg;
    struct kp_spool *spool = batch->sink->spool;
    for (size_t i = 0; i < batch->n; i++) {
        struct item *item = batch->items[i];
        struct kp_strbuf frame;
        kp_strbuf_init(&frame, item->body->len + KP_MAX_RECORD_BYTES + 64);
        kp_capture_frame(&frame, &item->record, item->body->data, item->body->len);
        item->worker_code =
            kp_spool_append(spool, frame.data, frame.len, item->put_ms, &item->place, &batch->error);
        kp_strbuf_finish(&frame);
    }
    int code = kp_spool_sync(spool, &batch->error);
    for (size_t i = 0; i < batch->n && code != 0; i++)
        batch->items[i]->worker_code = code;
}

static void spill_done(void *arg)
{
    struct batch *batch = arg;
    struct kp_sink *sink = batch->sink;
    sink->spilling = false;
    for (size_t i = 0; i < batch->n; i++) {
        struct item *item = batch->items[i];
        item->on_disk = item->worker_code == 0;
        item->state = item->on_disk ? ITEM_DISK : ITEM_MEMORY;
        if (item->on_disk)
            drop_body(item);
    }
    if (batch->error.code != 0)
        kp_copy(sink->trouble, sizeof sink->trouble, batch->error.text);
    kp_free(batch);
    set_gauges(sink);
    if (!sink->closing)
        pump(sink);
}

static bool spool_has_room(const struct kp_sink *sink, size_t bytes)
{
    return sink->spool != NULL &&
           kp_spool_bytes(sink->spool) + bytes + KP_MAX_RECORD_BYTES <= sink->options.spool_bytes;
}

// Writes what waits in memory for longer than after_ms.
static void spill(struct kp_sink *sink, int64_t after_ms)
{
    int64_t now = kp_mono_ms();
    size_t bytes = 0;
    if (sink->spool == NULL || sink->spilling)
        return;
    struct batch *batch = KP_NEW(struct batch);
    batch->sink = sink;
    kp_list_foreach (node, &sink->items) {
        struct item *item = kp_container_of(node, struct item, node);
        if (item->state != ITEM_MEMORY || item->on_disk || now - item->waits_since_mono_ms < after_ms)
            continue;
        if (batch->n == SPILL_BATCH || !spool_has_room(sink, bytes + item->bytes))
            break;
        bytes += item->bytes;
        item->state = ITEM_SPILLING;
        batch->items[batch->n++] = item;
    }
    if (batch->n == 0) {
        kp_free(batch);
        return;
    }
    sink->spilling = true;
    kp_worker_run(sink->worker, spill_work, spill_done, batch);
}

static void forget_copies(struct kp_sink *sink)
{
    // loaded for a send that failed: they lie on disk anyway
    kp_list_foreach (node, &sink->items) {
        struct item *item = kp_container_of(node, struct item, node);
        if (item->state == ITEM_MEMORY && item->on_disk && item->body != NULL && sink->trouble[0] != '\0') {
            drop_body(item);
            item->state = ITEM_DISK;
        }
    }
}

// ---- flushing ----

static bool only_disk_left(const struct kp_sink *sink)
{
    kp_list_foreach (node, (struct kp_list *)(uintptr_t)&sink->items) {
        const struct item *item = kp_container_of(node, struct item, node);
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
        spill(sink, 0);
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
    spill(sink, sink->trouble[0] != '\0' || crowded ? 0 : SPILL_AFTER_MS);
    forget_copies(sink);
    set_gauges(sink);
    pump(sink);
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

void kp_sink_put(struct kp_sink *sink, const struct kp_record *record, struct kp_blob *body)
{
    bool memory_full = sink->memory + body->len > sink->options.memory_bytes;
    if ((memory_full && !spool_has_room(sink, sink->memory + body->len)) ||
        (memory_full && sink->spool == NULL)) {
        kp_metric_inc(sink->dropped);
        sink->on_outcome(sink->user, record, KP_OUTCOME_UNDELIVERED,
            "the registry is away and the spool is full: see to the registry, or raise --spool-bytes");
        return;
    }
    struct item *item = item_new(sink, record, body->len, wall_ms(sink));
    item->state = ITEM_MEMORY;
    item->body = kp_blob_ref(body);
    sink->memory += body->len;
    if (memory_full)
        spill(sink, 0);
    set_gauges(sink);
    pump(sink);
}

void kp_sink_pause(struct kp_sink *sink, bool paused)
{
    sink->paused = paused;
    pump(sink);
}

void kp_sink_put_state(struct kp_sink *sink, const struct kp_state_batch *batch)
{
    struct state_post *post;
    struct kp_strbuf text;
    size_t len;
    kp_strbuf_init(&text, KP_MAX_PROFILE_BYTES / 2);
    kp_state_batch_encode(batch, &text);
    if (text.overflow) {
        kp_strbuf_finish(&text);
        return;
    }
    HASH_FIND_STR(sink->states, batch->namespace, post);
    if (post == NULL) {
        post = KP_NEW(struct state_post);
        post->sink = sink;
        post->namespace = kp_strdup(batch->namespace);
        HASH_ADD_KEYPTR(hh, sink->states, post->namespace, strlen(post->namespace), post);
    }
    kp_blob_unref(post->blob);
    char *data = kp_strbuf_take(&text, &len);
    post->blob = kp_blob_take(data, len);
    kp_strbuf_finish(&text);
    pump(sink);
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

static void replay(
    void *user, const struct kp_spool_place *place, int64_t put_ms, const void *capture, size_t len)
{
    struct kp_sink *sink = user;
    struct kp_record record;
    const uint8_t *profile;
    size_t profile_len;
    if (kp_capture_unframe(capture, len, &record, &profile, &profile_len, NULL) != 0)
        return; // its file stays until the others in it are delivered
    struct item *item = item_new(sink, &record, profile_len, put_ms);
    item->state = ITEM_DISK;
    item->on_disk = true;
    item->place = *place;
    kp_record_finish(&record);
}

static void make_metrics(struct kp_sink *sink, struct kp_metrics *metrics)
{
    if (metrics == NULL)
        return;
    sink->waiting =
        kp_gauge(metrics, "kube_pprof_sink_waiting", "Captures that wait to be delivered, memory and spool.");
    sink->spool_bytes = kp_gauge(metrics, "kube_pprof_spool_bytes", "Bytes of the spool on disk.");
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
    sink->options.memory_bytes = options->memory_bytes != 0 ? options->memory_bytes : 32 * KP_MIB;
    sink->options.max_age_ms = options->max_age_ms != 0 ? options->max_age_ms : 24 * 3600000;
    sink->options.concurrent = options->concurrent != 0 ? options->concurrent : 4;
    sink->on_outcome = on_outcome;
    sink->user = user;
    kp_list_init(&sink->items);
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
    kp_worker_destroy(sink->worker);
    kp_list_foreach_safe (node, &sink->items) {
        struct item *item = kp_container_of(node, struct item, node);
        kp_list_remove(&item->node);
        drop_body(item);
        kp_record_finish(&item->record);
        kp_free(item);
    }
    struct state_post *post, *next;
    HASH_ITER (hh, sink->states, post, next)
        state_free(sink, post);
    kp_policy_counts_free(&sink->policies);
    kp_spool_close(sink->spool);
    kp_free(sink);
}
