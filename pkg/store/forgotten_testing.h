// What the tests of forgetting share: an oracle that knows what every way of reading has to show. Tests only.
#ifndef KP_STORE_FORGOTTEN_TESTING_H
#define KP_STORE_FORGOTTEN_TESTING_H

#include "store/seal_testing.h"

#define N       60
#define MINUTES INT64_C(60000)

static const struct kp_store_options options = {.log_file_bytes = 20000};
static const char *const namespaces[] = {"shop", "pay", ""};

struct known {
    char *id;
    const char *namespace, *pod;
    int64_t start_ms, received_ms;
};

struct world {
    char *dir;
    struct kp_store *store;
    struct known all[2 * N];
    size_t n, turn;
    int64_t before_ms[KP_COUNT(namespaces)];
};

static inline size_t index_of(const char *namespace)
{
    for (size_t i = 0; i < KP_COUNT(namespaces); i++)
        if (strcmp(namespaces[i], namespace) == 0)
            return i;
    return 0;
}

static inline bool is_visible(const struct world *w, const struct known *k)
{
    int64_t before_ms = w->before_ms[index_of(k->namespace)];
    return k->start_ms >= before_ms && k->received_ms >= before_ms;
}

// One a minute; every seventh was on its way for half an hour.
static inline void put_one(struct world *w)
{
    static const char *const pods[] = {"p0", "p1"};
    struct known *k = &w->all[w->n];
    clock_ms += MINUTES;
    *k = (struct known){.namespace = namespaces[w->turn % KP_COUNT(namespaces)],
        .pod = pods[w->turn / 3 % 2],
        .start_ms = clock_ms - (w->turn % 7 == 3 ? 30 * MINUTES : 1000),
        .received_ms = clock_ms};
    kp_auto_free char *key = kp_asprintf("key-%zu", w->turn);
    k->id = put_capture(w->store, (struct capture){.namespace = k->namespace,
                                      .pod = k->pod,
                                      .digest = "d",
                                      .key = key,
                                      .start_ms = k->start_ms,
                                      .seed = w->turn});
    w->turn++;
    if (k->id)
        w->n++;
    else // it was on its way when it was forgotten
        assert_false(is_visible(w, k));
}

static inline void begin(struct world *w)
{
    *w = (struct world){.dir = kp_test_tmpdir()};
    clock_ms = T0 / DAY * DAY + 10 * HOUR + 50 * MINUTES;
    w->store = open_store(w->dir, options);
    for (size_t i = 0; i < N; i++)
        put_one(w);
}

static inline void end(struct world *w)
{
    kp_store_close(w->store);
    for (size_t i = 0; i < w->n; i++)
        kp_free(w->all[i].id);
    kp_test_rmdir(w->dir);
}

static inline void forget(struct world *w, size_t namespace, int64_t before_ms)
{
    struct kp_error err = {0};
    if (kp_store_forget_namespace(w->store, namespaces[namespace], before_ms, &err) != 0)
        fail_msg("%s", err.text);
    if (before_ms > w->before_ms[namespace])
        w->before_ms[namespace] = before_ms;
}

// ---- what is shown ----

struct sums {
    uint64_t profiles, first_ms, last_ms;
};

static inline void on_service(void *user, const struct kp_service_info *info)
{
    struct sums *sums = user;
    struct sums *s = &sums[index_of(info->namespace)];
    s->profiles += info->n_profiles;
    s->first_ms = (uint64_t)info->first_ms;
    s->last_ms = (uint64_t)info->last_ms;
}

static inline void on_text(void *user, const char *text, uint64_t n)
{
    struct sums *sums = user;
    sums[strcmp(text, "p1") == 0].profiles += n;
}

static inline size_t count_merged(struct kp_store *store, const char *namespace)
{
    const struct kp_merge_query q = {.select = {.namespace = namespace, .type = "cpu"}, .with_startup = true};
    struct kp_profile *profile = NULL;
    struct kp_merge_stats stats = {0};
    int rc = kp_store_merge(store, &q, &profile, &stats, NULL);
    assert_true(rc == 0 || rc == KP_NOT_FOUND);
    kp_profile_free(profile);
    return rc == 0 ? stats.n_profiles : 0;
}

