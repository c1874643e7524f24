// What the tests of segments share: storage in memory, and segments made of generated profiles. Tests only.
#ifndef KP_STORE_SEGMENT_FIXTURE_H
#define KP_STORE_SEGMENT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/limits.h"
#include "profile/digest.h"
#include "store/keys.h"
#include "store/row.h"
#include "store/segment.h"
#include "testkit/profile_gen.h"

#define MADE_T0 INT64_C(1764000000000)

// One file, whatever its name.
struct memory_file {
    const uint8_t *data;
    size_t len;
    bool fails; // every get is an I/O error
};

static inline int memory_get(
    void *self, const char *name, uint64_t offset, size_t len, void *out, struct kp_error *err)
{
    const struct memory_file *file = self;
    if (file->fails)
        return kp_fail(err, KP_INTERNAL, "cannot read '%s': injected", name);
    if (offset > file->len || len > file->len - offset)
        return kp_fail(err, KP_CORRUPT, "'%s' is shorter than expected", name);
    if (len > 0)
        memcpy(out, file->data + offset, len);
    return 0;
}

static inline struct kp_storage memory_storage(struct memory_file *file)
{
    static const struct kp_storage_ops ops = {.get = memory_get};
    return (struct kp_storage){&ops, file};
}

// One capture to be sealed, and what has to come back.
struct given {
    struct kp_record record;
    struct kp_segment_row row;
    uint64_t space, rollup;
    uint8_t *body;
    size_t len;
    struct kp_digest digest; // zeroes: no profile
};

struct givens {
    KP_ARRAY(struct given) list;
};

static inline struct given *give(struct givens *g, const char *type, unsigned pod, int64_t start_ms,
    uint64_t space, uint8_t *body, size_t len)
{
    struct given *x = kp_array_add(&g->list);
    *x = (struct given){.space = space, .rollup = 77, .body = body, .len = len};
    kp_record_init(&x->record);
    x->record.namespace = kp_strdup("shop");
    x->record.service = kp_strdup("checkout");
    x->record.type = kp_strdup(type);
    x->record.format = kp_strdup("pprof");
    x->record.pod = kp_asprintf("checkout-%u", pod);
    x->record.start_ms = start_ms;
    x->record.key = kp_asprintf("%016llx%016zx", 0x1234567887654321ULL, g->list.n);
    x->row = (struct kp_segment_row){.start_ms = start_ms,
        .received_ms = start_ms + 10100,
        .number = g->list.n,
        .series = pod * 8 + (uint32_t)type[0] % 8 + 1,
        .life = pod + 1,
        .duration_ms = 10000,
        .weight = 1.5F};
    assert_true(kp_key_parse(x->record.key, x->row.key));
    struct kp_profile *p;
    if (kp_profile_decode(body, len, NULL, &p, NULL) == 0) {
        x->digest = kp_profile_digest(p);
        kp_profile_free(p);
    }
    return x;
}

// Captures of one program: kinds 0 .. n_kinds, each of every pod and round.
static inline void give_program(struct givens *g, const struct kp_gen_program *program, uint64_t space,
    unsigned n_kinds, unsigned pods, unsigned rounds)
{
    struct kp_gen *gen = kp_gen_create(program);
    for (unsigned kind = 0; kind < n_kinds; kind++)
        for (unsigned pod = 0; pod < pods; pod++)
            for (unsigned round = 0; round < rounds; round++) {
                size_t len;
                uint8_t *body = kp_gen_bytes(gen, (enum kp_gen_kind)kind, pod, round, 1, &len);
                (void)give(g, kp_gen_kind_name((enum kp_gen_kind)kind), pod, MADE_T0 + round * INT64_C(60000),
                    space, body, len);
            }
    kp_gen_destroy(gen);
}

static inline void givens_finish(struct givens *g)
{
    for (size_t i = 0; i < g->list.n; i++) {
        kp_record_finish(&g->list.items[i].record);
        kp_free(g->list.items[i].body);
    }
    kp_array_free(&g->list);
}

static inline void add_given(struct kp_segment_builder *b, const struct given *x)
{
    struct kp_error err = {0};
    struct kp_strbuf record;
    kp_strbuf_init(&record, KP_MAX_RECORD_BYTES);
    kp_record_encode(&x->record, &record);
    const struct kp_segment_input input = {.row = x->row,
        .type = x->record.type,
        .record = record.data,
        .record_len = record.len,
        .body = x->body,
        .body_len = x->len,
        .space = {x->space, 1},
        .rollup = {x->rollup, x->rollup},
        .order = x->row.number};
    if (kp_segment_builder_add(b, &input, &x->record, &err) != 0)
        fail_msg("%s", err.text);
    kp_strbuf_finish(&record);
}

