// Reading beside the writer: rows under the lock, files without it.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "store/hits.h"
#include "base/banned.h"

#define DEFAULT_LIMIT 1000
#define MAX_LIMIT     10000

int kp_store_get_in(struct kp_store *store, const char *namespace, const char *id,
    struct kp_record *ret_record, struct kp_blob **ret_body, struct kp_error *err)
{
    struct kp_hits hits;
    int rc = kp_hits_of_ids(store, namespace, &id, 1, &hits, err);
    if (rc != 0)
        return rc;
    rc = kp_hit_read(store, &hits.items[0], ret_record, ret_body, err);
    kp_hits_finish(&hits);
    return rc;
}

int kp_store_get(struct kp_store *store, const char *id, struct kp_record *ret_record,
    struct kp_blob **ret_body, struct kp_error *err)
{
    return kp_store_get_in(store, NULL, id, ret_record, ret_body, err);
}

// ---- lists ----

#define CHUNK 1024

// Some hits in their order, read in the order in which they lie.
struct chunk {
    const struct kp_hit *hits;
    size_t n;
    struct kp_record records[CHUNK];
    bool here[CHUNK];
    uint16_t order[CHUNK];
};

static int by_place(const void *pa, const void *pb, void *user)
{
    const struct kp_hit *a = &((const struct chunk *)user)->hits[*(const uint16_t *)pa];
    const struct kp_hit *b = &((const struct chunk *)user)->hits[*(const uint16_t *)pb];
    if (a->segment != b->segment)
        return (uintptr_t)a->segment < (uintptr_t)b->segment ? -1 : 1;
    return (a->at > b->at) - (a->at < b->at);
}

// A profile that turns out to be damaged is left out.
static int read_chunk(struct kp_store *store, struct chunk *chunk, struct kp_error *err)
{
    struct kp_record_reader reader = {0};
    int rc = 0;
    for (size_t i = 0; i < chunk->n; i++)
        chunk->order[i] = (uint16_t)i;
    qsort_r(chunk->order, chunk->n, sizeof chunk->order[0], by_place, chunk);
    for (size_t i = 0; rc == 0 && i < chunk->n; i++) {
        size_t at = chunk->order[i];
        struct kp_error why = {0};
        rc = kp_hit_read_next(store, &reader, &chunk->hits[at], &chunk->records[at], NULL, &why);
        chunk->here[at] = rc == 0;
        if (rc == KP_CORRUPT)
            rc = 0;
        if (rc != 0)
            kp_fail(err, rc, "%s", why.text);
    }
    kp_record_reader_finish(&reader);
    return rc;
}

// False when the receiver has enough: *ret_n of the chunk were handed out.
static bool give_chunk(
    struct chunk *chunk, bool (*each)(void *user, const struct kp_record *record), void *user, size_t *ret_n)
{
    bool more = true;
    for (*ret_n = 0; more && *ret_n < chunk->n; (*ret_n)++)
        if (chunk->here[*ret_n])
            more = each(user, &chunk->records[*ret_n]);
    return more;
}

// Hands out at most limit records; the cursor is the last one looked at when more follow.
static int hand_out(struct kp_store *store, const struct kp_hits *hits, size_t limit,
    bool (*each)(void *user, const struct kp_record *record), void *user, char **ret_cursor,
    struct kp_error *err)
{
    kp_auto_free struct chunk *chunk = KP_NEW(struct chunk);
    size_t end = hits->n < limit ? hits->n : limit;
    size_t done = 0;
    int rc = 0;
    for (bool more = true; rc == 0 && more && done < end;) {
        size_t n = 0;
        memset(chunk->here, 0, sizeof chunk->here);
        chunk->hits = hits->items + done;
        chunk->n = end - done < CHUNK ? end - done : CHUNK;
        rc = read_chunk(store, chunk, err);
        if (rc == 0)
            more = give_chunk(chunk, each, user, &n);
        for (size_t i = 0; i < chunk->n; i++)
            if (chunk->here[i])
                kp_record_finish(&chunk->records[i]);
        done += n;
    }
    if (rc == 0 && done < hits->n && done > 0) {
        char text[KP_CURSOR_TEXT];
        struct kp_id last = kp_hit_id(&hits->items[done - 1]);
        *ret_cursor = kp_strdup(kp_cursor_format(&store->id_form, text, &last));
    }
    return rc;
}

int kp_store_list(struct kp_store *store, const struct kp_store_query *query,
    bool (*each)(void *user, const struct kp_record *record), void *user, char **ret_cursor,
    struct kp_error *err)
{
    size_t limit = query->limit == 0 ? DEFAULT_LIMIT : query->limit > MAX_LIMIT ? MAX_LIMIT : query->limit;
    struct kp_id after;
    bool has_cursor = query->cursor && query->cursor[0];
    struct kp_hits hits;
    *ret_cursor = NULL;
    if (has_cursor && !kp_cursor_parse(&store->id_form, query->cursor, &after))
        return kp_fail(err, KP_INVALID, "the cursor is not one of ours; leave it out to start again");
    int rc = kp_hits_page(store, query, has_cursor ? &after : NULL, limit + 1, &hits, err);
    if (rc != 0)
        return rc;
    rc = hand_out(store, &hits, limit, each, user, ret_cursor, err);
    kp_hits_finish(&hits);
    return rc;
}
