// What the tests of sink share: a loop, a receiver in memory, outcomes as they come.
#ifndef KP_SINK_SINK_FIXTURE_H
#define KP_SINK_SINK_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "sink/memory.h"
#include "sink/sink.h"
#include "testkit/testkit.h"

struct outcome_seen {
    char *key, *message;
    enum kp_outcome outcome;
};

struct bench {
    struct kp_loop *loop;
    struct kp_sink_memory *memory;
    struct kp_sink *sink;
    KP_ARRAY(struct outcome_seen) outcomes;
    bool flushed;
};

static int64_t fixture_now_offset;

static inline int64_t fixture_now(void)
{
    return kp_now_ms() + fixture_now_offset;
}

static inline void fixture_outcome(
    void *user, const struct kp_record *record, enum kp_outcome outcome, const char *message)
{
    struct bench *bench = user;
    *kp_array_add(&bench->outcomes) =
        (struct outcome_seen){kp_strdup(record->key), kp_strdup(message), outcome};
}

static inline void fixture_open(struct bench *bench, struct kp_sink_options options)
{
    struct kp_error err = {0};
    if (options.ops == NULL) {
        bench->memory = kp_sink_memory_create(bench->loop);
        options.ops = &kp_sink_memory_ops;
        options.self = bench->memory;
    }
    options.now_ms = fixture_now;
    if (kp_sink_create(bench->loop, &options, fixture_outcome, bench, &bench->sink, &err) != 0)
        fail_msg("%s", err.text);
}

static inline struct bench *fixture_start(struct kp_sink_options options)
{
    struct bench *bench = KP_NEW(struct bench);
    fixture_now_offset = 0;
    bench->loop = kp_loop_create();
    fixture_open(bench, options);
    return bench;
}

static inline void fixture_close(struct bench *bench)
{
    kp_sink_destroy(bench->sink);
    bench->sink = NULL;
    if (bench->memory != NULL)
        kp_sink_memory_destroy(bench->memory);
    bench->memory = NULL;
}

static inline void fixture_end(struct bench *bench)
{
    fixture_close(bench);
    kp_loop_destroy(bench->loop);
    for (size_t i = 0; i < bench->outcomes.n; i++) {
        kp_free(bench->outcomes.items[i].key);
        kp_free(bench->outcomes.items[i].message);
    }
    kp_array_free(&bench->outcomes);
    kp_free(bench);
}

// Puts capture "kN" of policies shop/a and /all with size bytes made of N. pod NULL = of a series of its own.
static inline void fixture_put_of(
    struct bench *bench, const char *namespace, const char *pod, unsigned n, size_t size)
{
    struct kp_record record;
    kp_record_init(&record);
    record.namespace = kp_strdup(namespace);
    record.service = kp_strdup("checkout");
    record.type = kp_strdup("cpu");
    record.pod_uid = kp_strdup(pod);
    record.format = kp_strdup("pprof");
    record.policies = kp_strdup("shop/a,/all");
    record.key = kp_asprintf("k%u", n);
    char *bytes = kp_alloc(size);
    memset(bytes, (int)n, size);
    struct kp_blob *body = kp_blob_take(bytes, size);
    kp_sink_put(bench->sink, &record, body);
    kp_blob_unref(body);
    kp_record_finish(&record);
}

static inline void fixture_put_in(struct bench *bench, const char *namespace, unsigned n, size_t size)
{
    fixture_put_of(bench, namespace, NULL, n, size);
}

static inline void fixture_put(struct bench *bench, unsigned n, size_t size)
{
    fixture_put_in(bench, "shop", n, size);
}

// Runs the loop until check(bench, want) holds; fails the test after ten seconds.
static inline void fixture_until(
    struct bench *bench, bool (*check)(const struct bench *bench, size_t want), size_t want)
{
    int64_t end = kp_mono_ms() + 10000;
    const bool never = false;
    while (!check(bench, want)) {
        if (kp_mono_ms() > end)
            fail_msg("waited too long for %zu", want);
        kp_loop_run_until(bench->loop, &never, 10);
    }
}

static inline bool outcomes_are(const struct bench *bench, size_t want)
{
    return bench->outcomes.n >= want;
}

static inline bool open_are(const struct bench *bench, size_t want)
{
    return kp_sink_memory_open(bench->memory) == want;
}

static inline bool sent_are(const struct bench *bench, size_t want)
{
    return kp_sink_memory_count(bench->memory) >= want;
}

static inline void fixture_run(struct bench *bench, int64_t ms)
{
    const bool never = false;
    kp_loop_run_until(bench->loop, &never, ms);
}

static inline void fixture_put_state(struct bench *bench, const struct kp_state_batch *batch)
{
    struct kp_strbuf text;
    size_t len;
    kp_strbuf_init(&text, KP_STATE_MAX_BYTES);
    kp_state_batch_encode(batch, &text);
    char *data = kp_strbuf_take(&text, &len);
    struct kp_blob *blob = kp_blob_take(data, len);
    kp_sink_put_state(bench->sink, batch->namespace, blob);
    kp_blob_unref(blob);
}

#endif
