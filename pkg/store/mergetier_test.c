// The same answer wherever profiles lie: in the log, in segments, or in both; and the answer an oracle gives
// that sums what was written, stack by stack.
#include "store/mergequery_testing.h"

#include <fcntl.h>
#include <glob.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/selector.h"
#include "base/banned.h"

#define HOUR     INT64_C(3600000)
#define N        240
#define N_STACKS 9

static const char *const stacks[N_STACKS] = {"main", "main;work", "main;work;hash", "main;work;hash;sum",
    "main;idle", "main;idle handler=get", "main;work handler=put", "main;work;hash:9", "boot"};

struct world {
    char *dir;
    struct kp_store *store;
    struct capture captures[N];
    char *ids[N];
    uint64_t random;
};

static uint32_t draw(struct world *w, uint32_t below)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (uint32_t)(w->random >> 33) % below;
}

// ---- captures ----

static void draw_samples(struct world *w, struct capture *c)
{
    size_t n = 0;
    for (size_t i = 0; i < N_STACKS; i++) {
        if (draw(w, 3) == 0)
            continue;
        c->samples[n].stack = stacks[i];
        for (size_t t = 0; t < MAX_TEST_TYPES; t++)
            c->samples[n].values[t] = draw(w, 1000);
        n++;
    }
}

static void draw_capture(struct world *w, size_t i)
{
    static const char *const pods[] = {"a", "b", "c", "d"};
    static const char *const lives[][2] = {{"a1", "a2"}, {"b1", "b2"}, {"c1", "c2"}, {"d1", NULL}};
    static const char *const types[] = {"cpu", "heap", "goroutine"};
    struct capture *c = &w->captures[i];
    uint32_t pod = draw(w, 4);
    uint32_t life = i >= N / 2;
    *c = (struct capture){.type = types[draw(w, 3)],
        .pod = pods[pod],
        .container_id = lives[pod][life],
        .team = pod < 2 ? "pay" : "ship",
        .build = pod == 3 ? "build-2" : "build-1",
        .shift = pod == 3 ? 7 : 0,
        .start_ms = T0 + (int64_t)i * 40000 + draw(w, 3) * 45000, // not all in order
        .started_ms = life ? T0 + N / 2 * INT64_C(40000) : T0 - HOUR};
    if (strcmp(c->type, "cpu") == 0) {
        c->duration_ms = draw(w, 8) == 0 ? 30000 : 10000 + draw(w, 100);
        c->k = 2;
        c->n = pod == 0 ? 5 : 2;
    } else if (draw(w, 10) == 0) {
        c->duration_ms = 5000;
    }
    draw_samples(w, c);
}

static int setup(void **state)
{
    struct world *w = KP_NEW(struct world);
    clock_ms = T0;
    w->random = 88172645463325252u;
    w->dir = kp_test_tmpdir();
    w->store = open_store(w->dir, (struct kp_store_options){0});
    for (size_t i = 0; i < N; i++)
        draw_capture(w, i);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    kp_store_close(w->store);
    kp_test_rmdir(w->dir);
    for (size_t i = 0; i < N; i++)
        kp_free(w->ids[i]);
    kp_free(w);
    return 0;
}

static void put_range(struct world *w, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        clock_ms = T0 + (int64_t)i * 40000 + 100000;
        w->ids[i] = put_capture(w->store, w->captures[i]);
    }
}

static void seal_all(struct world *w)
{
    struct kp_error err = {0};
    for (;;) {
        struct kp_seal *seal = NULL;
        if (kp_store_seal_begin(w->store, true, &seal, &err) != 0)
            fail_msg("%s", err.text);
        if (seal == NULL)
            return;
        if (kp_seal_run(seal, NULL, &err) != 0 || kp_seal_end(seal, &err) != 0)
            fail_msg("%s", err.text);
    }
}

// ---- the oracle ----

