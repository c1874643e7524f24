// What the tests of sealing share: pprof profiles by recipe, and pictures of all that a store shows. Tests
// only.
#ifndef KP_STORE_SEAL_TESTING_H
#define KP_STORE_SEAL_TESTING_H

#include "store/store_testing.h"

#include <unistd.h>

#include "base/array.h"
#include "base/hash.h"
#include "profile/digest.h"
#include "testkit/pprof.h"

#define HOUR INT64_C(3600000)
#define DAY  (24 * HOUR)

struct capture {
    const char *namespace, *service, *type, *format, *pod, *digest, *build, *key;
    int64_t start_ms, retention_ms;
    uint64_t seed;
    unsigned stacks;
};

static inline void make_capture(struct kp_append *a, const struct capture *c)
{
    *a = (struct kp_append){.record = KP_NEW(struct kp_record)};
    struct kp_record *r = a->record;
    r->namespace = kp_strdup(c->namespace);
    r->service = kp_strdup(c->service ? c->service : "svc");
    r->type = kp_strdup(c->type ? c->type : "cpu");
    r->format = kp_strdup(c->format ? c->format : "pprof");
    r->pod = kp_strdup(c->pod);
    r->container = kp_strdup(c->pod ? "main" : NULL);
    r->pod_uid = c->pod ? kp_asprintf("uid-%s", c->pod) : NULL;
    r->image_digest = kp_strdup(c->digest);
    r->start_ms = c->start_ms ? c->start_ms : clock_ms;
    r->end_ms = r->start_ms + 10000;
    r->retention_ms = c->retention_ms;
    r->labels = kp_labels_create((struct kp_label[]){{"team", c->pod ? c->pod : "none"}}, 1);
    if (c->key)
        r->key = kp_asprintf("%016llx%016llx", (unsigned long long)kp_hash64_str(c->key, 1),
            (unsigned long long)kp_hash64_str(c->key, 2));
    size_t len;
    uint8_t *body = kp_pprof_make(&(struct kp_pprof_recipe){.stacks = c->stacks ? c->stacks : 5,
                                      .value = 1 + r->start_ms % 1000,
                                      .time_nanos = r->start_ms * 1000000,
                                      .build_id = c->build,
                                      .seed = c->seed,
                                      .gzip = r->start_ms % 2 == 0},
        &len);
    a->body = kp_blob_take(body, len);
}

static inline void release_capture(struct kp_append *a)
{
    kp_record_finish(a->record);
    kp_free(a->record);
    kp_blob_unref(a->body);
}

// Stores one; its id, to be freed.
static inline char *put_capture(struct kp_store *store, struct capture c)
{
    struct kp_append a;
    make_capture(&a, &c);
    kp_store_append(store, &a, 1);
    if (a.status == KP_APPEND_FAILED)
        fail_msg("%s", a.error.text);
    char *id = kp_strdup(a.record->id);
    release_capture(&a);
    return id;
}

// Of two pods, every fourth a trace, a second apart. ids: NULL, or room for as many; free them.
static inline void fill_mixed(struct kp_store *store, int n, char **ids)
{
    for (int i = 0; i < n; i++) {
        char *id = put_capture(store, (struct capture){.namespace = "shop",
                                          .pod = i % 2 ? "p0" : "p1",
                                          .type = i % 4 ? "cpu" : "trace",
                                          .format = i % 4 ? "pprof" : "trace",
                                          .start_ms = clock_ms + i * 1000});
        if (ids)
            ids[i] = id;
        else
            kp_free(id);
    }
}

static inline void free_ids(char **ids, int n)
{
    for (int i = 0; i < n; i++)
        kp_free(ids[i]);
}

static inline struct kp_digest digest_of(const struct kp_blob *body)
{
    struct kp_profile *profile = NULL;
    struct kp_digest d = {kp_hash64(body->data, body->len, 1), kp_hash64(body->data, body->len, 2)};
    if (kp_profile_decode(body->data, body->len, NULL, &profile, NULL) == 0)
        d = kp_profile_digest(profile);
    kp_profile_free(profile);
    return d;
}

// ---- all that a store shows ----

struct shown {
    char id[32];
    uint64_t record;
    struct kp_digest body;
};

struct picture {
    KP_ARRAY(struct shown) items;
};

static inline uint64_t hash_record(const struct kp_record *record)
{
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, 1 << 20);
    kp_record_encode(record, &buf);
    return kp_hash64(buf.data, buf.len, 0);
}

static inline bool on_shown(void *user, const struct kp_record *record)
{
    struct picture *p = user;
    struct shown *s = kp_array_add(&p->items);
    *s = (struct shown){.record = hash_record(record)};
    kp_copy(s->id, sizeof s->id, record->id);
    return true;
}

