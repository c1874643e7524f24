// Puts profiles into a store once: what is there already, from whatever source, is known by its origin and
// its time. (Not by its bytes: what was sealed is given out in other bytes than it came in.)
#include <stdio.h>
#include <string.h>

#include "api/admit.h"
#include "base/alloc.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/text.h"
#include "controller/registry_tools.h"
#include "profile/check.h"
#include "profile/profile.h"
#include "base/banned.h"

#define BATCH       64
#define BATCH_BYTES ((size_t)32 * KP_MIB)
#define PAGE        10000

struct kp_intake {
    struct kp_store *store;
    uint64_t *known; // open addressing; 0 = free
    size_t n_known, cap;
    struct kp_record records[BATCH];
    struct kp_blob *bodies[BATCH];
    size_t n, bytes;
    struct kp_intake_counts counts;
    const char *namespace_label, *namespace_fallback;
};

// ---- what is there ----

static uint64_t identity(const struct kp_record *r, uint64_t size)
{
    bool same_bytes = !kp_streq(r->format, "pprof"); // always
    const char *const texts[] = {r->namespace, r->service, r->type, r->pod_uid, r->container};
    uint64_t h = kp_hash64_mix(same_bytes ? size : 0, (uint64_t)r->start_ms);
    for (size_t i = 0; i < KP_COUNT(texts); i++)
        h = kp_hash64_str(texts[i] ? texts[i] : "", kp_hash64_mix(h, i));
    for (size_t i = 0; r->labels && i < r->labels->n; i++) {
        h = kp_hash64_str(r->labels->items[i].key, h);
        h = kp_hash64_str(r->labels->items[i].value, h);
    }
    return h != 0 ? h : 1;
}

static bool put(uint64_t *slots, size_t cap, uint64_t hash)
{
    size_t at = hash & (cap - 1);
    while (slots[at] != 0 && slots[at] != hash)
        at = (at + 1) & (cap - 1);
    bool is_new = slots[at] == 0;
    slots[at] = hash;
    return is_new;
}

// False if it was known.
static bool learn(struct kp_intake *in, uint64_t hash)
{
    if (2 * (in->n_known + 1) > in->cap) {
        size_t cap = in->cap ? 2 * in->cap : 4096;
        uint64_t *slots = KP_NEW_ARRAY(uint64_t, cap);
        for (size_t i = 0; i < in->cap; i++)
            if (in->known[i] != 0)
                put(slots, cap, in->known[i]);
        kp_free(in->known);
        in->known = slots;
        in->cap = cap;
    }
    bool is_new = put(in->known, in->cap, hash);
    in->n_known += is_new;
    return is_new;
}

static bool on_known(void *user, const struct kp_record *record)
{
    learn(user, identity(record, record->size_bytes));
    return true;
}

int kp_intake_create(struct kp_store *store, struct kp_intake **ret, struct kp_error *err)
{
    struct kp_intake *in = KP_NEW(struct kp_intake);
    kp_auto_free char *cursor = NULL;
    in->store = store;
    do {
        kp_auto_free char *next = NULL;
        const struct kp_store_query query = {.limit = PAGE, .cursor = cursor};
        if (kp_store_list(store, &query, on_known, in, &next, err) != 0) {
            kp_intake_destroy(in);
            return err->code;
        }
        kp_free(cursor);
        cursor = kp_take(next);
    } while (cursor);
    *ret = in;
    return 0;
}

static void forget_batch(struct kp_intake *in)
{
    for (size_t i = 0; i < in->n; i++) {
        kp_record_finish(&in->records[i]);
        kp_blob_unref(in->bodies[i]);
    }
    in->n = in->bytes = 0;
}

void kp_intake_destroy(struct kp_intake *in)
{
    if (in == NULL)
        return;
    forget_batch(in);
    kp_free(in->known);
    kp_free(in);
}

struct kp_intake_counts kp_intake_counts(const struct kp_intake *in)
{
    return in->counts;
}

// ---- what comes ----

// Whether it can be kept; fills in the times a profile has of its own.
static int check(struct kp_record *r, int64_t fallback_ms, const void *data, size_t len, struct kp_error *err)
{
    struct kp_profile *p;
    int rc = 0;
    if (kp_streq(r->format, "pprof") || kp_streq(r->format, "text")) {
        rc = kp_profile_decode(data, len, NULL, &p, err);
        if (rc != 0)
            return rc;
        if (r->start_ms == 0 && p->time_ns >= 1000000)
            r->start_ms = p->time_ns / 1000000;
        if (r->end_ms == 0 && p->duration_ns > 0 && r->start_ms != 0)
            r->end_ms = r->start_ms + p->duration_ns / 1000000;
        if (p->n_samples == 0)
            rc = kp_fail(err, KP_INVALID, "the profile has no samples");
        kp_profile_free(p);
    }
    if (r->start_ms == 0)
        r->start_ms = fallback_ms;
    return rc == 0 ? kp_record_check(r, err) : rc;
}

void kp_intake_set_namespaces(struct kp_intake *in, const char *label, const char *fallback)
{
    in->namespace_label = label;
    in->namespace_fallback = fallback;
}

static void find_namespace(const struct kp_intake *in, struct kp_record *r)
{
    const char *named = in->namespace_label != NULL ? kp_labels_get(r->labels, in->namespace_label) : NULL;
    if (r->namespace != NULL && r->namespace[0] != '\0')
        return;
    if (named == NULL || !kp_api_is_namespace(named))
        named = in->namespace_fallback;
    if (named != NULL) {
        kp_free(r->namespace);
        r->namespace = kp_strdup(named);
    }
}

int kp_intake_flush(struct kp_intake *in, struct kp_error *err)
{
    struct kp_append appends[BATCH] = {0};
    for (size_t i = 0; i < in->n; i++)
        appends[i] = (struct kp_append){.record = &in->records[i], .body = in->bodies[i]};
    if (in->n > 0)
        kp_store_append(in->store, appends, in->n);
    int rc = 0;
    for (size_t i = 0; i < in->n; i++) {
        in->counts.stored += appends[i].status == KP_APPEND_STORED;
        in->counts.known += appends[i].status == KP_APPEND_KNOWN;
        in->counts.gone += appends[i].status == KP_APPEND_GONE;
        if (appends[i].status == KP_APPEND_FAILED && rc == 0)
            rc = kp_fail(err, appends[i].error.code, "%s", appends[i].error.text);
    }
    forget_batch(in);
    return rc;
}

int kp_intake_add(
    struct kp_intake *in, struct kp_record *record, const void *data, size_t len, struct kp_error *err)
{
    return kp_intake_add_at(in, record, kp_now_ms(), data, len, err);
}

int kp_intake_add_at(struct kp_intake *in, struct kp_record *record, int64_t fallback_ms, const void *data,
    size_t len, struct kp_error *err)
{
    struct kp_error why = {0};
    find_namespace(in, record);
    if (check(record, fallback_ms, data, len, &why) != 0) {
        fprintf(stderr, "left out a %s profile of '%s': %s\n", record->type ? record->type : "?",
            record->service ? record->service : "?", why.text);
        in->counts.refused++;
        kp_record_finish(record);
        return 0;
    }
    if (!learn(in, identity(record, len))) {
        in->counts.known++;
        kp_record_finish(record);
        return 0;
    }
    in->records[in->n] = *record;
    in->bodies[in->n++] = kp_blob_copy(data, len);
    in->bytes += len;
    return in->n == BATCH || in->bytes >= BATCH_BYTES ? kp_intake_flush(in, err) : 0;
}
