#include "store/mergequery.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "profile/merge.h"
#include "store/lives.h"
#include "store/names.h"
#include "store/walk.h"
#include "base/banned.h"

#define MAX_AGAIN 3

struct merge {
    const struct kp_merge_query *query;
    struct kp_walk walk;
    struct kp_picks *picks;
    struct kp_builds builds;
    struct kp_merger *merger;
    struct kp_lives lives;
    uint64_t life; // being walked through
    struct kp_build *life_build;
    uint64_t last_shape;          // taken in last
    int64_t more_ns, earliest_ns; // of captures of a shape that was taken in before
    struct kp_merge_stats stats;
};

// ---- headers ----

static int take_header(struct merge *m, const struct kp_walk_capture *c, struct kp_error *err)
{
    int64_t duration_ns = c->duration_ns;
    if (m->query->weigh_by_sampling)
        duration_ns =
            llround((double)duration_ns * c->weight < 9e18 ? (double)duration_ns * c->weight : 9e18);
    if (c->shape_id != 0 && c->shape_id == m->last_shape) {
        if (__builtin_add_overflow(m->more_ns, duration_ns, &m->more_ns))
            m->more_ns = INT64_MAX;
        if (c->time_ns != 0 && (m->earliest_ns == 0 || c->time_ns < m->earliest_ns))
            m->earliest_ns = c->time_ns;
        return 0;
    }
    const struct kp_merge_header header = {c->shape, c->time_ns, duration_ns};
    m->last_shape = c->shape_id;
    return kp_merger_add_header(m->merger, &header, err);
}

static void set_times(const struct merge *m, struct kp_profile *p)
{
    if (__builtin_add_overflow(p->duration_ns, m->more_ns, &p->duration_ns))
        p->duration_ns = INT64_MAX;
    if (m->earliest_ns != 0 && (p->time_ns == 0 || m->earliest_ns < p->time_ns))
        p->time_ns = m->earliest_ns;
}

// ---- values ----

static void add_column(struct merge *m, const struct kp_walk_capture *c, uint32_t type, double factor)
{
    struct kp_sums *sums = &c->build->sums;
    double *to = sums->values + type;
    const int64_t *from = c->values + type * c->type_step;
    (void)m;
    if (factor == 1) {
        for (uint32_t i = 0; i < c->n_samples; i++)
            to[(size_t)c->rows[i] * sums->n_types] += (double)from[i * c->sample_step];
        return;
    }
    for (uint32_t i = 0; i < c->n_samples; i++)
        to[(size_t)c->rows[i] * sums->n_types] += (double)from[i * c->sample_step] * factor;
}

struct grown {
    struct kp_sums *sums;
    const enum kp_aggregation *rules;
};

static void add_grown(void *user, uint32_t row, const double *grown)
{
    const struct grown *g = user;
    double *to = g->sums->values + (size_t)row * g->sums->n_types;
    for (uint32_t t = 0; t < g->sums->n_types; t++)
        if (g->rules[t] == KP_AGGREGATE_DELTA)
            to[t] += grown[t];
}

// The first capture of a life is what the next is compared with, unless the life began inside the time asked
// for: then all it says came about in that time.
static void add_counters(struct merge *m, const struct kp_walk_capture *c)
{
    bool is_first = m->lives.this_life == 0 || c->pick->life != m->life || c->build != m->life_build;
    bool counts = !c->pick->is_startup;
    m->lives.n_types = c->build->sums.n_types;
    if (is_first) {
        kp_lives_begin_life(&m->lives);
        m->life = c->pick->life;
        m->life_build = c->build;
        counts = counts && kp_walk_began_inside(&m->walk, c->pick) != 0;
    }
    for (uint32_t i = 0; i < c->n_samples; i++) {
        double *now = kp_lives_at(&m->lives, c->rows[i]);
        for (uint32_t t = 0; t < c->build->sums.n_types; t++)
            now[t] += (double)c->values[i * c->sample_step + t * c->type_step];
    }
    struct grown grown = {&c->build->sums, c->rules};
    kp_lives_end_capture(&m->lives, counts ? add_grown : NULL, &grown);
}

static int on_capture(void *user, const struct kp_walk_capture *c, struct kp_error *err)
{
    struct merge *m = user;
    bool has_counters = false;
    bool is_startup = c->pick && c->pick->is_startup;
    int rc = is_startup ? 0 : take_header(m, c, err);
    if (rc != 0)
        return rc;
    for (uint32_t t = 0; t < c->build->sums.n_types; t++) {
        if (c->rules[t] == KP_AGGREGATE_DELTA)
            has_counters = true;
        else if (is_startup)
            continue;
        else if (c->rules[t] == KP_AGGREGATE_GAUGE)
            add_column(m, c, t, 1.0 / m->picks->n_at_a_moment[c->pick->pod]);
        else
            add_column(m, c, t, m->query->weigh_by_sampling ? c->weight : 1);
    }
    if (has_counters)
        add_counters(m, c);
    return 0;
}

static size_t more_bytes(void *user)
{
    const struct merge *m = user;
    return kp_lives_bytes(&m->lives) + m->picks->n * sizeof *m->picks->items;
}

// ---- the sum ----

static void join_builds(struct merge *m)
{
    struct kp_profile *so_far = kp_merger_profile(m->merger);
    const struct kp_merge_header header = {so_far, so_far->time_ns, so_far->duration_ns};
    struct kp_names names = {.merger = kp_merger_create()};
    if (kp_merger_add_header(names.merger, &header, NULL) == 0) // it is the first
        for (const struct kp_build *b = m->builds.all; b; b = b->hh.next)
            kp_names_add(&names, b->symbols, &b->sums);
    kp_profile_free(so_far);
    kp_builds_finish(&m->builds); // the first has the symbols of the merger
    kp_merger_destroy(m->merger);
    m->merger = names.merger;
    kp_names_finish(&names);
}