static inline void take_picture(struct kp_store *store, struct kp_store_query q, struct picture *p)
{
    char *cursor = NULL;
    struct kp_error err = {0};
    *p = (struct picture){0};
    q.limit = q.limit ? q.limit : 10000;
    do {
        char *next = NULL;
        q.cursor = cursor;
        if (kp_store_list(store, &q, on_shown, p, &next, &err) != 0)
            fail_msg("%s", err.text);
        kp_free(cursor);
        cursor = next;
    } while (cursor);
    for (size_t i = 0; i < p->items.n; i++) {
        struct kp_blob *body;
        struct kp_record record;
        if (kp_store_get(store, p->items.items[i].id, &record, &body, &err) != 0)
            fail_msg("%s", err.text);
        assert_true(hash_record(&record) == p->items.items[i].record);
        p->items.items[i].body = digest_of(body);
        kp_record_finish(&record);
        kp_blob_unref(body);
    }
}

static inline void same_pictures(const struct picture *a, const struct picture *b)
{
    assert_int_equal(a->items.n, b->items.n);
    for (size_t i = 0; i < a->items.n; i++) {
        const struct shown *x = &a->items.items[i];
        const struct shown *y = &b->items.items[i];
        assert_string_equal(x->id, y->id);
        if (x->record != y->record || !kp_digest_equal(x->body, y->body))
            fail_msg("%s changed: record %d, body %d", x->id, x->record != y->record,
                !kp_digest_equal(x->body, y->body));
    }
}

// Oldest first, newest first, in pages.
struct pictures {
    struct picture oldest, newest, pages;
};

static inline void take_pictures(struct kp_store *store, struct pictures *p)
{
    take_picture(store, (struct kp_store_query){0}, &p->oldest);
    take_picture(store, (struct kp_store_query){.newest_first = true}, &p->newest);
    take_picture(store, (struct kp_store_query){.limit = 7, .newest_first = true}, &p->pages);
}

static inline void free_pictures(struct pictures *p)
{
    kp_array_free(&p->oldest.items);
    kp_array_free(&p->newest.items);
    kp_array_free(&p->pages.items);
}

static inline void check_pictures(struct kp_store *store, const struct pictures *before)
{
    struct pictures now;
    take_pictures(store, &now);
    same_pictures(&before->oldest, &now.oldest);
    same_pictures(&before->newest, &now.newest);
    same_pictures(&before->pages, &now.pages);
    free_pictures(&now);
}

// ---- work ----

static inline size_t seal_all(struct kp_store *store, bool now)
{
    struct kp_error err = {0};
    for (size_t n = 0;; n++) {
        struct kp_seal *seal;
        assert_true(n < 1000);
        if (kp_store_seal_begin(store, now, &seal, &err) != 0)
            fail_msg("%s", err.text);
        if (seal == NULL)
            return n;
        if (kp_seal_run(seal, NULL, &err) != 0)
            fail_msg("%s", err.text);
        if (kp_seal_end(seal, &err) != 0)
            fail_msg("%s", err.text);
    }
}

static inline void retain_all(struct kp_store *store)
{
    struct kp_error err = {0};
    bool more = true;
    for (int i = 0; more; i++) {
        assert_true(i < 1000);
        if (kp_store_retain(store, &more, &err) != 0)
            fail_msg("%s", err.text);
    }
}

static inline struct kp_store_stats stats_of(struct kp_store *store)
{
    struct kp_store_stats stats;
    kp_store_get_stats(store, &stats);
    return stats;
}

static inline void remove_index(const char *dir)
{
    static const char *const names[] = {"index.db", "index.db-wal", "index.db-shm"};
    for (size_t i = 0; i < KP_COUNT(names); i++) {
        kp_auto_free char *path = kp_asprintf("%s/%s", dir, names[i]);
        unlink(path);
    }
}

static inline void remove_sidecars(const char *dir)
{
    for (int i = 1; i < 200; i++) {
        kp_auto_free char *path = kp_asprintf("%s/log/%08d.idx", dir, i);
        unlink(path);
    }
}

// How what is left of the last run is made worse.
static inline void lose(const char *dir, int what)
{
    if (what & 1)
        remove_index(dir);
    if (what & 2)
        remove_sidecars(dir);
}

static inline void on_wrong(void *user, const char *file, const char *what)
{
    assert_true(file[0] && what[0]);
    (*(int *)user)++;
}

// How many things verify finds wrong.
static inline int wrong_in(struct kp_store *store)
{
    int n = 0;
    struct kp_error err = {0};
    if (kp_store_verify(store, on_wrong, &n, &err) != 0)
        fail_msg("%s", err.text);
    return n;
}

#endif
