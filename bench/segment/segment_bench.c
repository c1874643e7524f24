// Builds a segment from captures and says what it came to: bytes per byte received, profiles per second, peak
// memory, time to read. Each folder holds the captures of one build, TYPE.NN.pb.gz.
//
//     segment_bench [--types cpu,heap,goroutine] [--level N] [--builds N] FOLDER...
//     segment_bench [--types ...] [--level N] [--builds N] --pods N --rounds N [--stacks N]
//
// --builds: the folders are taken N times, as so many builds. --pods: generated captures, 3 % of the stacks
// of each new; of one build, or with --builds of so many programs, --pods of each. --join N: also as N
// segments that are then joined. --write-only: reads nothing back. KP_BENCH_OUT: where to leave the segment.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/file.h"
#include "base/labels.h"
#include "base/limits.h"
#include "base/text.h"
#include "store/row.h"
#include "store/segment.h"
#include "store/segment_fixture.h"
#include "base/banned.h"

struct capture {
    char *type;
    char *file;
    uint8_t *body;
    size_t len;
    uint64_t space, order;
    int64_t start_ms;
    uint32_t pod;
};

struct bench {
    const char *types;
    int level;
    unsigned pods, rounds, builds, stacks, joined;
    bool is_writing_only;
    KP_ARRAY(struct capture) captures;
    uint64_t random;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t draw(struct bench *b)
{
    b->random ^= b->random << 13;
    b->random ^= b->random >> 7;
    b->random ^= b->random << 17;
    return b->random;
}

// ---- captures ----

static bool wanted(const struct bench *b, const char *name)
{
    const char *dot = strchr(name, '.');
    if (dot == NULL || strstr(dot, ".pb.gz") == NULL)
        return false;
    kp_auto_free char *type = kp_asprintf(",%.*s,", (int)(dot - name), name);
    kp_auto_free char *all = kp_asprintf(",%s,", b->types);
    return strstr(all, type) != NULL;
}

static void load(struct bench *b, const char *folder, uint64_t space)
{
    struct dirent **names;
    int n = scandir(folder, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        if (wanted(b, names[i]->d_name)) {
            struct capture c = {.space = space, .pod = (uint32_t)space};
            kp_auto_free char *path = kp_asprintf("%s/%s", folder, names[i]->d_name);
            char *text = NULL;
            struct kp_error err = {0};
            if (kp_file_read(path, KP_MAX_PROFILE_BYTES, &text, &c.len, &err) != 0) {
                fprintf(stderr, "%s\n", err.text);
                exit(1);
            }
            c.body = (uint8_t *)text;
            c.type = kp_strndup(names[i]->d_name, (size_t)(strchr(names[i]->d_name, '.') - names[i]->d_name));
            c.order = b->captures.n;
            c.start_ms = INT64_C(1764000000000) + (int64_t)b->captures.n * 10000;
            *kp_array_add(&b->captures) = c;
        }
        free(names[i]);
    }
    if (n >= 0)
        free(names);
}

// Captures of one made-up program.
static void make_pods(struct bench *b, unsigned build)
{
    const struct kp_gen_program program = {
        .seed = 7 + build, .stacks = b->stacks, .new_percent = 3, .depth = 20};
    struct kp_gen *gen = kp_gen_create(&program);
    for (int kind = 0; kind < KP_GEN_KINDS; kind++) {
        kp_auto_free char *name = kp_asprintf("%s.01.pb.gz", kp_gen_kind_name((enum kp_gen_kind)kind));
        for (unsigned pod = 0; wanted(b, name) && pod < b->pods; pod++)
            for (unsigned round = 0; round < b->rounds; round++) {
                struct capture c = {.type = kp_strdup(kp_gen_kind_name((enum kp_gen_kind)kind)),
                    .space = build,
                    .order = (uint64_t)pod << 32 | round,
                    .pod = build * b->pods + pod,
                    .start_ms = MADE_T0 + (int64_t)round * 60000 + pod};
                c.body = kp_gen_bytes(gen, (enum kp_gen_kind)kind, pod, round, 1, &c.len);
                *kp_array_add(&b->captures) = c;
            }
    }
    kp_gen_destroy(gen);
}

static int by_space(const void *x, const void *y)
{
    const struct capture *a = x;
    const struct capture *c = y;
    if (a->space != c->space)
        return a->space < c->space ? -1 : 1;
    int order = strcmp(a->type, c->type);
    return order != 0 ? order : (a->order > c->order) - (a->order < c->order);
}

// ---- records as the controller makes them ----

static void make_record(struct bench *b, const struct capture *c, struct kp_record *r)
{
    kp_record_init(r);
    r->service = kp_strdup("checkout");
    r->type = kp_strdup(c->type);
    r->format = kp_strdup("pprof");
    r->namespace = kp_strdup("shop");
    r->pod = kp_asprintf("checkout-6d5f7c9b8d-%05x", c->pod * 7919);
    r->pod_uid = kp_asprintf("%08x-1111-2222-3333-%012x", c->pod * 7919, c->pod);
    r->container = kp_strdup("app");
    r->node = kp_asprintf("node-%u", c->pod % 20);
    r->workload_kind = kp_strdup("Deployment");
    r->workload_name = kp_strdup("checkout");
    r->revision = kp_strdup("6d5f7c9b8d");
    r->image_digest = kp_asprintf("sha256:%064llx", (unsigned long long)c->space);
    r->path = kp_asprintf("/debug/pprof/%s", c->type);
    r->port = 6060;
    r->slot_ms = c->start_ms / 10000 * 10000;
    r->start_ms = c->start_ms + (int64_t)(draw(b) % 1000);
    r->end_ms = r->start_ms + 10000 + (int64_t)(draw(b) % 50);
    r->interval_ms = 60000;
    r->duration_ms = strcmp(c->type, "cpu") == 0 ? 10000 : 0;
    r->policies = kp_strdup("shop/all");
    r->labels = kp_labels_create((struct kp_label[]){{"team", "payments"}}, 1);
    r->key = kp_asprintf("%016llx%016llx", (unsigned long long)draw(b), (unsigned long long)draw(b));
}

static void make_row(
    const struct capture *c, const struct kp_record *r, uint64_t number, struct kp_segment_row *row)
{
    *row = (struct kp_segment_row){.start_ms = r->start_ms,
        .received_ms = r->end_ms,
        .number = number,
        .series = c->pod * 16 + (uint32_t)c->type[0] % 16,
        .life = c->pod + 1,
        .duration_ms = (uint32_t)r->duration_ms,
        .weight = 1};
    char *end = r->key + 16;
    row->key[1] = strtoull(end, NULL, 16);
    *end = '\0';
    row->key[0] = strtoull(r->key, NULL, 16);
    char digits[17];
    (void)snprintf(digits, sizeof digits, "%016llx", (unsigned long long)row->key[1]);
    *end = digits[0];
}

static void add(struct bench *b, struct kp_segment_builder *builder, const struct capture *c, uint64_t number)
{
    struct kp_record r;
    struct kp_error err = {0};
    make_record(b, c, &r);
    struct kp_segment_input input = {.type = c->type,
        .body = c->body,
        .body_len = c->len,
        .space = {c->space + 1, 7},
        .rollup = {c->space + 1, 9},
        .order = c->order};
    make_row(c, &r, number, &input.row);
    kp_auto_strbuf encoded;
    kp_strbuf_init(&encoded, KP_MAX_RECORD_BYTES);
    kp_record_encode(&r, &encoded);
    input.record = encoded.data;
    input.record_len = encoded.len;
    if (kp_segment_builder_add(builder, &input, &r, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    kp_record_finish(&r);
}

// ---- reading ----

static void read_type(
    const struct kp_segment *s, const char *type, const struct bench *b, const struct kp_segment_row *rows)
{
    size_t n = 0;
    size_t n_samples = 0;
    double begin = now_s();
    struct kp_space *space = NULL;
    uint32_t opened = UINT32_MAX;
    int64_t *sums = NULL;
    uint8_t *seen = KP_NEW_ARRAY(uint8_t, s->n_blocks);
    for (uint32_t i = 0; i < s->n_rows; i++) {
        struct kp_block *block;
        struct kp_error err = {0};
        if (rows[i].series % 16 != (uint32_t)type[0] % 16 || seen[rows[i].block] ||
            (rows[i].flags & KP_SROW_OPAQUE))
            continue;
        seen[rows[i].block] = 1;
        if (kp_segment_read_block(s, rows[i].block, &block, &err) != 0) {
            fprintf(stderr, "%s\n", err.text);
            exit(1);
        }
        if (opened != block->space) {
            kp_space_free(space);
            if (kp_segment_read_space(s, block->space, &space, &err) != 0)
                exit(1);
            opened = block->space;
            kp_free(sums);
            sums = KP_NEW_ARRAY(int64_t, (size_t)space->n_entries * block->n_types);
        }
        for (uint32_t t = 0; t < block->n_types; t++) {
            const int64_t *v = block->values + (size_t)t * block->n_samples;
            for (uint32_t k = 0; k < block->n_samples; k++)
                sums[(size_t)t * space->n_entries + block->entries[k]] += v[k];
        }
        n += block->n_captures;
        n_samples += block->n_samples;
        kp_block_free(block);
    }
    kp_free(sums);
    kp_space_free(space);
    kp_free(seen);
    double took = (now_s() - begin) * 1000;
    if (n > 0)
        printf("  sum of %-10s %6zu captures %9zu samples %7.2f ms; 1000: %.2f ms\n", type, n, n_samples,
            took, took * 1000 / (double)n);
    (void)b;
}

static void report(
    struct bench *b, const struct kp_blob *blob, const struct kp_segment_row *rows, double took)
{
    struct memory_file file = {blob->data, blob->len, false};
    struct kp_storage storage = memory_storage(&file);
    struct kp_segment *s;
    struct kp_error err = {0};
    size_t in = 0;
    size_t kept = 0;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    for (size_t i = 0; i < b->captures.n; i++)
        in += b->captures.items[i].len;
    if (kp_segment_open(&storage, "bench", &s, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    for (uint32_t i = 0; i < s->n_rows; i++)
        kept += (rows[i].flags & (KP_SROW_ORIGINAL | KP_SROW_OPAQUE)) != 0;
    printf("%zu captures, %zu bytes, to %zu bytes: ratio %.4f (%zu kept as received)\n", b->captures.n, in,
        blob->len, (double)blob->len / (double)in, kept);
    printf("  %.0f profiles/s of CPU time, peak memory %ld MB (input %zu MB)\n", (double)b->captures.n / took,
        usage.ru_maxrss / 1024, in >> 20);
    kp_auto_free char *types = kp_strdup(b->types);
    char *save = NULL;
    for (char *type = strtok_r(types, ",", &save); type && !b->is_writing_only;
         type = strtok_r(NULL, ",", &save))
        for (int i = 0; i < 2; i++)
            read_type(s, type, b, rows);
    kp_segment_unref(s);
}

static void die(const struct kp_error *err)
{
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

// Every n_parts-th capture, from part on.
static struct kp_blob *build(struct bench *b, size_t part, size_t n_parts, struct kp_segment_row **ret_rows)
{
    const struct kp_segment_options options = {
        .namespace = "shop", .keep_s = KP_KEEP_DEFAULT, .level = b->level};
    struct kp_segment_builder *builder = kp_segment_builder_create(&options);
    struct kp_blob *blob;
    uint32_t n_rows;
    struct kp_error err = {0};
    for (size_t i = part; i < b->captures.n; i += n_parts)
        add(b, builder, &b->captures.items[i], i + 1);
    if (kp_segment_builder_finish(builder, &blob, ret_rows, &n_rows, &err) != 0)
        die(&err);
    kp_segment_builder_destroy(builder);
    return blob;
}

// As an hour after the other, then a day of them.
static void measure_join(struct bench *b)
{
    struct kp_blob *blobs[64];
    struct memory_file files[64];
    struct kp_storage storages[64];
    struct kp_segment *segments[64];
    struct kp_blob *blob;
    struct kp_error err = {0};
    size_t n = b->joined < KP_COUNT(blobs) ? b->joined : KP_COUNT(blobs);
    size_t parts = 0;
    for (size_t i = 0; i < n; i++) {
        blobs[i] = build(b, i, n, NULL);
        parts += blobs[i]->len;
        files[i] = (struct memory_file){blobs[i]->data, blobs[i]->len, false};
        storages[i] = memory_storage(&files[i]);
        if (kp_segment_open(&storages[i], "part", &segments[i], &err) != 0)
            die(&err);
    }
    double begin = now_s();
    const struct kp_segment_options options = {
        .namespace = "shop", .keep_s = KP_KEEP_DEFAULT, .level = b->level};
    struct kp_segment_builder *builder = kp_segment_builder_create(&options);
    if (kp_segment_builder_join(builder, segments, n, NULL, NULL, &err) != 0 ||
        kp_segment_builder_finish(builder, &blob, NULL, NULL, &err) != 0)
        die(&err);
    printf("  %zu segments of %zu bytes joined to %zu bytes: %.0f profiles/s\n", n, parts, blob->len,
        (double)b->captures.n / (now_s() - begin));
    kp_segment_builder_destroy(builder);
    kp_blob_unref(blob);
    for (size_t i = 0; i < n; i++) {
        kp_segment_unref(segments[i]);
        kp_blob_unref(blobs[i]);
    }
}

int main(int argc, char **argv)
{
    struct bench b = {.types = "cpu,heap,goroutine", .random = 88172645463325252ULL, .builds = 1};
    kp_alloc_set_up(); // as the registry does
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--types") == 0 && i + 1 < argc)
            b.types = argv[++i];
        else if (strcmp(argv[i], "--level") == 0 && i + 1 < argc)
            b.level = (int)strtol(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--pods") == 0 && i + 1 < argc)
            b.pods = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
            b.rounds = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--stacks") == 0 && i + 1 < argc)
            b.stacks = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--join") == 0 && i + 1 < argc)
            b.joined = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--write-only") == 0)
            b.is_writing_only = true;
        else if (strcmp(argv[i], "--builds") == 0 && i + 1 < argc)
            b.builds = (unsigned)strtoul(argv[++i], NULL, 10);
        else
            load(&b, argv[i], (uint64_t)i);
    }
    size_t n_loaded = b.captures.n;
    for (unsigned k = 1; k < b.builds; k++)
        for (size_t i = 0; i < n_loaded; i++) {
            struct capture c = b.captures.items[i];
            c.space += (uint64_t)k * 1000;
            c.pod = (uint32_t)c.space;
            *kp_array_add(&b.captures) = c;
        }
    for (unsigned k = 0; b.pods > 0 && k < b.builds; k++)
        make_pods(&b, k);
    qsort(b.captures.items, b.captures.n, sizeof b.captures.items[0], by_space);
    struct kp_segment_row *rows;
    struct kp_error err = {0};
    double begin = now_s();
    struct kp_blob *blob = build(&b, 0, 1, &rows);
    double took = now_s() - begin;
    report(&b, blob, rows, took);
    if (b.joined > 0)
        measure_join(&b);
    const char *out = getenv("KP_BENCH_OUT");
    if (out && kp_file_write_atomic(out, blob->data, blob->len, 0600, &err) != 0)
        return 1;
    kp_free(rows);
    kp_blob_unref(blob);
    return 0;
}
