// How long it takes to sum what is stored. Two steps, so that memory is that of the reader alone:
//
//     merge_bench make DIR KIND PODS ROUNDS [BUILDS [NEW]]
//     merge_bench run DIR KIND [--rows | --points [FUNCTION]]
//
// make: a capture of each pod a minute, sealed hour by hour. KIND is cpu, heap or goroutine; NEW per cent of
// the stacks of each capture are in no other (3). With KP_BENCH_CORPUS=FOLDER the captures are its files
// KIND.*.pb.gz in turn.
//
// run: CPU time of ten sums with encoding (gzip level 1): first, best, median; and the peak of memory.
// --rows: without roll-ups. --points: values over time in steps of ten minutes, of all or of one function.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "store/store.h"
#include "testkit/profile_gen.h"
#include "base/banned.h"

#define T0   INT64_C(1764000000000)
#define RUNS 10

static int64_t now_ms = T0;

static int64_t bench_now(void)
{
    return now_ms;
}

static void check(int rc, const struct kp_error *err)
{
    if (rc == 0)
        return;
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

static struct kp_store *open_store(const char *dir)
{
    struct kp_error err = {0};
    struct kp_store *store = NULL;
    check(kp_store_open(&(struct kp_store_options){.dir = dir, .now_ms = bench_now}, &store, &err), &err);
    return store;
}

// Files of a folder in turn.
static uint8_t *next_of_corpus(const char *folder, const char *kind, size_t *ret_len)
{
    static unsigned at;
    for (unsigned tries = 0; tries < 100; tries++) {
        kp_auto_free char *path = kp_asprintf("%s/%s.%02u.pb.gz", folder, kind, at++ % 100);
        char *text;
        if (kp_file_read(path, 16 << 20, &text, ret_len, NULL) == 0)
            return (uint8_t *)text;
    }
    fprintf(stderr, "no %s.NN.pb.gz in %s\n", kind, folder);
    exit(1);
}

static void put(struct kp_store *store, struct kp_gen *gen, enum kp_gen_kind kind, unsigned pod,
    unsigned round, unsigned build)
{
    struct kp_record r = {0};
    r.namespace = kp_strdup("shop");
    r.service = kp_strdup("checkout");
    r.type = kp_strdup(kp_gen_kind_name(kind));
    r.format = kp_strdup("pprof");
    r.pod = kp_asprintf("checkout-%u", pod);
    r.pod_uid = kp_asprintf("uid-%u", pod);
    r.container = kp_strdup("app");
    r.container_id = kp_asprintf("id-%u", pod);
    r.node = kp_asprintf("node-%u", pod % 7);
    r.image_digest = kp_asprintf("sha256:%u", build);
    r.container_started_ms = T0 - 3600000;
    r.start_ms = T0 + (int64_t)round * 60000 + pod;
    r.duration_ms = kind == KP_GEN_CPU ? 10000 : 0;
    size_t len;
    const char *corpus = getenv("KP_BENCH_CORPUS");
    uint8_t *bytes =
        corpus ? next_of_corpus(corpus, r.type, &len) : kp_gen_bytes(gen, kind, pod, round, 1, &len);
    struct kp_append a = {.record = &r, .body = kp_blob_take(bytes, len)};
    kp_store_append(store, &a, 1);
    if (a.status == KP_APPEND_FAILED)
        check(-1, &a.error);
    kp_blob_unref(a.body);
    kp_record_finish(&r);
}

static void seal(struct kp_store *store)
{
    struct kp_error err = {0};
    for (;;) {
        struct kp_seal *work = NULL;
        check(kp_store_seal_begin(store, true, &work, &err), &err);
        if (work == NULL)
            return;
        check(kp_seal_run(work, NULL, &err), &err);
        check(kp_seal_end(work, &err), &err);
    }
}

static void make(const char *dir, enum kp_gen_kind kind, unsigned pods, unsigned rounds, unsigned builds,
    unsigned new_percent)
{
    struct kp_store *store = open_store(dir);
    struct kp_gen *gens[16];
    for (unsigned i = 0; i < builds && i < 16; i++)
        gens[i] = kp_gen_create(&(struct kp_gen_program){.seed = 1,
            .build = i,
            .new_percent = new_percent,
            .stacks = kind == KP_GEN_HEAP ? 1100 : 0,
            .start_ns = T0 * 1000000});
    for (unsigned round = 0; round < rounds; round++) {
        now_ms = T0 + (int64_t)round * 60000 + 15000;
        for (unsigned pod = 0; pod < pods; pod++)
            put(store, gens[pod % builds], kind, pod, round, pod % builds);
        if (round % 60 == 59)
            seal(store);
    }
    seal(store);
    struct kp_store_stats stats;
    kp_store_get_stats(store, &stats);
    printf("%llu profiles, %llu sealed in %llu segments of %.1f MB\n", (unsigned long long)stats.n_profiles,
        (unsigned long long)stats.n_sealed, (unsigned long long)stats.n_segments,
        (double)stats.segment_bytes / 1e6);
    for (unsigned i = 0; i < builds && i < 16; i++)
        kp_gen_destroy(gens[i]);
    kp_store_close(store);
}

static void on_point(void *user, const struct kp_point *point)
{
    (void)point;
    ++*(size_t *)user;
}

// Of this process: others may be busy.
static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

struct result {
    struct kp_merge_stats stats;
    size_t size, samples;
};

static double once(
    struct kp_store *store, const struct kp_points_query *query, const char *points, struct result *r)
{
    struct kp_error err = {0};
    double begin = cpu_ms();
    if (points) {
        kp_auto_free char *unit = NULL;
        r->size = 0;
        check(kp_store_points(store, query, on_point, &r->size, &unit, &err), &err);
        return cpu_ms() - begin;
    }
    struct kp_profile *p = NULL;
    check(kp_store_merge(store, &query->merge, &p, &r->stats, &err), &err);
    double merged = cpu_ms() - begin;
    struct kp_strbuf out;
    kp_strbuf_init(&out, 256 << 20);
    kp_profile_encode(p, 1, &out);
    r->size = out.len;
    r->samples = p->n_samples;
    kp_strbuf_finish(&out);
    kp_profile_free(p);
    double all = cpu_ms() - begin;
    if (getenv("KP_BENCH_PARTS"))
        printf("  merge %.2f encode %.2f\n", merged, all - merged);
    return all;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void run(const char *dir, const char *kind, bool rows, const char *points)
{
    now_ms = INT64_C(1) << 42;
    struct kp_store *store = open_store(dir);
    struct kp_points_query query = {
        .merge = {.select = {.type = kind, .from_ms = T0}, .plain_sum = rows}, .step_ms = 600000};
    if (points && points[0])
        query.function = points;
    double took[RUNS];
    struct result result = {0};
    struct rusage before;
    getrusage(RUSAGE_SELF, &before);
    for (int i = 0; i < RUNS; i++)
        took[i] = once(store, &query, points, &result);
    double first = took[0];
    qsort(took, RUNS, sizeof took[0], by_value);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%s%s%s: %llu profiles, %llu builds, %zu samples, %zu bytes: first %.2f best %.2f median %.2f ms; "
           "peak %.1f MB (%.1f before)\n",
        kind, rows ? " without roll-ups" : "", points ? " points" : "",
        (unsigned long long)result.stats.n_profiles, (unsigned long long)result.stats.n_builds,
        result.samples, result.size, first, took[0], took[RUNS / 2], (double)usage.ru_maxrss / 1024,
        (double)before.ru_maxrss / 1024);
    kp_store_close(store);
}

int main(int argc, char **argv)
{
    kp_alloc_set_up(); // as the registry does
    if (argc >= 6 && strcmp(argv[1], "make") == 0) {
        enum kp_gen_kind kind = KP_GEN_CPU;
        while (kind + 1 < KP_GEN_KINDS && strcmp(kp_gen_kind_name(kind), argv[3]) != 0)
            kind++;
        make(argv[2], kind, (unsigned)strtoul(argv[4], NULL, 10), (unsigned)strtoul(argv[5], NULL, 10),
            argc > 6 ? (unsigned)strtoul(argv[6], NULL, 10) : 1,
            argc > 7 ? (unsigned)strtoul(argv[7], NULL, 10) : 3);
        return 0;
    }
    if (argc >= 4 && strcmp(argv[1], "run") == 0) {
        bool rows = argc > 4 && strcmp(argv[4], "--rows") == 0;
        const char *points = argc > 4 && strcmp(argv[4], "--points") == 0 ? (argc > 5 ? argv[5] : "") : NULL;
        run(argv[2], argv[3], rows, points);
        return 0;
    }
    fprintf(stderr,
        "merge_bench make DIR KIND PODS ROUNDS [BUILDS] | run DIR KIND [--rows | --points [FUNCTION]]\n");
    return 2;
}
