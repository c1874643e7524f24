// A store of a million profiles: how long it takes to open, to find by two labels, to make a lost index
// again, and what memory that takes.
//
//     million_bench make DIR [PROFILES]     1 000 000 small captures of 200 pods in 20 services, sealed hour
//     by hour million_bench run DIR                 open, memory, finds million_bench rebuild DIR the same
//     after deleting the index
//
// Times are wall time of this process; memory is what /proc/self/status says.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/selector.h"
#include "base/text.h"
#include "store/store.h"
#include "testkit/pprof.h"
#include "base/banned.h"

#define T0       INT64_C(1764000000000)
#define PODS     200
#define SERVICES 20
#define FINDS    50
#define BATCH    200

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

static double wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void print_memory(const char *when)
{
    char line[256];
    FILE *f = fopen("/proc/self/status", "r");
    printf("memory %s:", when);
    while (f && fgets(line, sizeof line, f)) {
        unsigned kb;
        if (sscanf(line, "RssAnon: %u", &kb) == 1)
            printf(" %.1f MB anonymous", kb / 1024.0);
        else if (sscanf(line, "VmRSS: %u", &kb) == 1)
            printf(" %.1f MB resident", kb / 1024.0);
    }
    printf("\n");
    if (f)
        fclose(f);
}

static struct kp_store *open_store(const char *dir)
{
    struct kp_error err = {0};
    struct kp_store *store = NULL;
    check(kp_store_open(&(struct kp_store_options){.dir = dir, .now_ms = bench_now}, &store, &err), &err);
    return store;
}

// ---- make ----

static void describe(struct kp_record *r, unsigned pod, unsigned at)
{
    static const char *const types[] = {"cpu", "heap", "goroutine"};
    char key[KP_CAPTURE_KEY_TEXT];
    kp_record_init(r);
    r->service = kp_asprintf("service-%u", pod % SERVICES);
    r->type = kp_strdup(types[at % KP_COUNT(types)]);
    r->format = kp_strdup("pprof");
    r->namespace = kp_strdup("shop");
    r->pod = kp_asprintf("service-%u-7d9c-%u", pod % SERVICES, pod);
    r->pod_uid = kp_asprintf("11111111-2222-3333-4444-%012u", pod);
    r->container = kp_strdup("app");
    r->node = kp_asprintf("node-%u", pod % 10);
    r->image_digest = kp_asprintf("sha256:%u", pod % SERVICES);
    r->start_ms = now_ms;
    r->end_ms = now_ms + 10000;
    r->slot_ms = now_ms;
    const struct kp_label labels[] = {
        {"team", pod % 4 == 0 ? "blue" : "green"}, {"zone", pod % 3 == 0 ? "a" : "b"}};
    r->labels = kp_labels_create(labels, KP_COUNT(labels));
    kp_capture_key(key, r->pod_uid, r->container, 6060, "/debug/pprof", r->type, r->slot_ms);
    r->key = kp_strdup(key);
}

static void seal_all(struct kp_store *store, bool now)
{
    for (;;) {
        struct kp_error err = {0};
        struct kp_seal *seal = NULL;
        check(kp_store_seal_begin(store, now, &seal, &err), &err);
        if (seal == NULL)
            break;
        check(kp_seal_run(seal, NULL, &err), &err);
        check(kp_seal_end(seal, &err), &err);
    }
    bool more = true;
    while (more) {
        struct kp_error err = {0};
        check(kp_store_retain(store, &more, &err), &err);
    }
}

static void append_batch(struct kp_store *store, struct kp_blob *const *bodies, unsigned first)
{
    static struct kp_record records[BATCH];
    static struct kp_append appends[BATCH];
    for (unsigned i = 0; i < BATCH; i++) {
        describe(&records[i], (first + i) % PODS, (first + i) / PODS);
        appends[i] = (struct kp_append){.record = &records[i], .body = bodies[(first + i) % PODS % SERVICES]};
    }
    kp_store_append(store, appends, BATCH);
    for (unsigned i = 0; i < BATCH; i++) {
        if (appends[i].status != KP_APPEND_STORED)
            check(KP_INTERNAL, &appends[i].error);
        kp_record_finish(&records[i]);
    }
}