static inline void check_one_namespace(
    const struct world *w, size_t namespace, struct sums shown, bool settled)
{
    uint64_t by_pod[2] = {0, 0};
    struct sums labels[2] = {{0}};
    struct sums timed[2] = {{0}};
    int64_t first_ms = INT64_MAX;
    int64_t last_ms = 0;
    const struct kp_store_query q = {.namespace = namespaces[namespace]};
    const struct kp_store_query ever = {.namespace = namespaces[namespace], .from_ms = 1};
    for (size_t i = 0; i < w->n; i++) {
        const struct known *k = &w->all[i];
        if (strcmp(k->namespace, namespaces[namespace]) != 0 || !is_visible(w, k))
            continue;
        by_pod[k->pod[1] - '0']++;
        first_ms = k->start_ms < first_ms ? k->start_ms : first_ms;
        last_ms = k->start_ms > last_ms ? k->start_ms : last_ms;
    }
    uint64_t n = by_pod[0] + by_pod[1];
    assert_int_equal(count(w->store, q, NULL), n);
    assert_int_equal(shown.profiles, n);
    if (n > 0 && !settled) { // rows that are dead do not narrow the times of a segment
        assert_int_equal(shown.first_ms, first_ms);
        assert_int_equal(shown.last_ms, last_ms);
    }
    assert_int_equal(kp_store_labels(w->store, &q, "k8s.pod", on_text, labels, NULL), 0);
    assert_int_equal(kp_store_labels(w->store, &ever, "k8s.pod", on_text, timed, NULL), 0);
    for (int pod = 0; pod < 2; pod++) {
        assert_int_equal(labels[pod].profiles, by_pod[pod]);
        assert_int_equal(timed[pod].profiles, by_pod[pod]);
    }
    assert_int_equal(count_merged(w->store, namespaces[namespace]), n);
}

static inline void check_times(const struct world *w, bool settled)
{
    struct sums sums[KP_COUNT(namespaces)] = {{0}};
    struct sums labels[2] = {{0}};
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++) {
        bool visible = is_visible(w, &w->all[i]);
        struct kp_record record;
        struct kp_blob *body;
        int rc = kp_store_get(w->store, w->all[i].id, &record, &body, NULL);
        assert_int_equal(rc, visible ? 0 : KP_NOT_FOUND);
        if (rc == 0) {
            kp_record_finish(&record);
            kp_blob_unref(body);
        }
        n += visible;
    }
    assert_int_equal(count(w->store, (struct kp_store_query){0}, NULL), n);
    assert_int_equal(count(w->store, (struct kp_store_query){.newest_first = true}, NULL), n);
    assert_int_equal(kp_store_services(w->store, NULL, on_service, sums, NULL), 0);
    assert_int_equal(
        kp_store_labels(w->store, &(struct kp_store_query){0}, "k8s.pod", on_text, labels, NULL), 0);
    assert_int_equal(labels[0].profiles + labels[1].profiles, n);
    for (size_t i = 0; i < KP_COUNT(namespaces); i++)
        check_one_namespace(w, i, sums[i], settled);
    assert_int_equal(wrong_in(w->store), 0);
}

static inline void check(const struct world *w)
{
    check_times(w, true);
}

static inline void restart(struct world *w, int what)
{
    kp_store_close(w->store);
    lose(w->dir, what);
    w->store = open_store(w->dir, options);
}

// ---- tiers ----

// Where the profiles lie when they are forgotten: all in the log, some of each, all in segments, in days.
static inline void set_tier(struct world *w, int tier)
{
    if (tier == 1)
        seal_all(w->store, false);
    if (tier >= 2)
        seal_all(w->store, true);
    if (tier == 3) {
        clock_ms += 2 * DAY;
        seal_all(w->store, true);
    }
}

#endif
