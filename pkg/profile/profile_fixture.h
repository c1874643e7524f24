// For the tests of profile: files of the test data, profiles written field by field, and what is equal.
#ifndef KP_PROFILE_PROFILE_FIXTURE_H
#define KP_PROFILE_PROFILE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/alloc.h"
#include "base/strbuf.h"
#include "profile/profile.h"
#include "profile/symbols.h"
#include "testkit/testkit.h"

static const char *const fixture_corpus[] = {"etcd-allocs", "etcd-block", "etcd-cpu", "etcd-goroutine",
    "etcd-heap", "etcd-mutex", "etcd-threadcreate", "prom-cpu", "prom-goroutine", "prom-heap", "prom-mutex",
    "prom-threadcreate"};

static inline char *fixture_file(const char *name, size_t *ret_len)
{
    kp_auto_free char *path = kp_asprintf("%s/%s", KP_TESTDATA, name);
    return kp_test_read_file(path, ret_len);
}

static inline struct kp_profile *fixture_decode_bytes(const char *what, const void *data, size_t len)
{
    struct kp_profile *p = NULL;
    struct kp_error err = {0};
    if (kp_profile_decode(data, len, NULL, &p, &err) != 0)
        fail_msg("%s: %s", what, err.text);
    return p;
}

static inline struct kp_profile *fixture_decode(const char *name)
{
    size_t len;
    kp_auto_free char *data = fixture_file(name, &len);
    return fixture_decode_bytes(name, data, len);
}

static inline struct kp_profile *fixture_decode_corpus(const char *name)
{
    kp_auto_free char *file = kp_asprintf("corpus/%s.pb.gz", name);
    return fixture_decode(file);
}

static inline uint8_t *fixture_encode(const struct kp_profile *p, int level, size_t *ret_len)
{
    kp_auto_strbuf out;
    kp_strbuf_init(&out, (size_t)256 << 20);
    kp_profile_encode(p, level, &out);
    assert_false(out.overflow);
    return (uint8_t *)kp_strbuf_take(&out, ret_len);
}

// ---- profiles written field by field ----

static inline void fixture_varint(struct kp_strbuf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        kp_strbuf_addc(b, (char)(v | 0x80));
    kp_strbuf_addc(b, (char)v);
}

static inline void fixture_number(struct kp_strbuf *b, unsigned field, uint64_t v)
{
    fixture_varint(b, (uint64_t)field << 3);
    fixture_varint(b, v);
}

static inline void fixture_bytes(struct kp_strbuf *b, unsigned field, const void *data, size_t len)
{
    fixture_varint(b, (uint64_t)field << 3 | 2);
    fixture_varint(b, len);
    kp_strbuf_add(b, data, len);
}

// A message of numbers: field, value, field, value ... ended by field 0.
static inline void fixture_message(struct kp_strbuf *b, unsigned field, const uint64_t *pairs)
{
    kp_auto_strbuf m;
    kp_strbuf_init(&m, 1 << 20);
    for (; pairs[0]; pairs += 2)
        fixture_number(&m, (unsigned)pairs[0], pairs[1]);
    fixture_bytes(b, field, m.data, m.len);
}
#define MESSAGE(b, field, ...) fixture_message((b), (field), (uint64_t[]){__VA_ARGS__, 0})

static inline void fixture_location(struct kp_strbuf *b, uint64_t id, uint64_t function)
{
    kp_auto_strbuf m;
    kp_strbuf_init(&m, 1 << 20);
    MESSAGE(&m, 4, 1, function, 2, 10);
    fixture_number(&m, 1, id); // the id behind the lines
    fixture_bytes(b, 4, m.data, m.len);
}

// One sample, location `loc`, function `fn`; strings "", "samples", "count".
static inline void fixture_minimal(struct kp_strbuf *b, uint64_t loc, uint64_t fn)
{
    kp_strbuf_init(b, 1 << 20);
    MESSAGE(b, 1, 1, 1, 2, 2);
    MESSAGE(b, 2, 1, loc, 2, 7);
    fixture_location(b, loc, fn);
    MESSAGE(b, 5, 1, fn, 2, 1);
    fixture_bytes(b, 6, "", 0);
    fixture_bytes(b, 6, "samples", 7);
    fixture_bytes(b, 6, "count", 5);
}

// ---- equality, field by field ----

