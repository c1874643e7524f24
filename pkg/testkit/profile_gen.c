#include "testkit/profile_gen.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/array.h"
#include "testkit/profile_gen_private.h"
#include "base/banned.h"

#define MAX_BYTES   ((size_t)1 << 30)
#define FIRST_BASE  UINT64_C(0x400000)
#define SITE_BYTES  64
#define SAMPLE_RATE 524288 // of the heap profile

static const struct {
    const char *name;
    const char *types[5];
    const char *period_type;
    int64_t period;
} kinds[KP_GEN_KINDS] = {
    [KP_GEN_CPU] = {"cpu", {"samples/count", "cpu/nanoseconds"}, "cpu/nanoseconds", 10000000},
    [KP_GEN_HEAP] = {"heap",
        {"alloc_objects/count", "alloc_space/bytes", "inuse_objects/count", "inuse_space/bytes"},
        "space/bytes", SAMPLE_RATE},
    [KP_GEN_GOROUTINE] = {"goroutine", {"goroutine/count"}, "goroutine/count", 1},
    [KP_GEN_MUTEX] = {"mutex", {"contentions/count", "delay/nanoseconds"}, "contentions/count", 1},
};

struct kp_gen *kp_gen_create(const struct kp_gen_program *program)
{
    struct kp_gen *gen = KP_NEW(struct kp_gen);
    struct kp_gen_program *p = &gen->program;
    *p = *program;
    p->functions = p->functions ? p->functions : 1000;
    p->stacks = p->stacks ? p->stacks : 300;
    p->depth = p->depth ? p->depth : 20;
    p->start_ns = p->start_ns ? p->start_ns : INT64_C(1767225600000000000);
    p->interval_ns = p->interval_ns ? p->interval_ns : INT64_C(60000000000);
    gen->binary = kp_strdup(p->binary ? p->binary : "/app/server");
    for (size_t i = 0; i + 1 < sizeof gen->build_id; i += 8)
        snprintf(gen->build_id + i, 9, "%08x", (unsigned)kp_gen_seed(p->seed, 5, p->build, i));
    kp_gen_make_functions(gen);
    gen->seen_files = KP_NEW_ARRAY(uint32_t, gen->n_files);
    gen->seen_functions = KP_NEW_ARRAY(uint32_t, p->functions);
    gen->seen_sites = KP_NEW_ARRAY(uint32_t, (size_t)p->functions * KP_GEN_SITES);
    return gen;
}

void kp_gen_destroy(struct kp_gen *gen)
{
    if (gen == NULL)
        return;
    for (unsigned i = 0; i < gen->program.functions; i++)
        kp_free(gen->functions[i].name);
    for (unsigned i = 0; i < gen->n_files; i++)
        kp_free(gen->files[i]);
    for (int kind = 0; kind < KP_GEN_KINDS; kind++) {
        for (unsigned i = 0; gen->stacks[kind] && i < gen->program.stacks; i++)
            kp_free(gen->stacks[kind][i].sites);
        kp_free(gen->stacks[kind]);
    }
    kp_free(gen->functions);
    kp_free(gen->files);
    kp_free(gen->seen_files);
    kp_free(gen->seen_functions);
    kp_free(gen->seen_sites);
    kp_free(gen->binary);
    kp_free(gen);
}

const char *kp_gen_build_id(const struct kp_gen *gen)
{
    return gen->build_id;
}

const char *kp_gen_kind_name(enum kp_gen_kind kind)
{
    return kinds[kind].name;
}

// ---- one capture ----

struct capture {
    struct kp_gen *gen;
    struct kp_profile *p;
    enum kp_gen_kind kind;
    unsigned round;
    KP_ARRAY(struct kp_str) strings;
    KP_ARRAY(uint32_t) frames;
    KP_ARRAY(struct kp_sample_label) labels;
    KP_ARRAY(struct kp_location) locations;
    KP_ARRAY(struct kp_line) lines;
    KP_ARRAY(struct kp_function) functions;
    KP_ARRAY(uint32_t) sites, used; // of the locations; the functions
    uint32_t handler;               // the label's key; the values stand behind it
};

static uint32_t add_text(struct capture *c, const char *text, size_t len)
{
    *kp_array_add(&c->strings) = (struct kp_str){kp_arena_strndup(&c->p->arena, text, len), (uint32_t)len};
    return (uint32_t)c->strings.n - 1;
}

static struct kp_value_type add_type(struct capture *c, const char *text)
{
    size_t n = strcspn(text, "/");
    uint32_t type = add_text(c, text, n);
    return (struct kp_value_type){type, add_text(c, text + n + 1, strlen(text + n + 1))};
}

static uint32_t function(struct capture *c, uint32_t at)
{
    uint32_t *seen = &c->gen->seen_functions[at];
    if (*seen != 0)
        return *seen - 1;
    const struct kp_gen_function *f = &c->gen->functions[at];
    uint32_t *file = &c->gen->seen_files[f->file];
    uint32_t name = add_text(c, f->name, strlen(f->name));
    if (*file == 0)
        *file = add_text(c, c->gen->files[f->file], strlen(c->gen->files[f->file]));
    *kp_array_add(&c->functions) = (struct kp_function){name, name, *file, f->start_line};
    *kp_array_add(&c->used) = at;
    return (*seen = (uint32_t)c->functions.n) - 1;
}