static bool is_startup(const struct capture *c)
{
    return c->start_ms >= c->started_ms && c->start_ms - c->started_ms < 60000;
}

struct oracle {
    const struct world *w;
    const struct kp_merge_query *query;
    const char *pod; // NULL = all
    int64_t common_ms;
    struct named *sum;
};

static bool is_asked_for(const struct oracle *o, const struct capture *c)
{
    const struct kp_store_query *q = &o->query->select;
    return strcmp(c->type, q->type) == 0 && (o->pod == NULL || strcmp(o->pod, c->pod) == 0) &&
           c->start_ms >= q->from_ms && (q->to_ms == 0 || c->start_ms < q->to_ms) &&
           (!o->query->equal_durations || llabs(c->duration_ms - o->common_ms) <= o->common_ms / 10);
}

static bool is_in(const struct oracle *o, const struct capture *c)
{
    return is_asked_for(o, c) && (o->query->with_startup || !is_startup(c));
}

static void add_values(struct oracle *o, const struct capture *c, uint32_t from, uint32_t to, double factor)
{
    for (size_t i = 0; i < KP_COUNT(c->samples) && c->samples[i].stack; i++) {
        kp_auto_free char *name = kp_strdup(c->samples[i].stack);
        char *colon = strchr(name, ':');
        if (colon)
            *colon = '\0';
        for (uint32_t t = from; t < to; t++)
            named_at(&o->sum, name)[t] += (double)c->samples[i].values[t] * factor;
    }
}

static uint32_t n_moments(const struct oracle *o, const char *pod)
{
    uint32_t n = 0;
    for (size_t i = 0; i < N; i++)
        n += is_in(o, &o->w->captures[i]) && o->w->captures[i].duration_ms == 0 &&
             strcmp(o->w->captures[i].pod, pod) == 0;
    return n;
}

static const struct capture *next_of_life(
    const struct oracle *o, const char *life, int64_t after_ms, size_t after)
{
    const struct capture *best = NULL;
    for (size_t i = 0; i < N; i++) {
        const struct capture *c = &o->w->captures[i];
        bool later = c->start_ms > after_ms || (c->start_ms == after_ms && i > after);
        if (is_asked_for(o, c) && c->duration_ms == 0 &&
            strcmp(c->container_id ? c->container_id : "d2", life) == 0 && later &&
            (best == NULL || c->start_ms < best->start_ms))
            best = c;
    }
    return best;
}

// Sample by sample, with what the stack said last.
static void add_life(struct oracle *o, const char *life)
{
    double last[N_STACKS][2] = {{0}};
    const struct capture *c = next_of_life(o, life, INT64_MIN, 0);
    bool first = true;
    while (c) {
        bool counts = (o->query->with_startup || !is_startup(c)) &&
                      (!first || c->started_ms >= o->query->select.from_ms);
        struct capture grown = *c;
        for (size_t i = 0; i < KP_COUNT(c->samples) && c->samples[i].stack; i++) {
            size_t stack = 0;
            while (strcmp(stacks[stack], c->samples[i].stack) != 0)
                stack++;
            for (size_t t = 0; t < 2; t++) {
                double v = (double)c->samples[i].values[t];
                grown.samples[i].values[t] = (int64_t)(v >= last[stack][t] ? v - last[stack][t] : v);
                last[stack][t] = v;
            }
        }
        if (counts)
            add_values(o, &grown, 0, 2, 1);
        first = false;
        c = next_of_life(o, life, c->start_ms, (size_t)(c - o->w->captures));
    }
}

