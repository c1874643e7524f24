// What does not fit is stretched, fairly, and said: a group stretched by j is captured j times less often.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "base/text.h"
#include "plan/plan_private.h"
#include "base/banned.h"

#define CPU_OVERHEAD   0.03 // share of the target's CPU while a CPU profile or trace runs
#define OTHER_OVERHEAD 0.05 // collecting ones that wake often (fgprof)
#define SNAPSHOT_MS    300  // a place is held for so long by a snapshot that was never read
#define FILLING        0.9  // of places that can be planned: waiting for one is short then

// Of its profiles so many fit among the bytes in flight that it is not them who fill it.
#define MANY 1024

// All that is needed of the group's pods, in one pass: they lie all over the memory.
static void look(struct kp_plan *plan, struct kp_stretching *totals, struct kp_group *group)
{
    group->busy_ms = 0;
    group->is_small = true;
    group->byte_places = group->asked_per_minute = 0;
    for (size_t i = 0; i < group->tracks.n; i++) {
        struct kp_track *track = group->tracks.items[i];
        size_t bytes = kp_track_bytes(track);
        group->busy_ms = track->busy_ms > group->busy_ms ? track->busy_ms : group->busy_ms;
        group->is_small &= (int64_t)bytes <= plan->limits.bytes_in_flight / MANY;
        track->on_node = NULL;
        if (!track->sampled)
            continue;
        track->on_node = kp_count_get(&totals->nodes, track->member->target->pod->node);
        group->byte_places += 1 / fmax(floor((double)plan->limits.bytes_in_flight / (double)bytes), 1);
        // unstretched
        group->asked_per_minute +=
            60000.0 * group->stretch / ((double)group->interval_ms * kp_track_every(track));
    }
}

// How long one capture of the group holds its place.
static double hold_ms(const struct kp_group *group)
{
    if (group->duration_ms > 0)
        return (double)group->duration_ms + SNAPSHOT_MS;
    return fmax(SNAPSHOT_MS, (double)group->busy_ms);
}

static double load_of(const struct kp_group *group)
{
    return hold_ms(group) / (double)group->interval_ms;
}

double kp_plan_overhead_percent(const struct kp_wanted *wanted, int64_t interval_ms, int64_t busy_ms)
{
    double per_capture_ms =
        wanted->collecting ? (double)wanted->duration_ms * (wanted->exclusive ? CPU_OVERHEAD : OTHER_OVERHEAD)
                           : (double)busy_ms;
    return 100 * per_capture_ms / (double)interval_ms;
}

// What the group costs unstretched.
static double overhead_percent(const struct kp_group *group)
{
    struct kp_wanted wanted = *kp_track_wanted(group->tracks.items[0]);
    wanted.duration_ms = group->duration_ms;
    return kp_plan_overhead_percent(&wanted, group->interval_ms, group->busy_ms);
}

static void demand(struct kp_group *group, double factor, enum kp_stretch_cause cause)
{
    // a hair over a whole number is rounding, not demand
    int j = factor <= 1 ? 1 : (int)ceil(factor - 1e-9);
    if (j > group->next_stretch) {
        group->next_stretch = j;
        group->next_cause = cause;
    }
}

// ---- per workload ----

static bool same_process(const struct kp_group *a, const struct kp_group *b)
{
    const char *slash = strchr(a->key, '/');
    size_t n = (size_t)(slash - a->key) + 1;
    return strncmp(a->key, b->key, n) == 0; // the container's name
}

static void stretch_overhead(struct kp_work *work)
{
    for (struct kp_group *group = work->groups; group != NULL; group = group->hh.next) {
        double sum = 0, budget = kp_track_wanted(group->tracks.items[0])->overhead_percent;
        for (struct kp_group *other = work->groups; other != NULL; other = other->hh.next)
            if (same_process(group, other))
                sum += overhead_percent(other);
        if (budget > 0)
            demand(group, sum / budget, STRETCH_OVERHEAD);
    }
}

static void stretch_workload(struct kp_work *work)
{
    double load = 0;
    for (struct kp_group *group = work->groups; group != NULL; group = group->hh.next)
        load += (double)group->n_sampled * load_of(group) / group->next_stretch;
    double factor = load / (FILLING * work->allowed);
    for (struct kp_group *group = work->groups; group != NULL && factor > 1; group = group->hh.next)
        demand(group, factor * group->next_stretch, STRETCH_WORKLOAD);
}

// ---- over workloads ----

// Share of the bytes in flight that the group takes: places of the size of each that are needed, of those
// that are there (whole ones, one at least).
static double bytes_share(const struct kp_group *group)
{
    return load_of(group) / group->next_stretch * group->byte_places;
}

