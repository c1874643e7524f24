// What the store's tests share: a clock, made-up profiles, look-ups. Tests only.
#ifndef KP_STORE_STORE_TESTING_H
#define KP_STORE_STORE_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/text.h"
#include "store/io.h"
#include "store/store.h"
#include "testkit/testkit.h"

#define T0 INT64_C(1764000000000)

static int64_t clock_ms = T0;

static inline int64_t test_now(void)
{
    return clock_ms;
}

static inline struct kp_store *open_store(const char *dir, struct kp_store_options options)
{

    struct kp_store *store = NULL;
    struct kp_error err = {0};
    options.dir = dir;
    if (options.now_ms == NULL)
        options.now_ms = test_now;
    if (kp_store_open(&options, &store, &err) != 0)
        fail_msg("%s", err.text);
    return store;
}

struct what {
    const char *namespace, *service, *type, *pod, *team, *key;
    int64_t start_ms, retention_ms;
    size_t size;
};

static inline void make(struct kp_append *a, struct what w)
{
    *a = (struct kp_append){.record = KP_NEW(struct kp_record)};
    struct kp_record *r = a->record;
    r->namespace = kp_strdup(w.namespace);
    r->service = kp_strdup(w.service ? w.service : "svc");
    r->type = kp_strdup(w.type ? w.type : "cpu");
    r->format = kp_strdup("pprof");
    r->pod = kp_strdup(w.pod);
    r->workload_kind = kp_strdup(w.pod ? "Deployment" : NULL);
    r->workload_name = kp_strdup(w.pod ? "checkout" : NULL);
    r->start_ms = w.start_ms ? w.start_ms : clock_ms;
    r->retention_ms = w.retention_ms;
    if (w.key)
        r->key = kp_asprintf("%032x", (unsigned)strlen(w.key) + (unsigned)(uint8_t)w.key[0] * 256U);
    if (w.team)
        r->labels = kp_labels_create((struct kp_label[]){{"team", w.team}}, 1);
    size_t size = w.size ? w.size : 1000;
    uint8_t *body = kp_alloc(size);
    for (size_t i = 0; i < size; i++)
        body[i] = (uint8_t)(i * 7 + (size_t)r->start_ms);
    a->body = kp_blob_take(body, size);
}

static inline void release(struct kp_append *a)
{
    kp_record_finish(a->record);
    kp_free(a->record);
    kp_blob_unref(a->body);
}

// Stores one; its id, to be freed.
static inline char *put(struct kp_store *store, struct what w)
{
    struct kp_append a;
    make(&a, w);
    kp_store_append(store, &a, 1);
    if (a.status == KP_APPEND_FAILED)
        fail_msg("%s", a.error.text);
    char *id = kp_strdup(a.record->id);
    release(&a);
    return id;
}

static inline bool is_here(struct kp_store *store, const char *id)
{
    struct kp_error err = {0};
    struct kp_blob *body = NULL;
    struct kp_record record;
    int rc = kp_store_get(store, id, &record, &body, &err);
    if (rc != 0) {
        assert_int_equal(rc, KP_NOT_FOUND);
        return false;
    }
    assert_string_equal(record.id, id);
    assert_int_equal(record.size_bytes, body->len);
    for (size_t i = 0; i < body->len; i++)
        assert_int_equal(body->data[i], (uint8_t)(i * 7 + (size_t)record.start_ms));
    kp_record_finish(&record);
    kp_blob_unref(body);
    return true;
}

// Flips a bit of a file; at < 0: counted from the end.
static inline void flip_bit(const char *path, off_t at)
{
    uint8_t byte = 0;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    if (at < 0)
        at += lseek(fd, 0, SEEK_END);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

struct listing {
    char ids[4000][32];
    size_t n;
};

static inline bool on_record(void *user, const struct kp_record *record)
{
    struct listing *l = user;
    assert_true(l->n < KP_COUNT(l->ids));
    kp_copy(l->ids[l->n++], sizeof l->ids[0], record->id);
    return true;
}

static inline size_t count(struct kp_store *store, struct kp_store_query q, struct listing *l)
{
    char *cursor = NULL;
    struct kp_error err = {0};
    static struct listing scratch;
    l = l ? l : &scratch;
    l->n = 0;
    if (q.limit == 0)
        q.limit = 10000;
    if (kp_store_list(store, &q, on_record, l, &cursor, &err) != 0)
        fail_msg("%s", err.text);
    assert_null(cursor);
    return l->n;
}

#endif
