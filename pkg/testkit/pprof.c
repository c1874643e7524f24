#include "testkit/pprof.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_BYTES  (256u << 20)
#define MAX_STORED 65535 // bytes of one stored block of deflate

// ---- protobuf ----

static void add_varint(struct kp_strbuf *out, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        kp_strbuf_addc(out, (char)(v | 0x80));
    kp_strbuf_addc(out, (char)v);
}

static void add_number(struct kp_strbuf *out, unsigned field, uint64_t v)
{
    if (v == 0)
        return;
    add_varint(out, field << 3);
    add_varint(out, v);
}

static void add_bytes(struct kp_strbuf *out, unsigned field, const void *data, size_t len)
{
    add_varint(out, field << 3 | 2);
    add_varint(out, len);
    kp_strbuf_add(out, data, len);
}

// Puts the message behind out and empties it.
static void add_message(struct kp_strbuf *out, unsigned field, struct kp_strbuf *message)
{
    add_bytes(out, field, message->data, message->len);
    kp_strbuf_clear(message);
}

// ---- a profile ----

struct maker {
    const struct kp_pprof_recipe *recipe;
    struct kp_strbuf out, message, part;
    KP_ARRAY(char *) strings;
    const char *const *types;
    size_t n_types;
};

static uint64_t string(struct maker *m, const char *s, size_t n)
{
    for (size_t i = 0; i < m->strings.n; i++)
        if (strlen(m->strings.items[i]) == n && memcmp(m->strings.items[i], s, n) == 0)
            return i;
    *kp_array_add(&m->strings) = kp_strndup(s, n);
    return m->strings.n - 1;
}

static uint64_t word(struct maker *m, const char *s)
{
    return string(m, s, strlen(s));
}

static void add_type(struct maker *m, unsigned field, const char *text)
{
    size_t n = strcspn(text, "/");
    add_number(&m->message, 1, string(m, text, n));
    add_number(&m->message, 2, word(m, text[n] == '/' ? text + n + 1 : ""));
    add_message(&m->out, field, &m->message);
}

// Locations are numbered from 1: the leaf of each stack first, then the frames that all share.
static void add_sample(struct maker *m, unsigned i)
{
    const struct kp_pprof_recipe *r = m->recipe;
    unsigned depth = r->depth != 0 ? r->depth : 4;
    add_varint(&m->part, i + 1);
    for (unsigned k = 1; k < depth; k++)
        add_varint(&m->part, r->stacks + k);
    add_message(&m->message, 1, &m->part);
    for (size_t k = 0; k < m->n_types; k++)
        add_varint(&m->part, (uint64_t)((r->value != 0 ? r->value : 1) * (int64_t)(k + 1)));
    add_message(&m->message, 2, &m->part);
    for (const char *const *label = r->labels; label != NULL && *label != NULL; label += 2) {
        add_number(&m->part, 1, word(m, label[0]));
        add_number(&m->part, 2, word(m, label[1]));
        add_message(&m->message, 3, &m->part);
    }
    add_message(&m->out, 2, &m->message);
}

static void add_mapping(struct maker *m)
{
    const struct kp_pprof_recipe *r = m->recipe;
    add_number(&m->message, 1, 1);
    add_number(&m->message, 2, 0x400000);
    add_number(&m->message, 3, 0x40000000);
    add_number(&m->message, 5, word(m, r->binary != NULL ? r->binary : "/app/main"));
    add_number(&m->message, 6, word(m, r->build_id != NULL ? r->build_id : "build"));
    add_number(&m->message, 7, 1); // has functions
    add_message(&m->out, 3, &m->message);
}

static void add_location(struct maker *m, unsigned id)
{
    add_number(&m->message, 1, id);
    add_number(&m->message, 2, 1);
    add_number(&m->message, 3, 0x401000 + m->recipe->seed % 4096 * 16 + id * 64ull);
    add_number(&m->part, 1, id);
    add_number(&m->part, 2, 10 + id);
    add_message(&m->message, 4, &m->part);
    add_message(&m->out, 4, &m->message);
}

static void add_function(struct maker *m, unsigned id, const char *name)
{
    uint64_t text = word(m, name);
    add_number(&m->message, 1, id);
    add_number(&m->message, 2, text);
    add_number(&m->message, 3, text);
    add_number(&m->message, 4, word(m, "/src/main.go"));
    add_message(&m->out, 5, &m->message);
}

