// Reading beside the writer: rows under the lock, files without it.
#include <string.h>

#include "base/alloc.h"
#include "store/hits.h"
#include "base/banned.h"

#define DEFAULT_LIMIT 1000
#define MAX_LIMIT     10000

int kp_store_get(struct kp_store *store, const char *id, struct kp_record *ret_record,
    struct kp_blob **ret_body, struct kp_error *err)
{
    struct kp_hits hits;
    int rc = kp_hits_of_ids(store, &id, 1, &hits, err);
    if (rc != 0)
        return rc;
    rc = kp_hit_read(store, &hits.items[0], ret_record, ret_body, err);
    kp_hits_finish(&hits);
    return rc;
}

// Hands out at most limit records; the cursor is the last one looked at when more follow.
static int hand_out(struct kp_store *store, const struct kp_hits *hits, size_t limit,
    bool (*each)(void *user, const struct kp_record *record), void *user, char **ret_cursor,
    struct kp_error *err)
{
    for (size_t i = 0; i < hits->n && i < limit; i++) {
        struct kp_record record;
        struct kp_error why = {0};
        int rc = kp_hit_read(store, &hits->items[i], &record, NULL, &why);
        if (rc == KP_CORRUPT)
            continue;
        if (rc != 0)
            return kp_fail(err, rc, "%s", why.text);
        bool more = each(user, &record);
        kp_record_finish(&record);
        if (!more)
            limit = i + 1;
    }
    if (hits->n > limit && limit > 0) {
        char text[KP_ID_TEXT];
        *ret_cursor = kp_strdup(kp_hit_id(text, &hits->items[limit - 1]));
    }
    return 0;
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
    if (has_cursor && !kp_id_parse(query->cursor, &after))
        return kp_fail(err, KP_INVALID, "the cursor is not one of ours; leave it out to start again");
    int rc = kp_hits_page(store, query, has_cursor ? &after : NULL, limit + 1, &hits, err);
    if (rc != 0)
        return rc;
    rc = hand_out(store, &hits, limit, each, user, ret_cursor, err);
    kp_hits_finish(&hits);
    return rc;
}