// The bytes of a finished segment, and the segment opened on them.
struct made {
    struct kp_blob *blob;
    struct kp_segment_row *rows;
    uint32_t n_rows;
    struct memory_file file;
    struct kp_storage storage;
    struct kp_segment *segment;
};

static inline void finish_made(struct kp_segment_builder *b, struct made *m)
{
    struct kp_error err = {0};
    if (kp_segment_builder_finish(b, &m->blob, &m->rows, &m->n_rows, &err) != 0)
        fail_msg("%s", err.text);
    kp_segment_builder_destroy(b);
    m->file = (struct memory_file){m->blob->data, m->blob->len, false};
    m->storage = memory_storage(&m->file);
    if (kp_segment_open(&m->storage, "made", &m->segment, &err) != 0)
        fail_msg("%s", err.text);
}

static inline struct kp_segment_builder *new_builder(enum kp_keep_original keep)
{
    const struct kp_segment_options options = {
        .namespace = "shop", .keep_s = KP_KEEP_DEFAULT, .keep_original = keep};
    return kp_segment_builder_create(&options);
}

static inline void make_segment(const struct givens *g, enum kp_keep_original keep, struct made *m)
{
    struct kp_segment_builder *b = new_builder(keep);
    for (size_t i = 0; i < g->list.n; i++)
        add_given(b, &g->list.items[i]);
    finish_made(b, m);
}

static inline void made_finish(struct made *m)
{
    kp_segment_unref(m->segment);
    kp_blob_unref(m->blob);
    kp_free(m->rows);
}

static inline void no_complaint(void *user, const char *file, const char *what)
{
    (void)user;
    (void)file;
    fail_msg("%s", what);
}

// Every row has its profile, its record and its fields.
static inline void check_made(const struct made *m, const struct givens *g)
{
    struct kp_error err = {0};
    struct kp_record_reader reader = {0};
    struct kp_segment_row *rows = KP_NEW_ARRAY(struct kp_segment_row, m->n_rows + 1);
    assert_int_equal(m->segment->n_rows, m->n_rows);
    if (kp_segment_read_rows(m->segment, 0, m->n_rows, rows, &err) != 0)
        fail_msg("%s", err.text);
    assert_memory_equal(rows, m->rows, m->n_rows * sizeof *rows);
    for (uint32_t i = 0; i < m->n_rows; i++) {
        const struct given *x = &g->list.items[rows[i].number - 1];
        struct kp_blob *body;
        struct kp_profile *p = NULL;
        assert_int_equal(rows[i].series, x->row.series);
        assert_int_equal(rows[i].start_ms, x->row.start_ms);
        assert_memory_equal(rows[i].key, x->row.key, sizeof rows[i].key);
        assert_int_equal(rows[i].body_len, x->len);
        if (kp_segment_read_body(m->segment, &rows[i], &body, &err) != 0)
            fail_msg("%s", err.text);
        if ((rows[i].flags & (KP_SROW_ORIGINAL | KP_SROW_OPAQUE)) != 0) {
            assert_int_equal(body->len, x->len);
            assert_memory_equal(body->data, x->body, x->len);
        } else {
            if (kp_profile_decode(body->data, body->len, NULL, &p, &err) != 0)
                fail_msg("%s", err.text);
            if (!kp_digest_equal(kp_profile_digest(p), x->digest))
                fail_msg("row %u: %s differs", i, x->record.type);
            kp_profile_free(p);
        }
        kp_blob_unref(body);
        struct kp_record record;
        if (kp_segment_read_record(&reader, m->segment, i, &record, &err) != 0)
            fail_msg("%s", err.text);
        assert_int_equal(record.received_ms, x->row.received_ms);
        assert_int_equal(record.size_bytes, x->len);
        record.received_ms = 0;
        record.size_bytes = 0;
        assert_true(kp_record_equal(&record, &x->record));
        kp_record_finish(&record);
    }
    kp_record_reader_finish(&reader);
    kp_free(rows);
    assert_int_equal(kp_segment_verify(m->segment, no_complaint, NULL, &err), 0);
}

#endif