static void make(const char *dir, unsigned n)
{
    struct kp_blob *bodies[SERVICES];
    for (unsigned i = 0; i < SERVICES; i++) {
        size_t len;
        uint8_t *bytes = kp_pprof_make(&(struct kp_pprof_recipe){.stacks = 5, .seed = i + 1}, &len);
        bodies[i] = kp_blob_take(bytes, len);
    }
    struct kp_store *store = open_store(dir);
    double began = wall_ms();
    // a round of all pods in 20 s of the store's time: 36 000 an hour
    for (unsigned done = 0; done < n; done += BATCH) {
        append_batch(store, bodies, done);
        int64_t hour = now_ms / 3600000;
        now_ms += 20000;
        if (now_ms / 3600000 != hour)
            seal_all(store, false);
    }
    now_ms += 3600000;
    seal_all(store, true);
    printf("%u profiles stored and sealed in %.0f s\n", n, (wall_ms() - began) / 1e3);
    for (unsigned i = 0; i < SERVICES; i++)
        kp_blob_unref(bodies[i]);
    print_memory("after making it");
    kp_store_close(store);
}

// ---- run ----

static bool count(void *user, const struct kp_record *record)
{
    (void)record;
    ++*(size_t *)user;
    return true;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void find(struct kp_store *store, const char *what, const char *selector, size_t limit, bool newest)
{
    struct kp_error err = {0};
    struct kp_selector *s = NULL;
    double took[FINDS];
    size_t n = 0;
    check(kp_selector_parse(selector, true, &s, &err), &err);
    for (unsigned i = 0; i < FINDS; i++) {
        char *cursor = NULL;
        n = 0;
        double began = wall_ms();
        check(kp_store_list(store,
                  &(struct kp_store_query){.selector = s, .limit = limit, .newest_first = newest}, count, &n,
                  &cursor, &err),
            &err);
        took[i] = wall_ms() - began;
        kp_free(cursor);
    }
    qsort(took, FINDS, sizeof took[0], by_value);
    printf("find %s, %zu found: first quartile %.2f ms, median %.2f ms, worst %.2f ms\n", what, n,
        took[FINDS / 4], took[FINDS / 2], took[FINDS - 1]);
    kp_selector_destroy(s);
}

static void run(const char *dir)
{
    now_ms = T0 + (int64_t)1000000 / BATCH * 20000 + 3600000;
    print_memory("before");
    double began = wall_ms();
    struct kp_store *store = open_store(dir);
    printf("opened in %.0f ms\n", wall_ms() - began);
    struct kp_store_stats stats;
    kp_store_get_stats(store, &stats);
    printf("%llu profiles, %llu in segments, %llu segments, %llu series\n",
        (unsigned long long)stats.n_profiles, (unsigned long long)stats.n_sealed,
        (unsigned long long)stats.n_segments, (unsigned long long)stats.n_series);
    print_memory("open");
    find(store, "by two labels, newest 100", "team=blue,zone=a", 100, true);
    find(store, "by two labels, oldest 100", "team=blue,zone=a", 100, false);
    find(store, "by pod and zone, newest 1000", "k8s.pod=service-3-7d9c-3,zone=a", 1000, true);
    find(store, "what is not there", "team=red,zone=a", 100, true);
    print_memory("after finds");
    kp_store_close(store);
}

int main(int argc, char **argv)
{
    kp_alloc_set_up(); // as the registry does
    if (argc >= 3 && kp_streq(argv[1], "make")) {
        make(argv[2], argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 1000000);
    } else if (argc == 3 && kp_streq(argv[1], "run")) {
        run(argv[2]);
    } else if (argc == 3 && kp_streq(argv[1], "rebuild")) {
        static const char *const suffix[] = {"", "-wal", "-shm"};
        for (size_t i = 0; i < KP_COUNT(suffix); i++) {
            kp_auto_free char *path = kp_asprintf("%s/index.db%s", argv[2], suffix[i]);
            unlink(path);
        }
        run(argv[2]);
    } else {
        fprintf(stderr, "usage: million_bench make DIR [PROFILES] | run DIR | rebuild DIR\n");
        return 2;
    }
    return 0;
}
