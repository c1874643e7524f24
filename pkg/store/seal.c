// Sealing, seen from outside: begin, run, end.
#include "base/alloc.h"
#include "base/log.h"
#include "store/seal_private.h"
#include "base/banned.h"

#define RETRY_MS KP_HOUR_MS // doubled at each failure, up to a day

static void destroy(struct kp_seal *seal)
{
    for (size_t i = 0; i < seal->files.n; i++)
        kp_logfile_unref(seal->files.items[i]);
    for (size_t i = 0; i < seal->series.n; i++) {
        kp_series_free(seal->series.items[i].series);
        kp_record_finish(&seal->series.items[i].identity);
    }
    for (size_t i = 0; i < seal->inputs.n; i++)
        kp_sealed_unref(seal->inputs.items[i]);
    for (size_t i = 0; i < seal->outputs.n; i++) {
        kp_sealed_unref(seal->outputs.items[i].sealed);
        kp_free(seal->outputs.items[i].rows);
    }
    kp_array_free(&seal->files);
    kp_array_free(&seal->items);
    kp_array_free(&seal->series);
    kp_array_free(&seal->groups);
    kp_array_free(&seal->outputs);
    kp_free(seal->inputs.items);
    kp_free(seal);
}

static bool should_rotate(struct kp_store *store, bool now)
{
    const struct kp_logfile *active = kp_store_active(store);
    int64_t now_ms = kp_store_now(store);
    return active->rows.n > 0 && (now || active->head.created_ms + store->options.seal_after_ms <= now_ms ||
                                     active->head.created_ms / KP_HOUR_MS != now_ms / KP_HOUR_MS);
}

int kp_store_seal_begin(struct kp_store *store, bool now, struct kp_seal **ret, struct kp_error *err)
{
    if (store->sealing)
        return kp_fail(err, KP_CONFLICT, "sealing goes on already; try again when it is done");
    *ret = NULL;
    kp_tier_sweep(store, false);
    int rc = should_rotate(store, now) ? kp_store_rotate(store, err) : 0;
    if (rc != 0)
        return rc;
    struct kp_seal *seal = KP_NEW(struct kp_seal);
    seal->store = store;
    seal->now_ms = kp_store_now(store);
    if (!kp_seal_take(seal, now))
        kp_tier_pick(store, &seal->inputs);
    if (seal->items.n == 0 && seal->inputs.n == 0) {
        destroy(seal);
        return 0;
    }
    seal->id = ++store->n_seals;
    if (seal->inputs.n > 0)
        seal->period_ms = seal->inputs.items[0]->segment->min_received_ms / KP_DAY_MS * KP_DAY_MS;
    store->sealing = *ret = seal;
    return 0;
}

int kp_seal_run(struct kp_seal *seal, const int *cancelled, struct kp_error *err)
{
    int rc = 0;
    if (seal->inputs.n > 0) {
        rc = kp_seal_join(seal, cancelled, err);
    } else {
        rc = kp_seal_sort(seal, cancelled, err);
        if (rc == 0)
            rc = kp_seal_write_all(seal, cancelled, err);
    }
    seal->failed = rc != 0;
    seal->stopped = rc == KP_CANCELED;
    return rc;
}

// Where one of them is damaged that is written again first. Without somebody to blame all are tried again
// later.
static void put_off(struct kp_seal *seal)
{
    bool any = false;
    for (size_t i = 0; !seal->inputs.is_damaged && i < seal->inputs.n; i++)
        any |= kp_sealed_is_damaged(seal->inputs.items[i]);
    for (size_t i = 0; !any && i < seal->inputs.n; i++) {
        struct kp_sealed *sealed = seal->inputs.items[i];
        int64_t wait_ms = sealed->n_failures < 5 ? RETRY_MS << sealed->n_failures++ : KP_DAY_MS;
        sealed->no_work_before_ms = seal->now_ms + wait_ms;
    }
}

// Every file that was made is whole: what a run did before it failed counts.
int kp_seal_end(struct kp_seal *seal, struct kp_error *err)
{
    struct kp_store *store = seal->store;
    int rc = 0;
    store->sealing = NULL;
    if (seal->failed && !seal->stopped)
        put_off(seal);
    if (seal->outputs.n > 0 || (seal->inputs.n > 0 && !seal->failed))
        rc = kp_seal_publish(seal, err);
    destroy(seal);
    kp_tier_sweep(store, false);
    return rc;
}