// Every seventh call site has something inlined.
static uint32_t location(struct capture *c, uint32_t site)
{
    uint32_t *seen = &c->gen->seen_sites[site];
    if (*seen != 0)
        return *seen - 1;
    const struct kp_gen_program *program = &c->gen->program;
    uint32_t at = site / KP_GEN_SITES;
    uint64_t r = kp_gen_seed(program->seed, 6, site, 0);
    uint64_t shift = kp_gen_seed(program->seed, 7, program->build, 0) % 4096 * 16;
    struct kp_location l = {
        .address = FIRST_BASE + 0x1000 + shift + (uint64_t)site * SITE_BYTES + r % SITE_BYTES,
        .first_line = (uint32_t)c->lines.n,
        .n_lines = r % 7 == 0 ? 2 : 1};
    if (l.n_lines == 2) {
        uint32_t inlined = (uint32_t)(r >> 8) % program->functions;
        *kp_array_add(&c->lines) = (struct kp_line){.function = function(c, inlined),
            .line = c->gen->functions[inlined].start_line + (int64_t)(r >> 40) % 9};
    }
    *kp_array_add(&c->lines) = (struct kp_line){.function = function(c, at),
        .line = c->gen->functions[at].start_line + 2 + (int64_t)(site % KP_GEN_SITES) * 3};
    *kp_array_add(&c->locations) = l;
    *kp_array_add(&c->sites) = site;
    return (*seen = (uint32_t)c->locations.n) - 1;
}

static void add_label(struct capture *c, uint32_t key, uint32_t str, int64_t num, uint32_t unit)
{
    *kp_array_add(&c->labels) = (struct kp_sample_label){.key = key, .str = str, .num = num, .unit = unit};
}

// A few samples hold most of the weight, as in life: `stack` has a weight, `random` a value around it.
static int64_t value(uint64_t stack, uint64_t *random, int64_t max)
{
    uint64_t weight = (stack % 97 + 1) * (stack >> 8 & stack >> 16 & 15) + 1; // 1 .. 1400, mostly small
    return (int64_t)(1 + (kp_gen_random(random) % (2 * weight)) * (uint64_t)max / 2800);
}

static void add_values(struct capture *c, uint32_t i, uint64_t stack, uint64_t *random)
{
    int64_t *v = c->p->values + (size_t)i * c->p->n_sample_types;
    switch (c->kind) {
    case KP_GEN_CPU:
        v[0] = value(stack, random, 80);
        v[1] = v[0] * 10000000;
        break;
    case KP_GEN_HEAP: {
        int64_t size = INT64_C(16) << stack % 15; // sampled about once per SAMPLE_RATE bytes
        int64_t more = SAMPLE_RATE / size + 1;
        int64_t rate = value(stack, &(uint64_t){stack}, 60); // a round; never falls from one to the next
        int64_t sampled = (int64_t)c->round * rate + (int64_t)(kp_gen_random(random) % (uint64_t)rate) + 1;
        int64_t inuse = stack >> 20 & 1 ? value(stack, random, 8) : 0;
        v[0] = sampled * more;
        v[1] = v[0] * size;
        v[2] = inuse * more;
        v[3] = v[2] * size;
        add_label(c, c->handler, 0, size, 0); // "bytes" here
        break;
    }
    case KP_GEN_GOROUTINE:
        v[0] = value(stack, random, 200);
        break;
    default:
        v[0] = value(stack, random, 1000);
        v[1] = v[0] * (int64_t)(1000 + kp_gen_random(random) % 100000);
        break;
    }
}

static void add_sample(struct capture *c, uint32_t i, const struct kp_gen_stack *stack, uint64_t *random)
{
    const struct kp_gen_program *program = &c->gen->program;
    struct kp_sample *s = &c->p->samples[i];
    uint64_t hash =
        kp_gen_seed(program->seed, 8, c->kind, kp_hash64(stack->sites, stack->n * sizeof *stack->sites, 2));
    s->first_frame = (uint32_t)c->frames.n;
    s->n_frames = stack->n;
    s->first_label = (uint32_t)c->labels.n;
    for (uint32_t k = 0; k < stack->n; k++) {
        uint32_t l = location(c, stack->sites[k]);
        *kp_array_add(&c->frames) = l;
    }
    add_values(c, i, hash, random);
    bool labelled =
        program->labels > 0 && (c->kind == KP_GEN_CPU || c->kind == KP_GEN_GOROUTINE) && hash >> 50 & 1;
    if (labelled)
        add_label(c, c->handler, c->handler + 1 + (uint32_t)(hash >> 4) % program->labels, 0, 0);
    s->n_labels = (uint32_t)c->labels.n - s->first_label;
}

