// Retention of what is sealed: segments go whole where they can.
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "store/tier.h"
#include "base/banned.h"

#define LOOK_EVERY_MS (INT64_C(60) * 1000) // for rows past their age, in one segment
#define CAP_STEP      4096

bool kp_tier_may_need(const struct kp_store *store, size_t file)
{
    uint64_t first = store->files.items[file]->head.first;
    uint64_t end = file + 1 < store->files.n ? store->files.items[file + 1]->head.first : UINT64_MAX;
    for (size_t i = 0; i < store->sealed.n; i++) {
        const struct kp_sealed *sealed = store->sealed.items[i];
        if (kp_sealed_is_damaged(sealed) && first <= sealed->segment->max_number &&
            end > sealed->segment->min_number)
            return true;
    }
    return false;
}

// Bytes of its profiles that are still in the log would come back to life once the segment is gone.
static int clear_log(struct kp_store *store, const struct kp_segment *s, struct kp_error *err)
{
    for (size_t f = store->files.n - 1; f-- > 0;) {
        const struct kp_logfile *file = store->files.items[f];
        bool left = false;
        if (file->head.first > s->max_number || store->files.items[f + 1]->head.first <= s->min_number)
            continue;
        for (size_t i = 0; !left && i < file->rows.n; i++)
            left = file->rows.items[i].offset != 0 && (kp_store_flags(store, file, i) & KP_ROW_MOVED) != 0;
        int rc = left ? kp_store_compact(store, f, err) : 0;
        if (rc != 0)
            return rc;
    }
    return 0;
}

int kp_tier_drop(struct kp_store *store, struct kp_sealed *sealed, struct kp_error *err)
{
    int rc = clear_log(store, sealed->segment, err);
    if (rc != 0)
        return rc;
    pthread_rwlock_wrlock(&store->lock);
    uint32_t n_live = sealed->segment->n_rows - kp_sealed_n_dead(sealed);
    kp_tier_count_series(store, sealed, false);
    kp_tier_remove(store, sealed);
    pthread_rwlock_unlock(&store->lock);
    kp_metric_add(store->m_dropped, n_live);
    kp_tier_note(store, NULL, 0, &sealed, 1);
    kp_tier_sweep(store, false);
    return 0;
}

// ---- age ----

struct ageing {
    struct kp_store *store;
    struct kp_sealed *sealed;
    int64_t now_ms;
    int64_t next_ms;
};

static int age_row(void *user, uint32_t at, const struct kp_segment_row *row)
{
    struct ageing *a = user;
    int64_t expiry_ms = kp_store_expiry(a->store, a->sealed->segment->keep_s, row->received_ms);
    if (expiry_ms <= a->now_ms) {
        pthread_rwlock_wrlock(&a->store->lock);
        kp_store_mark_sealed(a->store, a->sealed, at, row->series, KP_ROW_DEAD);
        pthread_rwlock_unlock(&a->store->lock);
    } else if (expiry_ms < a->next_ms) {
        a->next_ms = expiry_ms;
    }
    return 0;
}

// Only the counters need it: readers look at the time themselves.
static int age_rows(struct kp_store *store, struct kp_sealed *sealed, int64_t now_ms, struct kp_error *err)
{
    const struct kp_segment *s = sealed->segment;
    struct ageing ageing = {store, sealed, now_ms, INT64_MAX};
    if (sealed->next_look_ms == 0)
        sealed->next_look_ms = kp_store_expiry(store, s->keep_s, s->min_received_ms);
    if (sealed->next_look_ms > now_ms)
        return 0;
    int rc = kp_sealed_each(sealed, 0, s->n_rows, age_row, &ageing, err);
    // counting down to a limit has to be exact
    int64_t soonest_ms = now_ms + (store->options.max_profiles_per_service > 0 ? 0 : LOOK_EVERY_MS);
    sealed->next_look_ms = ageing.next_ms > soonest_ms ? ageing.next_ms : soonest_ms;
    return rc;
}

int kp_tier_expire(struct kp_store *store, struct kp_error *err)
{
    int64_t now_ms = kp_store_now(store);
    int rc = 0;
    for (size_t i = 0; i < store->sealed.n; i++) {
        struct kp_sealed *sealed = store->sealed.items[i];
        if (__atomic_load_n(&sealed->n_bad, __ATOMIC_RELAXED) > 0 &&
            kp_sealed_n_dead(sealed) == sealed->segment->n_rows)
            kp_sealed_set_damaged(sealed); // not deleted but unreadable
        if (kp_sealed_is_damaged(sealed) && !sealed->counted_damage) {
            sealed->counted_damage = true;
            kp_store_count_corrupt(store);
        }
    }
    for (size_t i = store->sealed.n; rc == 0 && i-- > 0;) {
        struct kp_sealed *sealed = store->sealed.items[i];
        const struct kp_segment *s = sealed->segment;
        bool gone = kp_store_expiry(store, s->keep_s, s->max_received_ms) <= now_ms ||
                    (kp_sealed_n_dead(sealed) == s->n_rows && !kp_sealed_is_damaged(sealed));
        rc = gone ? kp_tier_drop(store, sealed, err) : age_rows(store, sealed, now_ms, err);
    }
    return rc;
}

// ---- number ----

struct tally {
    const char *namespace, *service;
    uint64_t n;
    char *key;
    UT_hash_handle hh;
};

static struct tally *tally(const struct kp_store *store)
{
    struct tally *all = NULL;
    for (size_t i = 0; i < store->series.by_id.n; i++) {
        const struct kp_series *s = store->series.by_id.items[i];
        kp_auto_free char *key =
            kp_asprintf("%s/%s", s->fields[KP_SERIES_NAMESPACE], s->fields[KP_SERIES_SERVICE]);
        struct tally *t;
        HASH_FIND_STR(all, key, t);
        if (t == NULL) {
            t = KP_NEW(struct tally);
            t->namespace = s->fields[KP_SERIES_NAMESPACE];
            t->service = s->fields[KP_SERIES_SERVICE];
            t->key = kp_take(key);
            HASH_ADD_KEYPTR(hh, all, t->key, strlen(t->key), t);
        }
        t->n += s->n_live;
    }
    return all;
}

static int drop_beyond(struct kp_store *store, const struct tally *t, bool *ret_more, struct kp_error *err)
{
    uint64_t beyond = t->n - store->options.max_profiles_per_service;
    const struct kp_store_query query = {.namespace = t->namespace, .service = t->service};
    struct kp_hits hits;
    if (beyond > CAP_STEP) {
        beyond = CAP_STEP;
        *ret_more = true;
    }
    int rc = kp_hits_page(store, &query, NULL, beyond, &hits, err);
    if (rc != 0)
        return rc;
    rc = kp_store_bury(store, hits.items, hits.n, err);
    *ret_more = *ret_more && hits.n > 0;
    kp_hits_finish(&hits);
    return rc;
}

int kp_store_cap(struct kp_store *store, bool *ret_more, struct kp_error *err)
{
    int rc = 0;
    struct tally *t;
    struct tally *next;
    if (store->options.max_profiles_per_service == 0)
        return 0;
    pthread_rwlock_rdlock(&store->lock);
    struct tally *all = tally(store); // names lie in series, which only this thread removes
    pthread_rwlock_unlock(&store->lock);
    HASH_ITER (hh, all, t, next) {
        if (rc == 0 && t->n > store->options.max_profiles_per_service)
            rc = drop_beyond(store, t, ret_more, err);
        HASH_DEL(all, t);
        kp_free(t->key);
        kp_free(t);
    }
    return rc;
}