static void ask_oracle(struct oracle *o)
{
    static const char *const lives[] = {
        "a1", "a2", "b1", "b2", "c1", "c2", "d1", "d2"}; // d2 has no container id
    bool is_heap = strcmp(o->query->select.type, "heap") == 0;
    bool is_cpu = strcmp(o->query->select.type, "cpu") == 0;
    uint32_t n_types = is_heap ? 4 : is_cpu ? 2 : 1;
    o->common_ms = 10050;
    for (size_t i = 0; i < N; i++) {
        const struct capture *c = &o->w->captures[i];
        if (!is_in(o, c))
            continue;
        double weight = o->query->weigh_by_sampling && c->k > 0 ? (double)c->n / c->k : 1;
        if (c->duration_ms > 0)
            add_values(o, c, 0, n_types, weight);
        else
            add_values(o, c, is_heap ? 2 : 0, n_types, 1.0 / n_moments(o, c->pod));
    }
    for (size_t i = 0; is_heap && i < KP_COUNT(lives); i++)
        add_life(o, lives[i]);
}

// ---- comparing ----

static void compare(const struct kp_profile *p, struct named *expected)
{
    struct named *actual = NULL;
    named_add(&actual, p);
    for (struct named *n = actual; n; n = n->hh.next)
        (void)named_at(&expected, n->name);
    for (struct named *n = expected; n; n = n->hh.next) {
        const double *values = named_at(&actual, n->name);
        for (uint32_t t = 0; t < p->n_sample_types; t++) // each of at most two rows of a name is rounded
            if (fabs(values[t] - n->values[t]) > 1.01)
                fail_msg("%s: %f instead of %f", n->name, values[t], n->values[t]);
    }
    named_free(actual);
    named_free(expected);
}

static const struct kp_merge_query queries[] = {
    {.select = {.type = "cpu"}},
    {.select = {.type = "cpu"}, .with_startup = true},
    {.select = {.type = "cpu"}, .weigh_by_sampling = true},
    {.select = {.type = "cpu"}, .equal_durations = true, .with_startup = true},
    {.select = {.type = "cpu", .from_ms = T0 + HOUR / 2, .to_ms = T0 + 3 * HOUR / 2}},
    {.select = {.type = "heap", .from_ms = T0}},
    {.select = {.type = "heap", .from_ms = T0 + HOUR / 2, .to_ms = T0 + 2 * HOUR}},
    {.select = {.type = "heap", .from_ms = T0 + HOUR}, .with_startup = true},
    {.select = {.type = "goroutine", .from_ms = T0}},
    {.select = {.type = "goroutine", .from_ms = T0 + HOUR}, .with_startup = true},
};
static const char *const pods[] = {NULL, "a", "d"};
#define N_ANSWERS (KP_COUNT(queries) * KP_COUNT(pods))

static void answer_all(struct world *w, struct kp_digest *ret)
{
    for (size_t i = 0; i < N_ANSWERS; i++) {
        struct kp_merge_query query = queries[i / KP_COUNT(pods)];
        struct oracle oracle = {.w = w, .query = &query, .pod = pods[i % KP_COUNT(pods)]};
        struct kp_selector *selector = NULL;
        struct kp_profile *p = NULL;
        struct kp_error err = {0};
        if (oracle.pod) {
            kp_auto_free char *text = kp_asprintf("k8s.pod=%s", oracle.pod);
            assert_int_equal(kp_selector_parse(text, false, &selector, &err), 0);
            query.select.selector = selector;
        }
        if (kp_store_merge(w->store, &query, &p, NULL, &err) != 0)
            fail_msg("%zu: %s", i, err.text);
        ask_oracle(&oracle);
        compare(p, oracle.sum);
        ret[i] = kp_profile_digest(p);
        kp_profile_free(p);
        kp_selector_destroy(selector);
    }
}

static void assert_same(const struct kp_digest *a, const struct kp_digest *b)
{
    for (size_t i = 0; i < N_ANSWERS; i++)
        if (!kp_digest_equal(a[i], b[i]))
            fail_msg("answer %zu differs", i);
}

static void test_same_from_log_segments_and_both(void **state)
{
    struct world *w = *state;
    struct kp_digest log[N_ANSWERS];
    struct kp_digest sealed[N_ANSWERS];
    put_range(w, 0, N);
    answer_all(w, log);
    seal_all(w);
    struct kp_store_stats stats;
    kp_store_get_stats(w->store, &stats);
    assert_int_equal(stats.n_sealed, N);
    answer_all(w, sealed);
    assert_same(log, sealed);
}