static int make_profile(struct merge *m, struct kp_profile **ret, struct kp_error *err)
{
    if (m->builds.n > 1) {
        join_builds(m);
    } else if (m->builds.all) {
        const struct kp_sums *sums = &m->builds.all->sums;
        for (uint32_t row = 0; row < sums->n_rows; row++)
            kp_merger_add_row(m->merger, sums->keys[row].node, sums->keys[row].label_set,
                sums->values + (size_t)row * sums->n_types);
    }
    if (kp_merger_is_full(m->merger))
        return kp_fail(err, KP_LIMIT,
            "the samples of the sum take more than %u MiB: ask for less time, fewer pods or one revision",
            KP_MERGER_MAX_SAMPLE_BYTES >> 20);
    *ret = kp_merger_profile(m->merger);
    set_times(m, *ret);
    return 0;
}

static void set_stats(struct merge *m)
{
    struct kp_merge_stats *stats = &m->stats;
    kp_auto_free bool *seen = KP_NEW_ARRAY(bool, (size_t)m->picks->n_pods + 1);
    stats->n_startup = m->picks->n_startup;
    stats->n_other_duration = m->picks->n_other_duration;
    for (size_t i = 0; i < m->picks->n; i++) {
        const struct kp_pick *pick = &m->picks->items[i];
        if (pick->is_startup)
            continue;
        stats->n_profiles++;
        stats->n_pods += !seen[pick->pod];
        seen[pick->pod] = true;
        if (stats->n_profiles == 1 || pick->start_ms < stats->first_ms)
            stats->first_ms = pick->start_ms;
        if (stats->n_profiles == 1 || pick->start_ms > stats->last_ms)
            stats->last_ms = pick->start_ms;
    }
}

static void init(struct merge *m, struct kp_store *store)
{
    m->merger = kp_merger_create();
    m->builds.lent = kp_merger_symbols(m->merger);
    m->walk = (struct kp_walk){.store = store,
        .query = m->query,
        .picks = m->picks,
        .builds = &m->builds,
        .may_use_rollups = !m->picks->without_rollups,
        .more_bytes = more_bytes,
        .each = on_capture,
        .user = m};
    set_stats(m);
}

int kp_merge_picks(struct kp_store *store, const struct kp_merge_query *query, struct kp_picks *picks,
    struct kp_profile **ret, struct kp_merge_stats *ret_stats, struct kp_error *err)
{
    struct merge m = {.query = query, .picks = picks};
    init(&m, store);
    int rc = kp_walk_run(&m.walk, err);
    kp_walk_finish(&m.walk);
    picks->lost_rollup = m.walk.lost_rollup;
    m.stats.n_builds = m.builds.n;
    m.stats.n_damaged = m.walk.n_damaged + picks->hits.n_damaged;
    m.stats.n_profiles -= m.walk.n_damaged;
    if (rc == 0 && m.stats.n_profiles == 0)
        rc = kp_fail(err, KP_CORRUPT, "none of the profiles that match can be read");
    if (rc == 0)
        rc = make_profile(&m, ret, err);
    if (rc == 0 && ret_stats)
        *ret_stats = m.stats;
    kp_builds_finish(&m.builds);
    kp_merger_destroy(m.merger);
    kp_lives_finish(&m.lives);
    return rc;
}

// Begun again where it turns out that what was counted on cannot be read: a roll-up that stood for others, or
// captures that a pod's average was to be over.
struct again {
    bool without_rollups;
    KP_ARRAY(uint64_t) damaged;
    unsigned n;
};

static bool is_again(
    const struct kp_merge_query *query, int rc, const struct kp_picks *picks, struct again *again)
{
    bool lost_rollup = rc == KP_CORRUPT && picks->lost_rollup;
    bool lost_moment = rc == 0 && picks->damaged.n > 0 && !kp_merge_is_plain(query);
    if (again->n++ >= MAX_AGAIN || (!lost_rollup && !lost_moment))
        return false;
    again->without_rollups |= lost_rollup;
    for (size_t i = 0; i < picks->damaged.n; i++)
        *kp_array_add(&again->damaged) = picks->damaged.items[i];
    return true;
}

int kp_store_merge(struct kp_store *store, const struct kp_merge_query *query, struct kp_profile **ret,
    struct kp_merge_stats *ret_stats, struct kp_error *err)
{
    struct again again = {0};
    struct kp_error why = {0};
    struct kp_profile *sum = NULL;
    int rc = 0;
    bool more = true;
    while (more) {
        struct kp_picks picks;
        kp_error_clear(&why);
        rc = kp_picks_find(store, query, &picks, &why);
        if (rc != 0)
            break;
        picks.without_rollups = again.without_rollups;
        if (again.damaged.n > 0)
            kp_picks_leave_out(&picks, again.damaged.items, again.damaged.n);
        rc = kp_merge_picks(store, query, &picks, &sum, ret_stats, &why);
        more = is_again(query, rc, &picks, &again);
        if (more)
            kp_profile_free(kp_take(sum));
        kp_picks_finish(&picks);
    }
    kp_array_free(&again.damaged);
    if (rc == 0)
        *ret = sum;
    return rc == 0 ? 0 : kp_fail(err, rc, "%s", why.text);
}