static void add_code(struct maker *m)
{
    unsigned shared = m->recipe->depth != 0 ? m->recipe->depth - 1 : 3;
    unsigned n = m->recipe->stacks > 0 ? m->recipe->stacks + shared : 0;
    char name[40];
    for (unsigned id = 1; id <= n; id++)
        add_location(m, id);
    for (unsigned id = 1; id <= n; id++) {
        bool leaf = id <= m->recipe->stacks;
        snprintf(
            name, sizeof name, "main.%s%u", leaf ? "leaf" : "f", leaf ? id - 1 : id - m->recipe->stacks - 1);
        add_function(m, id, name);
    }
}

static void add_all(struct maker *m)
{
    const struct kp_pprof_recipe *r = m->recipe;
    word(m, ""); // the first string has to be empty
    for (size_t i = 0; i < m->n_types; i++)
        add_type(m, 1, m->types[i]);
    for (unsigned i = 0; i < r->stacks; i++)
        add_sample(m, i);
    add_mapping(m);
    add_code(m);
    add_number(&m->out, 9, (uint64_t)r->time_nanos);
    add_number(&m->out, 10, (uint64_t)r->duration_nanos);
    add_type(m, 11, r->period_type != NULL ? r->period_type : m->types[m->n_types - 1]);
    add_number(&m->out, 12, (uint64_t)(r->period != 0 ? r->period : 10000000));
    for (size_t i = 0; i < m->strings.n; i++)
        add_bytes(&m->out, 6, m->strings.items[i], strlen(m->strings.items[i]));
}

uint8_t *kp_pprof_make(const struct kp_pprof_recipe *recipe, size_t *ret_len)
{
    static const char *const cpu[] = {"samples/count", "cpu/nanoseconds", NULL};
    struct maker m = {.recipe = recipe, .types = recipe->sample_types != NULL ? recipe->sample_types : cpu};
    while (m.types[m.n_types] != NULL)
        m.n_types++;
    kp_strbuf_init(&m.out, MAX_BYTES);
    kp_strbuf_init(&m.message, MAX_BYTES);
    kp_strbuf_init(&m.part, MAX_BYTES);
    add_all(&m);
    uint8_t *bytes = (uint8_t *)kp_strbuf_take(&m.out, ret_len);
    kp_strbuf_finish(&m.out);
    kp_strbuf_finish(&m.message);
    kp_strbuf_finish(&m.part);
    for (size_t i = 0; i < m.strings.n; i++)
        kp_free(m.strings.items[i]);
    kp_array_free(&m.strings);
    if (!recipe->gzip)
        return bytes;
    uint8_t *wrapped = kp_test_gzip(bytes, *ret_len, ret_len);
    kp_free(bytes);
    return wrapped;
}

// ---- gzip (RFC 1952 around stored blocks of RFC 1951) ----

static uint32_t crc32(const uint8_t *p, size_t n)
{
    uint32_t c = UINT32_MAX;
    for (; n > 0; n--, p++) {
        c ^= *p;
        for (int k = 0; k < 8; k++)
            c = (c & 1) != 0 ? c >> 1 ^ 0xEDB88320u : c >> 1;
    }
    return ~c;
}

static void add_little(struct kp_strbuf *out, uint32_t v, int bytes)
{
    for (; bytes > 0; bytes--, v >>= 8)
        kp_strbuf_addc(out, (char)(v & 0xff));
}

uint8_t *kp_test_gzip(const void *data, size_t len, size_t *ret_len)
{
    kp_auto_strbuf out;
    kp_strbuf_init(&out, MAX_BYTES + (MAX_BYTES >> 8) + 64);
    kp_strbuf_add(&out, "\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
    size_t done = 0;
    do {
        size_t n = len - done < MAX_STORED ? len - done : MAX_STORED;
        kp_strbuf_addc(&out, done + n == len ? 1 : 0); // the last one
        add_little(&out, (uint32_t)n, 2);
        add_little(&out, (uint32_t)~n, 2);
        kp_strbuf_add(&out, (const uint8_t *)data + done, n);
        done += n;
    } while (done < len);
    add_little(&out, crc32(data, len), 4);
    add_little(&out, (uint32_t)len, 4);
    return (uint8_t *)kp_strbuf_take(&out, ret_len);
}
