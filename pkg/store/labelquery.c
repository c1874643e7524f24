// kp_store_labels.
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/text.h"
#include "store/hits.h"
#include "store/select.h"
#include "base/banned.h"

#define MAX_PROFILES 1000000

struct text {
    uint64_t n_profiles;
    UT_hash_handle hh;
    char text[];
};

struct texts {
    const char *key;
    struct text *all;
};

static void add(struct texts *texts, const char *text, uint64_t n)
{
    struct text *t = NULL;
    HASH_FIND_STR(texts->all, text, t);
    if (t == NULL) {
        size_t len = strlen(text);
        t = kp_calloc(1, sizeof *t + len + 1);
        memcpy(t->text, text, len);
        HASH_ADD_KEYPTR(hh, texts->all, t->text, len, t);
    }
    t->n_profiles += n;
}

static void add_keys(struct texts *texts, const struct kp_series *s, uint64_t n)
{
    for (size_t i = 0; i < KP_SERIES_FIELDS; i++) {
        const char *name = kp_series_field_name((enum kp_series_field)i);
        if (name && s->fields[i][0])
            add(texts, name, n);
    }
    for (size_t i = 0; i < s->labels->n; i++) {
        const char *key = s->labels->items[i].key;
        bool shadowed = kp_streq(key, "version") && s->fields[KP_SERIES_VERSION][0];
        if (!kp_starts_with(key, "k8s.") && !shadowed)
            add(texts, key, n);
    }
}

static void add_series(struct texts *texts, const struct kp_series *s, uint64_t n)
{
    if (texts->key == NULL) {
        add_keys(texts, s, n);
        return;
    }
    const char *value = kp_series_lookup(s, texts->key);
    if (value)
        add(texts, value, n);
}

// Namespaces of which something is forgotten that still counts in the series.
struct namespaces {
    KP_ARRAY(char *) list;
};

static void find_unsettled(struct kp_store *store, const struct kp_store_query *query, struct namespaces *ret)
{
    struct kp_forgotten_note *note;
    struct kp_forgotten_note *next;
    HASH_ITER (hh, store->forgotten.notes, note, next)
        if (!note->applied && (query->namespace == NULL || kp_streq(query->namespace, note->namespace)))
            *kp_array_add(&ret->list) = kp_strdup(note->namespace);
}

static bool is_unsettled(const struct namespaces *unsettled, const struct kp_series *s)
{
    for (size_t i = 0; i < unsettled->list.n; i++)
        if (kp_streq(unsettled->list.items[i], s->fields[KP_SERIES_NAMESPACE]))
            return true;
    return false;
}

// Without a time the counts of the series do.
static int look_at_series(struct kp_store *store, const struct kp_store_query *query, struct texts *texts,
    struct namespaces *ret_unsettled, struct kp_error *err)
{
    struct kp_series_set chosen;
    int rc = kp_series_set_choose_locked(&chosen, store, query, err);
    if (rc != 0)
        return rc;
    find_unsettled(store, query, ret_unsettled);
    for (size_t i = 0; i < store->series.by_id.n; i++) {
        const struct kp_series *s = store->series.by_id.items[i];
        if (kp_series_set_has(&chosen, s->id) && !is_unsettled(ret_unsettled, s))
            add_series(texts, s, s->n_live);
    }
    pthread_rwlock_unlock(&store->lock);
    kp_series_set_finish(&chosen);
    return 0;
}

static int look_at_hits(
    struct kp_store *store, const struct kp_store_query *query, struct texts *texts, struct kp_error *err)
{
    struct kp_hits hits;
    int rc = kp_hits_find(store, query, MAX_PROFILES, &hits, err);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < hits.n;) {
        size_t first = i;
        uint32_t series = hits.items[i].row.series;
        while (i < hits.n && hits.items[i].row.series == series)
            i++;
        add_series(texts, kp_hits_series(&hits, series), i - first);
    }
    kp_hits_finish(&hits);
    return 0;
}

static int look_at_both(
    struct kp_store *store, const struct kp_store_query *query, struct texts *texts, struct kp_error *err)
{
    struct namespaces unsettled = {0};
    int rc = look_at_series(store, query, texts, &unsettled, err);
    for (size_t i = 0; i < unsettled.list.n; i++) {
        struct kp_store_query part = *query;
        part.namespace = unsettled.list.items[i];
        if (rc == 0)
            rc = look_at_hits(store, &part, texts, err);
        kp_free(unsettled.list.items[i]);
    }
    kp_array_free(&unsettled.list);
    return rc;
}

static int by_text(const struct text *a, const struct text *b)
{
    return strcmp(a->text, b->text);
}

int kp_store_labels(struct kp_store *store, const struct kp_store_query *query, const char *key,
    void (*each)(void *user, const char *text, uint64_t n_profiles), void *user, struct kp_error *err)
{
    struct texts texts = {.key = key};
    int rc = 0;
    if (query->from_ms == 0 && query->to_ms == 0)
        rc = look_at_both(store, query, &texts, err);
    else
        rc = look_at_hits(store, query, &texts, err);
    HASH_SORT(texts.all, by_text);
    struct text *t;
    struct text *next;
    HASH_ITER (hh, texts.all, t, next) {
        if (rc == 0)
            each(user, t->text, t->n_profiles);
        HASH_DEL(texts.all, t);
        kp_free(t);
    }
    return rc;
}