#define FIXTURE_SAME(what, field)                                                                            \
    do {                                                                                                     \
        if (a->field != b->field)                                                                            \
            fail_msg(                                                                                        \
                "%s: " #field " differs: %lld, %lld", (what), (long long)a->field, (long long)b->field);     \
    } while (0)

#define FIXTURE_SAME_ARRAY(what, array, n)                                                                   \
    do {                                                                                                     \
        if ((n) > 0 && memcmp(a->array, b->array, (n) * sizeof *a->array) != 0)                              \
            fail_msg("%s: " #array " differ", (what));                                                       \
    } while (0)

static inline void fixture_same_counts(
    const char *what, const struct kp_profile *a, const struct kp_profile *b)
{
    FIXTURE_SAME(what, n_strings);
    FIXTURE_SAME(what, n_sample_types);
    FIXTURE_SAME(what, n_samples);
    FIXTURE_SAME(what, n_frames);
    FIXTURE_SAME(what, n_labels);
    FIXTURE_SAME(what, n_mappings);
    FIXTURE_SAME(what, n_locations);
    FIXTURE_SAME(what, n_lines);
    FIXTURE_SAME(what, n_functions);
    FIXTURE_SAME(what, n_comments);
    FIXTURE_SAME(what, time_ns);
    FIXTURE_SAME(what, duration_ns);
    FIXTURE_SAME(what, period);
    FIXTURE_SAME(what, period_type.type);
    FIXTURE_SAME(what, period_type.unit);
    FIXTURE_SAME(what, has_period_type);
    FIXTURE_SAME(what, drop_frames);
    FIXTURE_SAME(what, keep_frames);
    FIXTURE_SAME(what, default_type);
    FIXTURE_SAME(what, doc_url);
}

static inline void fixture_same_code(const char *what, const struct kp_profile *a, const struct kp_profile *b)
{
    for (uint32_t i = 0; i < a->n_mappings; i++) {
        FIXTURE_SAME(what, mappings[i].start);
        FIXTURE_SAME(what, mappings[i].limit);
        FIXTURE_SAME(what, mappings[i].offset);
        FIXTURE_SAME(what, mappings[i].filename);
        FIXTURE_SAME(what, mappings[i].build_id);
        FIXTURE_SAME(what, mappings[i].flags);
    }
    for (uint32_t i = 0; i < a->n_lines; i++) {
        FIXTURE_SAME(what, lines[i].function);
        FIXTURE_SAME(what, lines[i].line);
        FIXTURE_SAME(what, lines[i].column);
    }
    for (uint32_t i = 0; i < a->n_functions; i++) {
        FIXTURE_SAME(what, functions[i].name);
        FIXTURE_SAME(what, functions[i].system_name);
        FIXTURE_SAME(what, functions[i].filename);
        FIXTURE_SAME(what, functions[i].start_line);
    }
    for (uint32_t i = 0; i < a->n_locations; i++) {
        FIXTURE_SAME(what, locations[i].address);
        FIXTURE_SAME(what, locations[i].mapping);
        FIXTURE_SAME(what, locations[i].first_line);
        FIXTURE_SAME(what, locations[i].n_lines);
        FIXTURE_SAME(what, locations[i].folded);
    }
}

// The same tables in the same order. Places of frames, labels and lines count as well: decoding lays them out
// one behind the other.
static inline void fixture_same(const char *what, const struct kp_profile *a, const struct kp_profile *b)
{
    fixture_same_counts(what, a, b);
    FIXTURE_SAME_ARRAY(what, sample_types, a->n_sample_types);
    FIXTURE_SAME_ARRAY(what, samples, a->n_samples);
    FIXTURE_SAME_ARRAY(what, values, (size_t)a->n_samples * a->n_sample_types);
    FIXTURE_SAME_ARRAY(what, frames, a->n_frames);
    FIXTURE_SAME_ARRAY(what, comments, a->n_comments);
    for (uint32_t i = 0; i < a->n_strings; i++) {
        FIXTURE_SAME(what, strings[i].len);
        FIXTURE_SAME_ARRAY(what, strings[i].data, a->strings[i].len);
    }
    for (uint32_t i = 0; i < a->n_labels; i++) {
        FIXTURE_SAME(what, labels[i].key);
        FIXTURE_SAME(what, labels[i].str);
        FIXTURE_SAME(what, labels[i].unit);
        FIXTURE_SAME(what, labels[i].num);
    }
    fixture_same_code(what, a, b);
}

// ---- symbol spaces ----

// Interns all samples; ids go to stacks and sets.
static inline void fixture_intern(
    struct kp_symbols *s, const struct kp_profile *p, uint32_t *stacks, uint32_t *sets)
{
    struct kp_symbols_map *map = kp_symbols_map_profile(s, p);
    for (uint32_t i = 0; i < p->n_samples; i++) {
        stacks[i] = kp_symbols_map_stack(map, i);
        sets[i] = kp_symbols_map_labels(map, i);
    }
    for (uint32_t i = 0; i < p->n_mappings; i++)
        (void)kp_symbols_map_mapping(map, i);
    kp_symbols_map_destroy(map);
}

#endif
