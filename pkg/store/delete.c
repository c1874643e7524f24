// Deleting: tombstones in the log first, durable; then marks.
#include "base/alloc.h"
#include "store/tier.h"
#include "base/banned.h"

static void mark(struct kp_store *store, const struct kp_hit *hit)
{
    struct kp_logfile *file;
    size_t at;
    const struct kp_id id = {
        .start_ms = hit->row.start_ms, .series = hit->row.series, .number = hit->row.number};
    if (hit->file && kp_store_locate(store, hit->row.number, &file, &at))
        kp_store_mark(store, file, at, KP_ROW_DEAD);
    for (size_t i = 0; hit->segment && i < store->sealed.n; i++) {
        struct kp_sealed *sealed = store->sealed.items[i];
        if (sealed->segment != hit->segment)
            continue;
        kp_sealed_bury(sealed, id.number);
        kp_store_mark_sealed(store, sealed, hit->at, id.series, KP_ROW_DEAD);
    }
}

int kp_store_bury(struct kp_store *store, const struct kp_hit *hits, size_t n, struct kp_error *err)
{
    kp_auto_free struct kp_tombstone *tombstones = KP_NEW_ARRAY(struct kp_tombstone, n);
    for (size_t i = 0; i < n; i++)
        tombstones[i] = (struct kp_tombstone){
            .number = hits[i].row.number, .start_ms = hits[i].row.start_ms, .series = hits[i].row.series};
    int rc = n == 0 ? 0 : kp_store_append_tombstones(store, tombstones, n, err);
    if (rc != 0)
        return rc;
    pthread_rwlock_wrlock(&store->lock);
    for (size_t i = 0; i < n; i++)
        mark(store, &hits[i]);
    pthread_rwlock_unlock(&store->lock);
    return 0;
}

int kp_store_delete_matching(
    struct kp_store *store, const struct kp_store_query *query, size_t *ret_n, struct kp_error *err)
{
    struct kp_hits hits;
    *ret_n = 0;
    int rc = kp_hits_page(store, query, NULL, query->limit, &hits, err);
    if (rc != 0)
        return rc;
    rc = kp_store_bury(store, hits.items, hits.n, err);
    *ret_n = rc == 0 ? hits.n : 0;
    kp_hits_finish(&hits);
    return rc;
}

int kp_store_delete(struct kp_store *store, const char *id, struct kp_error *err)
{
    struct kp_hits hits;
    int rc = kp_hits_of_ids(store, NULL, &id, 1, &hits, err);
    if (rc != 0)
        return rc;
    rc = kp_store_bury(store, hits.items, hits.n, err);
    kp_hits_finish(&hits);
    return rc;
}
