// What the tests of merges share: profiles written as lines, and an oracle that sums decoded profiles by the
// names of their frames. Tests only.
#ifndef KP_STORE_MERGEQUERY_TESTING_H
#define KP_STORE_MERGEQUERY_TESTING_H

#include "base/array.h"
#include "base/map.h"
#include "base/strbuf.h"
#include "profile/digest.h"
#include "profile/merge.h"
#include "profile/profile.h"
#include "store/store_testing.h"

#define MAX_TEST_TYPES 4

// "cpu" samples/count cpu/nanoseconds; "heap" alloc_objects ... inuse_space; "goroutine"; else "NAME/count"
static const char *const heap_types[] = {
    "alloc_objects/count", "alloc_space/bytes", "inuse_objects/count", "inuse_space/bytes"};
static const char *const cpu_types[] = {"samples/count", "cpu/nanoseconds"};
static const char *const goroutine_types[] = {"goroutine/count"};
static const char *const odd_types[] = {"widgets/count"};

static inline const char *const *types_of(const char *type, uint32_t *n)
{
    if (strcmp(type, "heap") == 0)
        return *n = 4, heap_types;
    if (strcmp(type, "cpu") == 0)
        return *n = 2, cpu_types;
    return *n = 1, strcmp(type, "goroutine") == 0 ? goroutine_types : odd_types;
}

struct line_sample {
    const char *stack; // "main;work;leaf": the root first; "name:7" at line 7; labels behind a blank "k=v"
    int64_t values[MAX_TEST_TYPES];
};

struct capture {
    const char *namespace, *pod, *container_id, *digest, *team, *type;
    const char *build; // build id of the binary
    uint64_t shift;    // moves addresses and first lines
    int64_t start_ms, started_ms, duration_ms;
    uint32_t k, n;
    bool no_times; // the profile itself has neither time nor duration
    struct line_sample samples[12];
};

// ---- writing ----

struct test_builder {
    struct kp_symbols *symbols;
    struct kp_merger *merger;
};

static inline uint32_t test_string(struct kp_symbols *s, const char *text, size_t len)
{
    return kp_symbols_string(s, text, (uint32_t)len);
}

static inline uint32_t test_frame(
    const struct capture *c, struct kp_symbols *s, uint32_t mapping, const char *text, size_t len)
{
    const char *colon = memchr(text, ':', len);
    size_t n = colon ? (size_t)(colon - text) : len;
    int64_t line = colon ? strtol(colon + 1, NULL, 10) : 5;
    uint32_t name = test_string(s, text, n);
    int64_t start = 100 + (int64_t)(c->shift * 10);
    const struct kp_function f = {name, name, test_string(s, "/src/main.go", 12), start};
    const struct kp_line l = {kp_symbols_function(s, &f), start + line, 0};
    uint64_t address = 0x1000 + c->shift * 64 + (kp_hash64(text, len, 5) & 0xffff) * 16;
    const struct kp_sym_location location = {.address = address, .mapping = mapping, .n_lines = 1};
    return kp_symbols_location(s, &location, &l);
}

static inline uint32_t test_stack(
    const struct capture *c, struct kp_symbols *s, uint32_t mapping, const char *text, size_t len)
{
    uint32_t node = 0;
    for (size_t at = 0; at < len;) {
        const char *end = memchr(text + at, ';', len - at);
        size_t n = end ? (size_t)(end - text) - at : len - at;
        node = kp_symbols_node(s, node, test_frame(c, s, mapping, text + at, n));
        at += n + 1;
    }
    return node;
}

static inline uint32_t test_labels(struct kp_symbols *s, const char *text)
{
    const char *equals = text ? strchr(text, '=') : NULL;
    if (equals == NULL)
        return 0;
    struct kp_sample_label label = {.key = test_string(s, text, (size_t)(equals - text)),
        .str = test_string(s, equals + 1, strlen(equals + 1))};
    return kp_symbols_label_set(s, &label, 1);
}

static inline uint32_t test_own_string(struct kp_profile *p, const char *text)
{
    p->strings[p->n_strings] = (struct kp_str){text, (uint32_t)strlen(text)};
    return p->n_strings++;
}