static void add_samples(struct capture *c, unsigned pod, unsigned round)
{
    const struct kp_gen_program *program = &c->gen->program;
    const struct kp_gen_stack *stacks = kp_gen_stacks(c->gen, c->kind);
    uint64_t random =
        kp_gen_seed(program->seed, 9 + (uint64_t)c->kind, (uint64_t)pod << 32 | round, program->build);
    for (uint32_t i = 0; i < program->stacks; i++) {
        uint32_t sites[KP_GEN_MAX_DEPTH];
        struct kp_gen_stack fresh = {.sites = sites};
        bool is_new = kp_gen_random(&random) % 100 < program->new_percent;
        if (is_new)
            kp_gen_new_stack(c->gen, &stacks[i], kp_gen_random(&random), &fresh);
        add_sample(c, i, is_new ? &fresh : &stacks[i], &random);
    }
}

static void add_head(struct capture *c, unsigned pod, unsigned round)
{
    struct kp_profile *p = c->p;
    const struct kp_gen_program *program = &c->gen->program;
    char text[32];
    add_text(c, "", 0);
    p->sample_types = KP_ARENA_ARRAY(&p->arena, struct kp_value_type, 4);
    for (; kinds[c->kind].types[p->n_sample_types]; p->n_sample_types++)
        p->sample_types[p->n_sample_types] = add_type(c, kinds[c->kind].types[p->n_sample_types]);
    p->period_type = add_type(c, kinds[c->kind].period_type);
    p->has_period_type = true;
    p->period = kinds[c->kind].period;
    // pods are captured one after the other within the interval
    p->time_ns = program->start_ns + program->interval_ns * round +
                 (int64_t)(pod % 1000) * (program->interval_ns / 1000);
    p->duration_ns = c->kind == KP_GEN_CPU ? INT64_C(10000000000) : 0;
    p->mappings = KP_ARENA_ARRAY(&p->arena, struct kp_mapping, 2);
    p->n_mappings = 2;
    uint64_t end = FIRST_BASE + 0x20000 + (uint64_t)program->functions * KP_GEN_SITES * SITE_BYTES;
    // one after the other: compilers order the parts of an initialiser as they like
    struct kp_mapping *m = p->mappings;
    m[0] = (struct kp_mapping){.start = FIRST_BASE, .limit = (end + 0xfff) & ~UINT64_C(0xfff)};
    m[0].flags = KP_MAPPING_FUNCTIONS;
    m[0].filename = add_text(c, c->gen->binary, strlen(c->gen->binary));
    m[0].build_id = add_text(c, c->gen->build_id, 40);
    m[1] = (struct kp_mapping){.start = UINT64_C(0x7ffd1c5f2000), .limit = UINT64_C(0x7ffd1c5f4000)};
    m[1].filename = add_text(c, "[vdso]", 6);
    c->handler = c->kind == KP_GEN_HEAP ? add_text(c, "bytes", 5) : add_text(c, "handler", 7);
    for (unsigned i = 0; i < program->labels; i++)
        add_text(c, text, (size_t)snprintf(text, sizeof text, "/api/v1/resource-%u", i));
    p->samples = KP_ARENA_ARRAY(&p->arena, struct kp_sample, (size_t)program->stacks + 1);
    p->values = KP_ARENA_ARRAY(&p->arena, int64_t, (size_t)program->stacks * p->n_sample_types + 1);
    p->n_samples = program->stacks;
}

#define HAND_OVER(field)                                                                                     \
    (p->field = kp_arena_memdup(&p->arena, c->field.items, c->field.n * sizeof *p->field),                   \
        p->n_##field = (uint32_t)c->field.n, kp_array_free(&c->field))

static void finish(struct capture *c)
{
    struct kp_profile *p = c->p;
    for (size_t i = 0; i < c->sites.n; i++)
        c->gen->seen_sites[c->sites.items[i]] = 0;
    for (size_t i = 0; i < c->used.n; i++)
        c->gen->seen_functions[c->used.items[i]] = 0;
    memset(c->gen->seen_files, 0, c->gen->n_files * sizeof *c->gen->seen_files);
    kp_array_free(&c->sites);
    kp_array_free(&c->used);
    HAND_OVER(strings);
    HAND_OVER(frames);
    HAND_OVER(labels);
    HAND_OVER(locations);
    HAND_OVER(lines);
    HAND_OVER(functions);
}

struct kp_profile *kp_gen_profile(struct kp_gen *gen, enum kp_gen_kind kind, unsigned pod, unsigned round)
{
    struct capture c = {.gen = gen, .p = KP_NEW(struct kp_profile), .kind = kind, .round = round};
    add_head(&c, pod, round);
    add_samples(&c, pod, round);
    finish(&c);
    return c.p;
}

uint8_t *kp_gen_bytes(
    struct kp_gen *gen, enum kp_gen_kind kind, unsigned pod, unsigned round, int gzip_level, size_t *ret_len)
{
    kp_auto_profile *p = kp_gen_profile(gen, kind, pod, round);
    kp_auto_strbuf out;
    kp_strbuf_init(&out, MAX_BYTES);
    kp_profile_encode(p, gzip_level, &out);
    return (uint8_t *)kp_strbuf_take(&out, ret_len);
}