static void test_same_from_a_mix(void **state)
{
    struct world *w = *state;
    struct kp_digest log[N_ANSWERS];
    struct kp_digest mixed[N_ANSWERS];
    put_range(w, 0, N);
    answer_all(w, log);
    kp_store_close(w->store);
    kp_test_rmdir(w->dir);
    clock_ms = T0;
    w->dir = kp_test_tmpdir();
    w->store = open_store(w->dir, (struct kp_store_options){0});
    for (size_t i = 0; i < N; i++)
        kp_free(w->ids[i]);
    put_range(w, 0, 50);
    seal_all(w);
    put_range(w, 50, 170);
    seal_all(w);
    put_range(w, 170, N);
    answer_all(w, mixed);
    assert_same(log, mixed);
}

// Ids lead to both tiers, and damaged files are named.
static void test_ids_in_both_tiers(void **state)
{
    struct world *w = *state;
    put_range(w, 0, 100);
    seal_all(w);
    put_range(w, 100, N);
    const char *ids[N];
    size_t n = 0;
    struct named *expected = NULL;
    struct oracle oracle = {.w = w};
    for (size_t i = 0; i < N; i++) {
        if (strcmp(w->captures[i].type, "cpu") != 0)
            continue;
        ids[n++] = w->ids[i];
        add_values(&oracle, &w->captures[i], 0, 2, 1);
    }
    expected = oracle.sum;
    const struct kp_merge_query query = {.ids = ids, .n_ids = n, .plain_sum = true};
    struct kp_profile *p = NULL;
    struct kp_merge_stats stats;
    struct kp_error err = {0};
    if (kp_store_merge(w->store, &query, &p, &stats, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(stats.n_profiles, n);
    compare(p, expected);
    kp_profile_free(p);
}

// ---- damage ----

// The first segment file; free it.
static char *segment_path(const struct world *w)
{
    kp_auto_free char *pattern = kp_asprintf("%s/segments/*/*", w->dir);
    glob_t found;
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    char *path = kp_strdup(found.gl_pathv[0]);
    globfree(&found);
    return path;
}

// Whatever bit flips: captures are left out and counted, or the answer is an error; never a wrong sum.
static void test_damage_is_counted(void **state)
{
    struct world *w = *state;
    put_range(w, 0, 80);
    seal_all(w);
    for (bool more = true; more;) // the log's copies go
        assert_int_equal(kp_store_retain(w->store, &more, NULL), 0);
    kp_auto_free char *path = segment_path(w);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    uint64_t n_whole = 0;
    unsigned n_damaged = 0;
    for (off_t at = -1; at < st.st_size; at = at < 0 ? 0 : at + 37) {
        struct kp_merge_query query = {.select = {.type = "cpu"}};
        struct kp_merge_stats stats;
        struct kp_profile *p = NULL;
        struct kp_error err = {0};
        query.with_startup = at % 3 == 0; // with roll-ups and without
        if (at >= 0)
            flip_bit(path, at);
        int rc = kp_store_merge(w->store, &query, &p, &stats, &err);
        if (at >= 0)
            flip_bit(path, at);
        if (rc != 0) {
            assert_int_equal(rc, KP_CORRUPT);
            continue;
        }
        if (at < 0)
            n_whole = stats.n_profiles + stats.n_startup;
        n_damaged += stats.n_damaged > 0;
        assert_int_equal(stats.n_profiles + stats.n_startup + stats.n_damaged, n_whole);
        kp_profile_free(p);
    }
    assert_true(n_damaged > 0);
}

#define a_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        a_test(test_same_from_log_segments_and_both),
        a_test(test_same_from_a_mix),
        a_test(test_ids_in_both_tiers),
        a_test(test_damage_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
