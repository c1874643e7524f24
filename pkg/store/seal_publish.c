// Putting what was made in the place of what it was made of.
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "store/seal_private.h"
#include "base/banned.h"

struct place {
    struct kp_logfile *file; // NULL: the log has it no more
    size_t at;
};

struct dead {
    KP_ARRAY(struct kp_tombstone) list;
};

static void note_dead(
    struct dead *dead, struct kp_sealed *sealed, uint32_t at, const struct kp_segment_row *row)
{
    (void)kp_sealed_kill(sealed, at);
    kp_sealed_bury(sealed, row->number);
    *kp_array_add(&dead->list) =
        (struct kp_tombstone){.number = row->number, .start_ms = row->start_ms, .series = row->series};
}

// A reader found the log's copy damaged after it was copied well.
static void revive(struct kp_seal *seal, const struct place *place, uint32_t id)
{
    struct kp_store *store = seal->store;
    struct kp_series *series = kp_series_of_id(&store->series, id);
    for (size_t i = 0; series == NULL && i < seal->series.n; i++)
        if (seal->series.items[i].series->id == id) {
            series = kp_series_add(&store->series, &seal->series.items[i].identity, id);
            *kp_array_add(&store->pending_series) = id;
        }
    if (series)
        series->n_live++;
    place->file->rows.flags[place->at] |= KP_ROW_MOVED;
}

// Profiles that were deleted or dropped while the segment was made are dead in it from the
// start.
static void publish_one(struct kp_seal *seal, const struct kp_seal_output *out, struct dead *dead)
{
    struct kp_store *store = seal->store;
    uint32_t n = out->sealed->segment->n_rows;
    kp_auto_free struct place *places = KP_NEW_ARRAY(struct place, (size_t)n + 1);
    for (uint32_t i = 0; i < n; i++)
        if (!kp_store_locate(store, out->rows[i].number, &places[i].file, &places[i].at))
            places[i].file = NULL;
    pthread_rwlock_wrlock(&store->lock);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t flags = places[i].file ? places[i].file->rows.flags[places[i].at] : KP_ROW_DEAD;
        if (flags == 0)
            kp_store_mark(store, places[i].file, places[i].at, KP_ROW_MOVED);
        else if (flags == KP_ROW_BAD)
            revive(seal, &places[i], out->rows[i].series);
        else
            note_dead(dead, out->sealed, i, &out->rows[i]);
    }
    kp_tier_add(store, kp_sealed_ref(out->sealed));
    pthread_rwlock_unlock(&store->lock);
    kp_metric_add(store->m_sealed, n);
}

static int publish_sealed(struct kp_seal *seal, struct kp_error *err)
{
    struct kp_store *store = seal->store;
    struct dead dead = {0};
    int rc = 0;
    kp_auto_free struct kp_sealed **added = KP_NEW_ARRAY(struct kp_sealed *, seal->outputs.n);
    for (size_t i = 0; i < seal->outputs.n; i++) {
        added[i] = seal->outputs.items[i].sealed;
        publish_one(seal, &seal->outputs.items[i], &dead);
    }
    for (size_t i = 0; rc == 0 && i < seal->files.n;
         i++) { // as they are now: they may have been written again
        const struct kp_logfile *file = kp_store_file_of(store, seal->files.items[i]->head.first);
        rc = file ? kp_rows_sync(&file->rows, err) : 0;
    }
    if (rc == 0 && dead.list.n > 0)
        rc = kp_store_append_tombstones(store, dead.list.items, dead.list.n, err);
    kp_array_free(&dead.list);
    if (rc == 0) // else the next start looks at them as at ones it does not know
        kp_tier_note(store, added, seal->outputs.n, NULL, 0);
    return rc;
}

// ---- joining ----

static int by_number(const void *pa, const void *pb)
{
    uint64_t a = ((const struct kp_segment_row *)pa)->number;
    uint64_t b = ((const struct kp_segment_row *)pb)->number;
    return (a > b) - (a < b);
}

// Deletes that came while the inputs were read: their tombstones are in the log already.
static void carry_deletes(struct kp_seal *seal, struct kp_seal_output *out)
{
    uint32_t n = out->sealed->segment->n_rows;
    bool any = false;
    for (size_t i = 0; i < seal->inputs.n; i++)
        any |= seal->inputs.items[i]->buried.n > 0;
    if (!any)
        return;
    for (uint32_t i = 0; i < n; i++)
        out->rows[i].index = i; // where it lies, through the sorting
    qsort(out->rows, n, sizeof *out->rows, by_number);
    for (size_t i = 0; i < seal->inputs.n; i++) {
        const struct kp_sealed *in = seal->inputs.items[i];
        for (size_t k = 0; k < in->buried.n; k++) {
            const struct kp_segment_row key = {.number = in->buried.items[k]};
            const struct kp_segment_row *row = bsearch(&key, out->rows, n, sizeof key, by_number);
            if (row == NULL)
                continue;
            (void)kp_sealed_kill(out->sealed, row->index);
            kp_sealed_bury(out->sealed, row->number);
        }
    }
}

static bool is_in_table(const struct kp_store *store, const struct kp_sealed *sealed)
{
    for (size_t i = 0; i < store->sealed.n; i++)
        if (store->sealed.items[i] == sealed)
            return true;
    return false;
}

static int publish_joined(struct kp_seal *seal)
{
    struct kp_store *store = seal->store;
    struct kp_sealed *young = seal->outputs.n > 0 ? seal->outputs.items[0].sealed : NULL;
    if (seal->inputs.is_damaged && seal->is_whole) {
        __atomic_store_n(&seal->inputs.items[0]->damaged, 0, __ATOMIC_RELAXED);
        return 0;
    }
    for (size_t i = 0; i < seal->inputs.n; i++)
        if (!is_in_table(store, seal->inputs.items[i])) { // dropped meanwhile: what was made holds too much
            if (young)
                *kp_array_add(&store->doomed) = kp_sealed_ref(young);
            return 0;
        }
    if (young)
        carry_deletes(seal, &seal->outputs.items[0]);
    pthread_rwlock_wrlock(&store->lock);
    size_t n_removed = seal->inputs.is_damaged ? 0 : seal->inputs.n;
    for (size_t i = 0; i < n_removed; i++)
        kp_tier_count_series(store, seal->inputs.items[i], false);
    if (young) {
        kp_tier_add(store, kp_sealed_ref(young));
        kp_tier_count_series(store, young, true);
    }
    for (size_t i = 0; i < n_removed; i++)
        kp_tier_remove(store, seal->inputs.items[i]);
    pthread_rwlock_unlock(&store->lock);
    kp_tier_note(store, &young, young ? 1 : 0, seal->inputs.items, n_removed);
    if (seal->inputs.is_damaged) {
        kp_auto_free char *why = kp_asprintf("%" PRIu32 " of its %" PRIu32 " profiles cannot be read; the "
                                             "others were written again",
            seal->n_lost, seal->inputs.items[0]->segment->n_rows);
        kp_tier_put_aside(store, seal->inputs.items[0], why);
    }
    return 0;
}

int kp_seal_publish(struct kp_seal *seal, struct kp_error *err)
{
    return seal->inputs.n > 0 ? publish_joined(seal) : publish_sealed(seal, err);
}