// Only the header.
static inline struct kp_profile *header_of(const struct capture *c)
{
    uint32_t n;
    const char *const *types = types_of(c->type, &n);
    struct kp_profile *p = kp_profile_new();
    p->strings = KP_ARENA_ARRAY(&p->arena, struct kp_str, 16);
    p->n_strings = 0;
    test_own_string(p, "");
    p->sample_types = KP_ARENA_ARRAY(&p->arena, struct kp_value_type, n);
    for (uint32_t t = 0; t < n; t++) {
        const char *slash = strchr(types[t], '/');
        p->sample_types[t].unit = test_own_string(p, slash + 1);
        p->sample_types[t].type = test_own_string(p, types[t]);
        p->strings[p->sample_types[t].type].len = (uint32_t)(slash - types[t]);
    }
    p->n_sample_types = n;
    p->period_type = p->sample_types[n - 1];
    p->has_period_type = true;
    p->period = 10000000;
    if (!c->no_times) {
        p->time_ns = c->start_ms * 1000000;
        p->duration_ns = c->duration_ms * 1000000;
    }
    return p;
}

static inline struct kp_blob *test_body(const struct capture *c)
{
    struct kp_merger *merger = kp_merger_create();
    struct kp_symbols *s = kp_merger_symbols(merger);
    struct kp_profile *header = header_of(c);
    const struct kp_merge_header h = {header, header->time_ns, header->duration_ns};
    assert_int_equal(kp_merger_add_header(merger, &h, NULL), 0);
    const char *build = c->build ? c->build : "build-1";
    const struct kp_sym_mapping m = {.size = 0x400000,
        .filename = test_string(s, "/app/main", 9),
        .build_id = test_string(s, build, strlen(build)),
        .flags = KP_MAPPING_FUNCTIONS,
        .start = 0x400000};
    uint32_t mapping = kp_symbols_mapping(s, &m);
    for (size_t i = 0; i < KP_COUNT(c->samples) && c->samples[i].stack; i++) {
        const char *labels = strchr(c->samples[i].stack, ' ');
        size_t len = labels ? (size_t)(labels - c->samples[i].stack) : strlen(c->samples[i].stack);
        double values[MAX_TEST_TYPES];
        for (uint32_t t = 0; t < MAX_TEST_TYPES; t++)
            values[t] = (double)c->samples[i].values[t];
        kp_merger_add_row(merger, test_stack(c, s, mapping, c->samples[i].stack, len),
            test_labels(s, labels ? labels + 1 : NULL), values);
    }
    struct kp_profile *p = kp_merger_profile(merger);
    struct kp_strbuf buf;
    kp_strbuf_init(&buf, 16 << 20);
    kp_profile_encode(p, 1, &buf);
    size_t len;
    char *bytes = kp_strbuf_take(&buf, &len);
    kp_profile_free(p);
    kp_profile_free(header);
    kp_merger_destroy(merger);
    return kp_blob_take((uint8_t *)bytes, len);
}

// Stores one; its id, to be freed.
static inline char *put_capture(struct kp_store *store, struct capture c)
{
    struct kp_append a = {.record = KP_NEW(struct kp_record)};
    struct kp_record *r = a.record;
    r->namespace = kp_strdup(c.namespace ? c.namespace : "shop");
    r->service = kp_strdup("checkout");
    r->type = kp_strdup(c.type);
    r->format = kp_strdup("pprof");
    r->pod = kp_strdup(c.pod);
    r->pod_uid = c.pod ? kp_asprintf("uid-%s", c.pod) : NULL;
    r->container = kp_strdup(c.pod ? "app" : NULL);
    r->container_id = kp_strdup(c.container_id);
    r->container_started_ms = c.started_ms;
    r->image_digest = kp_strdup(c.digest);
    r->start_ms = c.start_ms;
    r->duration_ms = c.duration_ms;
    r->sample_k = c.k;
    r->sample_n = c.n;
    if (c.team)
        r->labels = kp_labels_create((struct kp_label[]){{"team", c.team}}, 1);
    a.body = test_body(&c);
    kp_store_append(store, &a, 1);
    if (a.status == KP_APPEND_FAILED)
        fail_msg("%s", a.error.text);
    char *id = kp_strdup(a.record->id);
    release(&a);
    return id;
}

static inline void keep_capture(struct kp_store *store, struct capture c)
{
    kp_free(put_capture(store, c));
}

// ---- reading ----

