// From memory to the spool: a worker thread writes, one batch at a time, one sync a batch.
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/text.h"
#include "sink/sink_private.h"
#include "base/banned.h"

#define SPILL_BATCH 64

struct spill_batch { // of items to be written
    struct kp_sink *sink;
    struct kp_sink_item *items[SPILL_BATCH];
    size_t n;
    struct kp_error error;
};

static void spill_work(void *arg)
{
    struct spill_batch *batch = arg;
    struct kp_spool *spool = batch->sink->spool;
    for (size_t i = 0; i < batch->n; i++) {
        struct kp_sink_item *item = batch->items[i];
        struct kp_strbuf frame;
        kp_strbuf_init(&frame, item->body->len + KP_MAX_RECORD_BYTES + 64);
        kp_capture_frame(&frame, &item->record, item->body->data, item->body->len);
        item->worker_code =
            kp_spool_append(spool, frame.data, frame.len, item->put_ms, &item->place, &batch->error);
        kp_strbuf_finish(&frame);
    }
    struct kp_error sync_error = {0};
    int code = kp_spool_sync(spool, &sync_error);
    for (size_t i = 0; i < batch->n && code != 0; i++) {
        struct kp_sink_item *item = batch->items[i];
        if (item->worker_code == 0)
            kp_spool_drop(spool, &item->place); // what may not be there must not be counted on
        item->worker_code = code;
    }
    if (code != 0)
        kp_fail(&batch->error, code, "%s", sync_error.text);
}

static void spill_done(void *arg)
{
    struct spill_batch *batch = arg;
    struct kp_sink *sink = batch->sink;
    sink->spilling = false;
    for (size_t i = 0; i < batch->n; i++) {
        struct kp_sink_item *item = batch->items[i];
        item->writing = false;
        item->on_disk = item->worker_code == 0;
        if (item->on_disk) {
            sink->memory -= item->bytes;
            sink->copies += item->bytes;
        }
        if (item->over) {
            kp_sink_item_free(item);
        } else if (item->on_disk && item->state == ITEM_MEMORY) {
            kp_sink_drop_body(item);
            item->state = ITEM_DISK;
        }
    }
    if (batch->error.code != 0)
        kp_copy(sink->trouble, sizeof sink->trouble, batch->error.text);
    kp_free(batch);
    kp_sink_set_gauges(sink);
    if (!sink->closing)
        kp_sink_pump(sink);
}

bool kp_sink_spool_has_room(const struct kp_sink *sink, size_t bytes)
{
    return sink->spool != NULL &&
           kp_spool_bytes(sink->spool) + bytes + KP_MAX_RECORD_BYTES <= sink->options.spool_bytes;
}

void kp_sink_spill(struct kp_sink *sink, int64_t after_ms)
{
    int64_t now = kp_mono_ms();
    size_t bytes = 0;
    if (sink->spool == NULL || sink->spilling)
        return;
    struct spill_batch *batch = KP_NEW(struct spill_batch);
    batch->sink = sink;
    kp_list_foreach (node, &sink->items) {
        struct kp_sink_item *item = kp_container_of(node, struct kp_sink_item, node);
        // also what is being sent: an answer that does not come must not cost the capture
        if (item->body == NULL || item->on_disk || item->writing ||
            now - item->waits_since_mono_ms < after_ms)
            continue;
        if (batch->n == SPILL_BATCH || !kp_sink_spool_has_room(sink, bytes + item->bytes))
            break;
        bytes += item->bytes;
        item->writing = true;
        batch->items[batch->n++] = item;
    }
    if (batch->n == 0) {
        kp_free(batch);
        return;
    }
    sink->spilling = true;
    kp_worker_run(sink->worker, spill_work, spill_done, batch);
}
