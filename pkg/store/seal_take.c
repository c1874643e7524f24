// What is to be sealed next: a stretch of closed log files of one hour.
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/text.h"
#include "store/seal_private.h"
#include "base/banned.h"

#define MAX_STRETCH_BYTES ((uint64_t)256 * KP_MIB)
#define MAX_STRETCH_ITEMS 100000

static int64_t hour_of(const struct kp_logfile *file)
{
    return file->head.created_ms / KP_HOUR_MS;
}

// Index of the series, or where it belongs.
static size_t series_position(const struct kp_seal *seal, uint32_t id, bool *ret_found)
{
    size_t low = 0;
    size_t high = seal->series.n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (seal->series.items[mid].series->id < id)
            low = mid + 1;
        else
            high = mid;
    }
    *ret_found = low < seal->series.n && seal->series.items[low].series->id == id;
    return low;
}

static uint32_t group_of(struct kp_seal *seal, const char *namespace, uint32_t keep_s)
{
    for (size_t i = seal->groups.n; i-- > 0;)
        if (seal->groups.items[i].keep_s == keep_s && kp_streq(seal->groups.items[i].namespace, namespace))
            return (uint32_t)i;
    *kp_array_add(&seal->groups) = (struct kp_seal_group){namespace, keep_s};
    return (uint32_t)seal->groups.n - 1;
}

// Rows are copied with the id of their series in `series`; it becomes an index when all series are known.
static void take_rows(struct kp_seal *seal, struct kp_logfile *file)
{
    for (size_t i = 0; i < file->rows.n; i++) {
        if (!kp_store_row_live(seal->store, file, i, seal->now_ms))
            continue;
        *kp_array_add(&seal->items) = (struct kp_seal_item){.file = file,
            .row = file->rows.items[i],
            .number = file->head.first + file->rows.items[i].number_delta,
            .series = file->rows.items[i].series,
            .weight = 1};
    }
}

static void take_series(struct kp_seal *seal)
{
    const struct kp_series_table *table = &seal->store->series;
    kp_auto_free uint8_t *used = KP_NEW_ARRAY(uint8_t, table->by_id.n + 1);
    for (size_t i = 0; i < seal->items.n; i++) {
        const struct kp_seal_item *item = &seal->items.items[i];
        ptrdiff_t at = kp_series_position(table, item->series);
        if (at >= 0)
            used[at] = 1;
    }
    for (size_t i = 0; i < table->by_id.n; i++) {
        const struct kp_series *series = table->by_id.items[i];
        if (!used[i])
            continue;
        struct kp_seal_series *s = kp_array_add(&seal->series);
        s->series = kp_series_copy(series);
        s->opaque = !kp_streq(series->fields[KP_SERIES_FORMAT], "pprof");
        kp_series_record(s->series, &s->identity);
        kp_series_rollup_hash(s->series, s->rollup);
    }
}

static void join_series(struct kp_seal *seal)
{
    size_t kept = 0;
    for (size_t i = 0; i < seal->items.n; i++) {
        struct kp_seal_item item = seal->items.items[i];
        bool found;
        size_t at = series_position(seal, item.series, &found);
        if (!found)
            continue;
        item.series = (uint32_t)at;
        item.group =
            group_of(seal, seal->series.items[at].series->fields[KP_SERIES_NAMESPACE], item.row.keep_s);
        seal->items.items[kept++] = item;
    }
    seal->items.n = kept;
}

// Files of the hour of `first` from there on.
static void take_files(struct kp_seal *seal, size_t first)
{
    struct kp_store *store = seal->store;
    int64_t hour = hour_of(store->files.items[first]);
    uint64_t bytes = 0;
    for (size_t i = first; i + 1 < store->files.n; i++) {
        struct kp_logfile *file = store->files.items[i];
        if (hour_of(file) != hour || (seal->items.n > 0 && (bytes + file->size > MAX_STRETCH_BYTES ||
                                                               seal->items.n > MAX_STRETCH_ITEMS)))
            break;
        if (file->n_live == 0)
            continue;
        take_rows(seal, file);
        bytes += file->size;
        *kp_array_add(&seal->files) = kp_logfile_ref(file);
    }
    seal->period_ms = hour * KP_HOUR_MS;
}

bool kp_seal_take(struct kp_seal *seal, bool now)
{
    struct kp_store *store = seal->store;
    pthread_rwlock_rdlock(&store->lock); // readers may be setting KP_ROW_BAD
    for (size_t i = 0; seal->items.n == 0 && i + 1 < store->files.n; i++) {
        const struct kp_logfile *file = store->files.items[i];
        if (file->n_live > 0 && (now || hour_of(file) < seal->now_ms / KP_HOUR_MS))
            take_files(seal, i);
    }
    if (seal->items.n > 0) {
        take_series(seal);
        join_series(seal);
    }
    pthread_rwlock_unlock(&store->lock);
    return seal->items.n > 0;
}
