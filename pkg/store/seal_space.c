// Where each profile of a stretch belongs: read from its record, and from the profile where the image is not
// known.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "store/facts.h"
#include "store/seal_private.h"
#include "base/banned.h"

#define ORDER_BITS 40

static void hash_texts(const char *const *texts, size_t n, uint64_t kind, uint64_t ret[2])
{
    for (uint64_t k = 0; k < 2; k++) {
        uint64_t h = kp_hash64_mix(k, kind);
        for (size_t i = 0; i < n; i++)
            h = kp_hash64_mix(kp_hash64_str(texts[i], h), strlen(texts[i]));
        ret[k] = h;
    }
    ret[0] |= 1; // zeroes mean none
}

static void take_facts(struct kp_seal_item *item, const struct kp_record *record)
{
    struct kp_segment_row row = {.flags = item->flags};
    kp_row_set_facts(&row, record);
    item->life = row.life;
    item->duration_ms = row.duration_ms;
    item->weight = row.weight;
    item->flags = row.flags;
}

static void choose_space(const struct kp_seal_series *s, struct kp_seal_item *item, const char *build_id)
{
    const char *const *f = (const char *const *)s->series->fields;
    const char *digest = f[KP_SERIES_IMAGE_DIGEST];
    if (s->opaque)
        return;
    if (digest[0])
        hash_texts(
            (const char *[]){f[KP_SERIES_NAMESPACE], f[KP_SERIES_SERVICE], digest, f[KP_SERIES_CONTAINER]}, 4,
            1, item->space);
    else if (build_id[0])
        hash_texts(
            (const char *[]){f[KP_SERIES_NAMESPACE], f[KP_SERIES_SERVICE], build_id}, 3, 2, item->space);
    else
        hash_texts((const char *[]){f[KP_SERIES_NAMESPACE], f[KP_SERIES_SERVICE], f[KP_SERIES_VERSION],
                       f[KP_SERIES_CONTAINER]},
            4, 3, item->space);
}

static int look_at(struct kp_seal *seal, struct kp_seal_item *item, struct kp_error *err)
{
    const struct kp_seal_series *s = &seal->series.items[item->series];
    struct kp_profile_summary summary = {0};
    struct kp_record record;
    struct kp_blob *body = NULL;
    bool wants_body = !s->opaque && s->series->fields[KP_SERIES_IMAGE_DIGEST][0] == '\0';
    int rc = wants_body ? kp_logfile_read(item->file, &item->row, &record, &body, err)
                        : kp_logfile_read_record(item->file, &item->row, &record, err);
    if (rc != 0)
        return rc;
    take_facts(item, &record);
    if (s->opaque)
        item->flags |= KP_SROW_OPAQUE;
    if (body)
        (void)kp_profile_check(body->data, body->len, NULL, &summary, NULL);
    choose_space(s, item, summary.build_id);
    kp_record_finish(&record);
    kp_blob_unref(body);
    return 0;
}

static int in_order(const void *pa, const void *pb, void *user)
{
    const struct kp_seal *seal = user;
    const struct kp_seal_item *a = pa;
    const struct kp_seal_item *b = pb;
    if (a->group != b->group)
        return a->group < b->group ? -1 : 1;
    for (int k = 0; k < 2; k++)
        if (a->space[k] != b->space[k])
            return a->space[k] < b->space[k] ? -1 : 1;
    const char *type_a = seal->series.items[a->series].series->fields[KP_SERIES_TYPE];
    const char *type_b = seal->series.items[b->series].series->fields[KP_SERIES_TYPE];
    int c = strcmp(type_a, type_b);
    if (c != 0)
        return c;
    if (a->order != b->order)
        return a->order < b->order ? -1 : 1;
    return (a->number > b->number) - (a->number < b->number);
}

// Pod (its series), then time.
static void set_orders(struct kp_seal *seal)
{
    int64_t first_ms = INT64_MAX;
    for (size_t i = 0; i < seal->items.n; i++)
        if (seal->items.items[i].row.start_ms < first_ms)
            first_ms = seal->items.items[i].row.start_ms;
    for (size_t i = 0; i < seal->items.n; i++) {
        struct kp_seal_item *item = &seal->items.items[i];
        uint64_t since = (uint64_t)(item->row.start_ms - first_ms);
        uint64_t most = (UINT64_C(1) << ORDER_BITS) - 1;
        item->order = (uint64_t)item->series << ORDER_BITS | (since < most ? since : most);
    }
}

void kp_seal_set_bad(struct kp_seal *seal, struct kp_seal_item *item)
{
    struct kp_store *store = seal->store;
    struct kp_logfile *file;
    size_t at;
    item->bad = true;
    pthread_rwlock_wrlock(&store->lock);
    if (kp_store_locate(store, item->number, &file, &at))
        kp_store_mark(store, file, at, KP_ROW_BAD);
    pthread_rwlock_unlock(&store->lock);
}

int kp_seal_sort(struct kp_seal *seal, const int *cancelled, struct kp_error *err)
{
    for (size_t i = 0; i < seal->items.n; i++) {
        struct kp_error why = {0};
        if (kp_seal_cancelled(cancelled))
            return kp_fail(err, KP_CANCELED, "sealing was stopped");
        int rc = look_at(seal, &seal->items.items[i], &why);
        if (rc == KP_CORRUPT)
            kp_seal_set_bad(seal, &seal->items.items[i]);
        else if (rc != 0)
            return kp_fail(err, rc, "%s", why.text);
    }
    set_orders(seal);
    qsort_r(seal->items.items, seal->items.n, sizeof seal->items.items[0], in_order, seal);
    return 0;
}