static int compare_loads(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

// loads is sorted on the way. Infinite when all fit as they are.
static double level_of(double *loads, size_t n, double room)
{
    if (n > 0) // else loads may be NULL
        qsort(loads, n, sizeof *loads, compare_loads);
    for (size_t i = 0; i < n; i++) {
        double part = room / (double)(n - i);
        if (loads[i] > part)
            return part;
        room -= loads[i];
    }
    return INFINITY;
}

static struct kp_slice *slice_get(struct kp_count *node, const char *namespace)
{
    for (size_t i = 0; i < node->slices.n; i++)
        if (kp_streq(node->slices.items[i].namespace, namespace))
            return &node->slices.items[i];
    struct kp_slice *slice = kp_array_add(&node->slices);
    *slice = (struct kp_slice){.namespace = namespace};
    return slice;
}

// What a namespace may not have anyway it does not take from others.
static double within_limit(const struct kp_plan *plan, const struct kp_count *namespace)
{
    double most = FILLING * plan->limits.per_namespace;
    return namespace->load > most ? most / namespace->load : 1;
}

static void add_to_namespace(struct kp_stretching *totals, const struct kp_work *work)
{
    struct kp_count *namespace = kp_count_get(&totals->namespaces, work->namespace);
    for (struct kp_group *group = work->groups; group != NULL; group = group->hh.next) {
        namespace->load += load_of(group) / group->next_stretch * (double)group->n_sampled;
        *(group->is_small ? &totals->small : &namespace->large) += bytes_share(group);
        namespace->bucket.rate +=
            1000.0 * (double)group->n_sampled / (double)(group->interval_ms * group->next_stretch);
    }
}

static void add_to_nodes(const struct kp_plan *plan, struct kp_stretching *totals, const struct kp_work *work)
{
    struct kp_count *namespace = kp_count_get(&totals->namespaces, work->namespace);
    double share = within_limit(plan, namespace);
    for (struct kp_group *group = work->groups; group != NULL; group = group->hh.next) {
        double each = load_of(group) / group->next_stretch * share;
        for (size_t i = 0; i < group->tracks.n; i++)
            if (group->tracks.items[i]->on_node != NULL)
                slice_get(group->tracks.items[i]->on_node, namespace->name)->load += each;
    }
}

static void find_levels(const struct kp_plan *plan, struct kp_stretching *totals)
{
    KP_ARRAY(double) loads = {0};
    KP_ARRAY(double) large = {0};
    for (const struct kp_count *n = totals->namespaces; n != NULL; n = n->hh.next) {
        *kp_array_add(&loads) = n->load * within_limit(plan, n);
        *kp_array_add(&large) = n->large;
    }
    totals->level = level_of(loads.items, loads.n, FILLING * plan->limits.total);
    totals->bytes_level = level_of(large.items, large.n, fmax(FILLING - totals->small, FILLING / 2));
    for (struct kp_count *node = totals->nodes; node != NULL; node = node->hh.next) {
        loads.n = 0;
        for (size_t i = 0; i < node->slices.n; i++)
            *kp_array_add(&loads) = node->slices.items[i].load;
        node->level = level_of(loads.items, loads.n, FILLING * plan->limits.per_node);
    }
    kp_array_free(&loads);
    kp_array_free(&large);
}

// On the fullest of the nodes where the group has pods.
static double node_factor(const struct kp_group *group, const char *namespace)
{
    double worst = 0;
    for (size_t i = 0; i < group->tracks.n; i++) {
        struct kp_count *node = group->tracks.items[i]->on_node;
        if (node != NULL)
            worst = fmax(worst, slice_get(node, namespace)->load / node->level);
    }
    return worst;
}

static void stretch_shares(const struct kp_plan *plan, struct kp_stretching *totals, struct kp_work *work)
{
    const struct kp_plan_limits *limits = &plan->limits;
    struct kp_count *count = kp_count_get(&totals->namespaces, work->namespace);
    double in_namespace = count->load / (FILLING * limits->per_namespace);
    double over = 1 / within_limit(plan, count);
    double all = count->load / totals->level;
    double bytes = count->large / totals->bytes_level;
    double rate = limits->captures_per_second_per_namespace > 0
                      ? count->bucket.rate / (FILLING * limits->captures_per_second_per_namespace)
                      : 0;
    for (struct kp_group *group = work->groups; group != NULL; group = group->hh.next) {
        int before = group->next_stretch;
        demand(group, node_factor(group, count->name) * over * before, STRETCH_NODE);
        demand(group, in_namespace * before, STRETCH_NAMESPACE);
        demand(group, rate * before, STRETCH_RATE);
        demand(group, all * before, STRETCH_TOTAL);
        if (!group->is_small)
            demand(group, bytes * before, STRETCH_BYTES);
    }
}

// ---- what it means for policies ----

static void fits_free(struct kp_policy_fit **fits)
{
    struct kp_policy_fit *fit, *next;
    HASH_ITER (hh, *fits, fit, next) {
        HASH_DEL(*fits, fit);
        kp_free(fit->key);
        kp_free(fit);
    }
}

static struct kp_policy_fit *fit_get(struct kp_policy_fit **fits, const char *key)
{
    struct kp_policy_fit *fit;
    HASH_FIND_STR(*fits, key, fit);
    if (fit == NULL) {
        fit = KP_NEW(struct kp_policy_fit);
        fit->key = kp_strdup(key);
        HASH_ADD_KEYPTR(hh, *fits, fit->key, strlen(fit->key), fit);
    }
    return fit;
}

static double mean_mib(const struct kp_group *group)
{
    double sum = 0;
    for (size_t i = 0; i < group->tracks.n; i++)
        sum += (double)kp_track_bytes(group->tracks.items[i]);
    return sum / (double)group->tracks.n / (1 << 20);
}

static void add_to_fit(struct kp_policy_fit *fit, const struct kp_group *group, double asked)
{
    fit->asked += asked;
    fit->possible += asked / group->stretch;
    if (group->stretch <= fit->worst || group->stretch == 1)
        return;
    char from[KP_DURATION_TEXT], to[KP_DURATION_TEXT];
    fit->worst = group->stretch;
    fit->cause = group->cause;
    char size[40] = "";
    if (group->cause == STRETCH_BYTES)
        snprintf(size, sizeof size, ", %.3g MiB each", mean_mib(group));
    snprintf(fit->example, sizeof fit->example, "%s of %s every %s instead of %s%s", group->type,
        group->work->key, kp_duration_format(to, group->interval_ms * group->stretch),
        kp_duration_format(from, group->interval_ms), size);
}

void kp_work_set_allowed(struct kp_work *work)
{
    struct kp_int_or_percent least = {.value = 100, .is_percent = true};
    for (size_t i = 0; i < work->list.n; i++) {
        const struct kp_target *target = work->list.items[i]->target;
        for (size_t w = 0; w < target->n_wanted; w++) {
            struct kp_int_or_percent c = target->wanted[w].concurrent;
            if (kp_int_or_percent_of(c, (int)work->list.n) < kp_int_or_percent_of(least, (int)work->list.n))
                least = c;
        }
    }
    // shares round down here: 25 % of 7 pods is one, not two
    int allowed = least.is_percent ? (int)work->list.n * least.value / 100 : least.value;
    work->allowed = allowed < 1 ? 1 : allowed;
}

static void apply(const struct kp_plan *plan, struct kp_policy_fit **fits, struct kp_group *group)
{
    int64_t most = plan->limits.max_stretch_ms / group->interval_ms;
    if (group->next_stretch > most)
        group->next_stretch = most > 1 ? (int)most : 1;
    group->stretch = group->next_stretch;
    group->cause = group->next_cause;
    const struct kp_wanted *wanted = kp_track_wanted(group->tracks.items[0]);
    for (size_t p = 0; p < wanted->n_policies; p++)
        add_to_fit(fit_get(fits, wanted->policies[p]->key), group, group->asked_per_minute);
}

// ---- step by step ----

static size_t n_tracks_of(const struct kp_work *work)
{
    size_t n = 0;
    for (const struct kp_group *group = work->groups; group != NULL; group = group->hh.next)
        n += group->tracks.n;
    return n;
}

static void look_at(struct kp_plan *plan, struct kp_work *work, int64_t now_ms)
{
    for (struct kp_group *group = work->groups; group != NULL; group = group->hh.next) {
        if (group->slot ==
            INT64_MIN) // else who is sampled is settled with the slot, and anew with every change
            group->n_sampled = kp_group_sample(group, now_ms);
        group->next_stretch = 1;
        group->next_cause = STRETCH_NONE;
        look(plan, &plan->stretching, group);
    }
    stretch_overhead(work);
    stretch_workload(work);
}

static void do_work(struct kp_plan *plan, struct kp_work *work, int64_t now_ms)
{
    struct kp_stretching *s = &plan->stretching;
    switch (s->phase) {
    case STRETCH_LOOK:
        look_at(plan, work, now_ms);
        break;
    case STRETCH_NAMESPACES:
        add_to_namespace(s, work);
        break;
    case STRETCH_NODES:
        add_to_nodes(plan, s, work);
        break;
    case STRETCH_SHARES:
        stretch_shares(plan, s, work);
        break;
    case STRETCH_APPLY:
        for (struct kp_group *group = work->groups; group != NULL; group = group->hh.next)
            apply(plan, &s->fits, group);
        break;
    case STRETCH_IDLE:
        break;
    }
}

static void clear(struct kp_stretching *s)
{
    kp_counts_free(&s->nodes);
    kp_counts_free(&s->namespaces);
    fits_free(&s->fits);
    *s = (struct kp_stretching){.phase = STRETCH_IDLE};
}

static void end_phase(struct kp_plan *plan)
{
    struct kp_stretching *s = &plan->stretching;
    if (s->phase == STRETCH_NAMESPACES)
        plan->shared = HASH_COUNT(s->namespaces) > 1;
    else if (s->phase == STRETCH_NODES)
        find_levels(plan, s);
    if (s->phase < STRETCH_APPLY) {
        s->phase++;
        s->next = plan->works;
        return;
    }
    fits_free(&plan->fits);
    plan->fits = kp_take(s->fits);
    clear(s);
}

void kp_stretching_begin(struct kp_plan *plan)
{
    clear(&plan->stretching);
    plan->stretching.phase = STRETCH_LOOK;
    plan->stretching.next = plan->works;
}

bool kp_stretching_step(struct kp_plan *plan, int64_t now_ms, size_t n_tracks)
{
    struct kp_stretching *s = &plan->stretching;
    size_t done = 0;
    while (s->phase != STRETCH_IDLE && done < n_tracks) {
        struct kp_work *work = s->next;
        if (work == NULL) {
            end_phase(plan);
            continue;
        }
        s->next = work->hh.next;
        do_work(plan, work, now_ms);
        done += 1 + n_tracks_of(work);
    }
    return s->phase != STRETCH_IDLE;
}

void kp_stretching_forget(struct kp_plan *plan, const struct kp_work *work)
{
    if (plan->stretching.next == work)
        plan->stretching.next = work->hh.next;
}

void kp_stretching_finish(struct kp_plan *plan)
{
    clear(&plan->stretching);
    fits_free(&plan->fits);
}

void kp_plan_settle(struct kp_plan *plan, int64_t now_ms)
{
    kp_stretching_begin(plan);
    while (kp_stretching_step(plan, now_ms, SIZE_MAX))
        ;
    plan->stretch_dirty = false;
    plan->stretch_due_ms = now_ms;
}

void kp_plan_feasible(struct kp_plan *plan, const char *policy_key, int64_t now_ms, struct kp_feasible *ret)
{
    static const struct {
        const char *reason, *words;
    } causes[] = {
        [STRETCH_NONE] = {"Fits", ""},
        [STRETCH_OVERHEAD] = {"OverheadBudget", "budget.overheadPercent of the policy"},
        [STRETCH_WORKLOAD] = {"ConcurrencyPerWorkload", "budget.concurrentPerWorkload of the policy"},
        [STRETCH_NODE] = {"ConcurrencyPerNode", "the controller's --max-captures-per-node"},
        [STRETCH_NAMESPACE] = {"ConcurrencyPerNamespace", "the controller's --max-captures-per-namespace"},
        [STRETCH_TOTAL] = {"ConcurrencyTotal", "the controller's --max-captures"},
        [STRETCH_BYTES] = {"ByteBudget", "the controller's --max-bytes-in-flight"},
        [STRETCH_RATE] = {"RatePerNamespace", "the controller's --captures-per-second-per-namespace"},
    };
    struct kp_policy_fit *fit;
    (void)now_ms;
    *ret = (struct kp_feasible){.ok = true, .reason = causes[STRETCH_NONE].reason};
    HASH_FIND_STR(plan->fits, policy_key, fit);
    if (fit == NULL)
        return;
    ret->asked_per_minute = fit->asked;
    ret->possible_per_minute = fit->possible;
    ret->ok = fit->worst <= 1;
    ret->reason = causes[fit->cause].reason;
    if (ret->ok)
        snprintf(ret->message, sizeof ret->message, "%.3g captures a minute fit", fit->asked);
    else
        snprintf(ret->message, sizeof ret->message,
            "%.3g captures a minute asked, %.3g possible under %s: %s", fit->asked, fit->possible,
            causes[fit->cause].words, fit->example);
}
