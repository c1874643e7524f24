// Inside sink only: the queue and its parts.
#ifndef KP_SINK_SINK_PRIVATE_H
#define KP_SINK_SINK_PRIVATE_H

#include "aio/job.h"
#include "base/backoff.h"
#include "base/list.h"
#include "base/map.h"
#include "sink/policies.h"
#include "sink/sink.h"
#include "sink/spool.h"

#define KP_SINK_MAX_ITEMS 65536 // descriptions stay in memory while profiles lie on disk

enum item_state {
    ITEM_MEMORY,  // body at hand, waits
    ITEM_DISK,    // lies in the spool only
    ITEM_LOADING, // the worker reads it
    ITEM_SENDING, // body at hand
};

struct kp_sink_item {
    enum item_state state;
    struct kp_list node;         // in order of arrival
    struct kp_sink_space *space; // NULL once it is over
    struct kp_list in_space;
    struct kp_sink *sink;
    struct kp_record record;
    struct kp_blob *body; // NULL on disk
    size_t bytes;
    int64_t put_ms, waits_since_mono_ms;
    bool on_disk;
    bool writing; // the worker writes it to the spool; it may be sent meanwhile
    bool over;    // concluded while it was written: freed when that is done
    struct kp_spool_place place;
    int worker_code; // of what the worker did
    char *loaded;
};

struct kp_sink_space { // a namespace whose captures wait
    char *name;
    struct kp_list items; // in order of arrival
    struct kp_list turn;
    size_t n;
    int n_sending;
    uint64_t bytes; // in memory or on disk
    UT_hash_handle hh;
};

struct kp_sink_state {
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
    struct kp_sink_space *spaces;
    struct kp_list turns; // spaces, who is next first
    size_t n_items;
    size_t memory; // bytes that are nowhere else
    size_t copies; // bytes in memory, or being read, that lie in the spool too
    int n_sending;
    bool paused, spilling, closing, pumping, worker_over;
    char trouble[260], full[240];
    int64_t blocked_until_ms; // monotonic
    struct kp_backoff backoff;
    struct kp_spool *spool;
    struct kp_worker *worker;
    struct kp_timer *timer;
    struct kp_policy_counts *policies;
    struct kp_sink_state *states;
    bool state_in_flight;
    kp_loop_fn on_flushed;
    void *flushed_user;
    int64_t flush_until_ms;
    struct kp_metric *waiting, *spool_bytes, *dropped, *retries, *damaged;
};

// sink.c: delivers what can be delivered now; the receiver is in trouble; items.
void kp_sink_pump(struct kp_sink *sink);
void kp_sink_block(struct kp_sink *sink, const struct kp_sink_answer *answer);
void kp_sink_drop_body(struct kp_sink_item *item);
void kp_sink_item_free(struct kp_sink_item *item); // and its copy on disk
void kp_sink_set_gauges(struct kp_sink *sink);
// spill.c: writes what waits in memory for longer than after_ms.
void kp_sink_spill(struct kp_sink *sink, int64_t after_ms);
bool kp_sink_spool_has_room(const struct kp_sink *sink, size_t bytes);
// spaces.c: the item joins the queue of its namespace, or leaves it; whose turn it is to be delivered, NULL
// if nothing can be (may_load: also what must be read from disk first; else it waits, and what came after
// it); its turn is over when its delivery begins; why the namespace may not have more waiting (valid until
// the next call), NULL if it may.
void kp_sink_space_enter(struct kp_sink_item *item);
void kp_sink_space_leave(struct kp_sink_item *item);
struct kp_sink_item *kp_sink_next(struct kp_sink *sink, bool may_load);
void kp_sink_sending(struct kp_sink_item *item, int by); // deliveries under way, more or less by so many
const char *kp_sink_share_full(struct kp_sink *sink, const char *namespace, size_t bytes);
// states.c
void kp_sink_pump_states(struct kp_sink *sink);
void kp_sink_state_free(struct kp_sink *sink, struct kp_sink_state *post);

#endif