// Every sample as a line "root;leaf k=v": v v", sorted; equal stacks of names are one.
static inline int test_by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static inline void test_sample_name(const struct kp_profile *p, uint32_t at, struct kp_strbuf *out)
{
    const struct kp_sample *s = &p->samples[at];
    for (uint32_t i = s->n_frames; i-- > 0;) {
        const struct kp_location *l = &p->locations[p->frames[s->first_frame + i]];
        for (uint32_t k = l->n_lines; k-- > 0;) {
            struct kp_str name = p->strings[p->functions[p->lines[l->first_line + k].function].name];
            kp_strbuf_addf(out, "%s%.*s", out->len > 0 ? ";" : "", (int)name.len, name.data);
        }
    }
    for (uint32_t i = 0; i < s->n_labels; i++) {
        const struct kp_sample_label *l = &p->labels[s->first_label + i];
        kp_strbuf_addf(out, " %.*s=%.*s", (int)p->strings[l->key].len, p->strings[l->key].data,
            (int)p->strings[l->str].len, p->strings[l->str].data);
    }
}

struct named {
    char *name;
    double values[MAX_TEST_TYPES];
    UT_hash_handle hh;
};

static inline double *named_at(struct named **all, const char *name)
{
    struct named *n = NULL;
    HASH_FIND_STR(*all, name, n);
    if (n == NULL) {
        n = KP_NEW(struct named);
        n->name = kp_strdup(name);
        HASH_ADD_KEYPTR(hh, *all, n->name, strlen(n->name), n);
    }
    return n->values;
}

static inline int by_named(const struct named *a, const struct named *b)
{
    return strcmp(a->name, b->name);
}

static inline void named_free(struct named *all)
{
    struct named *n;
    struct named *next;
    HASH_ITER (hh, all, n, next) {
        HASH_DEL(all, n);
        kp_free(n->name);
        kp_free(n);
    }
}

static inline void named_add(struct named **all, const struct kp_profile *p)
{
    for (uint32_t i = 0; i < p->n_samples; i++) {
        struct kp_strbuf name;
        kp_strbuf_init(&name, 4096);
        test_sample_name(p, i, &name);
        double *values = named_at(all, name.data);
        for (uint32_t t = 0; t < p->n_sample_types; t++)
            values[t] += (double)p->values[(size_t)i * p->n_sample_types + t];
        kp_strbuf_finish(&name);
    }
}

// "stack: 1 2\n...", without what is nothing but zeroes. Free it; takes the set.
static inline char *named_text(struct named *all, uint32_t n_types)
{
    struct kp_strbuf out;
    kp_strbuf_init(&out, 1 << 20);
    HASH_SORT(all, by_named);
    for (struct named *n = all; n; n = n->hh.next) {
        bool any = false;
        for (uint32_t t = 0; t < n_types; t++)
            any = any || (int64_t)(n->values[t] + 0.5) != 0;
        if (!any)
            continue;
        kp_strbuf_addf(&out, "%s:", n->name);
        for (uint32_t t = 0; t < n_types; t++)
            kp_strbuf_addf(&out, " %lld", (long long)(n->values[t] + (n->values[t] < 0 ? -0.5 : 0.5)));
        kp_strbuf_addc(&out, '\n');
    }
    named_free(all);
    return kp_strbuf_take(&out, NULL);
}

static inline char *profile_text(const struct kp_profile *p)
{
    struct named *all = NULL;
    named_add(&all, p);
    return named_text(all, p->n_sample_types);
}

// The answer as text; fails the test if there is none.
static inline char *merge_text(
    struct kp_store *store, struct kp_merge_query query, struct kp_merge_stats *stats)
{
    struct kp_profile *p = NULL;
    struct kp_error err = {0};
    if (kp_store_merge(store, &query, &p, stats, &err) != 0)
        fail_msg("%s", err.text);
    char *text = profile_text(p);
    kp_profile_free(p);
    return text;
}

#define assert_merge(store, query, expected)                                                                 \
    do {                                                                                                     \
        char *text_ = merge_text(store, query, NULL);                                                        \
        assert_string_equal(text_, expected);                                                                \
        kp_free(text_);                                                                                      \
    } while (0)

// ---- a new store for each test ----

#define MINUTE INT64_C(60000)

struct fixture {
    char *dir;
    struct kp_store *store;
};

static inline int setup_store(void **state)
{
    struct fixture *f = KP_NEW(struct fixture);
    clock_ms = T0;
    f->dir = kp_test_tmpdir();
    f->store = open_store(f->dir, (struct kp_store_options){0});
    *state = f;
    return 0;
}

static inline int teardown_store(void **state)
{
    struct fixture *f = *state;
    kp_store_close(f->store);
    kp_test_rmdir(f->dir);
    kp_free(f);
    return 0;
}

#endif
