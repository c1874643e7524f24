// Reading what was found: from the segment or the log, and what to do when it is damaged.
#include "base/alloc.h"
#include "store/hits.h"
#include "base/banned.h"

// The segment of a hit, if it is in the table still. Lock held.
static struct kp_sealed *sealed_of(const struct kp_store *store, const struct kp_hit *hit)
{
    for (size_t i = 0; hit->segment && i < store->sealed.n; i++)
        if (store->sealed.items[i]->segment == hit->segment)
            return store->sealed.items[i];
    return NULL;
}

static void quarantine(struct kp_store *store, const struct kp_hit *hit)
{
    struct kp_logfile *file;
    size_t at;
    pthread_rwlock_wrlock(&store->lock);
    struct kp_sealed *sealed = sealed_of(store, hit);
    if (hit->file && kp_store_locate(store, hit->row.number, &file, &at))
        kp_store_mark(store, file, at, KP_ROW_BAD);
    if (sealed) {
        kp_sealed_set_damaged(sealed);
        kp_store_mark_sealed(store, sealed, hit->at, hit->row.series, KP_ROW_BAD);
    }
    pthread_rwlock_unlock(&store->lock);
}

void kp_hit_set_damaged(struct kp_store *store, const struct kp_hit *hit)
{
    pthread_rwlock_rdlock(&store->lock);
    struct kp_sealed *sealed = sealed_of(store, hit);
    if (sealed)
        kp_sealed_set_damaged(sealed);
    pthread_rwlock_unlock(&store->lock);
}

// The bytes that the log still has of what a segment lost. Where they are not whole the segment is to blame.
static int read_log_copy(
    struct kp_store *store, const struct kp_hit *hit, struct kp_record *ret_record, struct kp_blob **ret_body)
{
    struct kp_logfile *file;
    struct kp_row row = {0};
    size_t at;
    pthread_rwlock_rdlock(&store->lock);
    if (kp_store_locate(store, hit->row.number, &file, &at) &&
        (file->rows.flags[at] & (KP_ROW_DEAD | KP_ROW_BAD)) == 0 &&
        file->rows.items[at].series == hit->row.series && file->rows.items[at].start_ms == hit->row.start_ms)
        row = file->rows.items[at];
    file = row.offset != 0 ? kp_logfile_ref(file) : NULL;
    pthread_rwlock_unlock(&store->lock);
    if (file == NULL)
        return KP_NOT_FOUND;
    int rc = kp_logfile_read(file, &row, ret_record, ret_body, NULL);
    kp_logfile_unref(file);
    return rc;
}

struct kp_id kp_hit_id(const struct kp_hit *hit)
{
    return (struct kp_id){
        .start_ms = hit->row.start_ms, .series = hit->row.series, .number = hit->row.number};
}

static int read_log(struct kp_store *store, const struct kp_hit *hit, struct kp_record *ret_record,
    struct kp_blob **ret_body, struct kp_error *err)
{
    pthread_rwlock_rdlock(&store->lock); // the writer may be swapping the rows for mapped ones
    struct kp_row row = hit->file->rows.items[hit->at];
    pthread_rwlock_unlock(&store->lock);
    return ret_body ? kp_logfile_read(hit->file, &row, ret_record, ret_body, err)
                    : kp_logfile_read_record(hit->file, &row, ret_record, err);
}

static int read_sealed(struct kp_record_reader *reader, const struct kp_hit *hit,
    struct kp_record *ret_record, struct kp_blob **ret_body, struct kp_error *err)
{
    int rc = ret_record ? kp_segment_read_record(reader, hit->segment, hit->at, ret_record, err) : 0;
    if (rc != 0 || ret_body == NULL)
        return rc;
    rc = kp_segment_read_body(hit->segment, &hit->row, ret_body, err);
    if (rc != 0 && ret_record)
        kp_record_finish(ret_record);
    return rc;
}

int kp_hit_read_other(
    struct kp_store *store, const struct kp_hit *hit, struct kp_blob **ret_body, struct kp_error *err)
{
    kp_hit_set_damaged(store, hit);
    if (((hit->row.flags & KP_SROW_ORIGINAL) != 0 &&
            kp_segment_read_body(hit->segment, &hit->row, ret_body, NULL) == 0) ||
        read_log_copy(store, hit, NULL, ret_body) == 0)
        return 0;
    return kp_fail(err, KP_CORRUPT, "no other copy of a damaged profile is left");
}

int kp_hit_read_next(struct kp_store *store, struct kp_record_reader *reader, const struct kp_hit *hit,
    struct kp_record *ret_record, struct kp_blob **ret_body, struct kp_error *err)
{
    if (ret_record == NULL && ret_body == NULL)
        return 0;
    struct kp_error why = {0};
    int rc = hit->file ? read_log(store, hit, ret_record, ret_body, &why)
                       : read_sealed(reader, hit, ret_record, ret_body, &why);
    if (rc == KP_CORRUPT && hit->segment && read_log_copy(store, hit, ret_record, ret_body) == 0) {
        kp_hit_set_damaged(store, hit);
        rc = 0;
    }
    if (rc == 0 && ret_record) {
        char text[KP_ID_TEXT];
        struct kp_id id = kp_hit_id(hit);
        kp_free(ret_record->id);
        ret_record->id = kp_strdup(kp_id_format(&store->id_form, text, &id));
    }
    if (rc == KP_CORRUPT)
        quarantine(store, hit);
    return rc == 0 ? 0 : kp_fail(err, rc, "%s", why.text);
}

int kp_hit_read(struct kp_store *store, const struct kp_hit *hit, struct kp_record *ret_record,
    struct kp_blob **ret_body, struct kp_error *err)
{
    struct kp_record_reader reader = {0};
    int rc = kp_hit_read_next(store, &reader, hit, ret_record, ret_body, err);
    kp_record_reader_finish(&reader);
    return rc;
}
