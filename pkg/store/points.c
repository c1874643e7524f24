// kp_store_points.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/map.h"
#include "base/text.h"
#include "store/lives.h"
#include "store/walk.h"
#include "base/banned.h"

#define MAX_POINTS 11000

enum { UNMARKED = 0, MARKED = 1 };

struct group {
    uint32_t at;
    UT_hash_handle hh;
    char name[];
};

// What the captures of a pod come to in one step.
struct cell {
    const struct group *group;
    int64_t time_ms;
    uint32_t pod, n;
    bool is_rate;
    double value, seconds;
};

struct points {
    const struct kp_points_query *query;
    struct kp_walk walk;
    struct kp_picks picks;
    struct kp_builds builds;
    struct kp_lives lives;
    struct group *groups;
    const struct group *group; // of this series
    uint32_t series;
    KP_ARRAY(struct cell) cells;
    uint64_t last_shape;
    uint32_t column;
    char *unit;
    uint64_t life;
    struct kp_build *life_build;
    int64_t life_ms; // of the capture before
    double grown;    // of this capture
    const uint8_t *marks;
    const struct kp_sums_key *keys;
};

// ---- which column ----

static int no_such_type(const struct points *p, const struct kp_profile *shape, struct kp_error *err)
{
    char shown[64];
    const char *asked = p->query->sample_type;
    struct kp_strbuf have;
    kp_strbuf_init(&have, 150);
    for (uint32_t t = 0; t < shape->n_sample_types; t++) {
        struct kp_str name = kp_profile_str(shape, shape->sample_types[t].type);
        kp_strbuf_addf(&have, "%s%.*s", t > 0 ? ", " : "", (int)(name.len < 40 ? name.len : 40), name.data);
    }
    int rc = kp_fail(err, KP_INVALID, "there is no sample type '%s': the profiles have %s",
        kp_printable(shown, sizeof shown, asked ? asked : "", asked ? strlen(asked) : 0), have.data);
    kp_strbuf_finish(&have);
    return rc;
}

static int find_column(struct points *p, const struct kp_walk_capture *c, struct kp_error *err)
{
    if (c->shape_id != 0 && c->shape_id == p->last_shape)
        return 0;
    int column = kp_profile_type_index(c->shape, p->query->sample_type);
    if (column < 0)
        return no_such_type(p, c->shape, err);
    p->column = (uint32_t)column;
    p->last_shape = c->shape_id;
    return 0;
}

// Windows and counters are rates. Time per time is a bare number.
static void set_unit(struct points *p, const struct kp_profile *shape, bool is_rate)
{
    const struct kp_value_type *type = &shape->sample_types[p->column];
    struct kp_str unit = kp_profile_str(shape, type->unit);
    if (p->unit)
        return;
    if (!is_rate)
        p->unit = kp_strndup(unit.data, unit.len);
    else if (kp_profile_str_is(shape, type->unit, "nanoseconds"))
        p->unit = kp_strdup(kp_profile_str_is(shape, type->type, "cpu") ? "cores" : "seconds/second");
    else
        p->unit = kp_asprintf("%.*s/second", (int)(unit.len < 64 ? unit.len : 64), unit.data);
}

// ---- which rows ----

static bool calls(const struct kp_symbols *s, uint32_t location, uint32_t name)
{
    const struct kp_sym_location *l = &s->locations[location];
    for (uint32_t i = 0; i < l->n_lines; i++)
        if (s->functions[s->lines[l->first_line + i].function].name == name)
            return true;
    return false;
}

// A node is marked if the function is on its stack; callers have lower numbers than what they call.
static void mark_nodes(struct kp_build *build, const char *function)
{
    struct kp_symbols *s = build->symbols;
    if (build->n_marks == s->n_nodes)
        return;
    uint32_t name = kp_symbols_string(s, function, (uint32_t)strlen(function));
    if (s->n_nodes > build->cap_marks) {
        build->cap_marks = s->n_nodes + s->n_nodes / 2;
        build->marks = kp_grow(build->marks, build->cap_marks, sizeof *build->marks);
    }
    for (uint32_t node = build->n_marks; node < s->n_nodes; node++) {
        bool is_root = node == 0;
        bool marked = !is_root && (build->marks[s->nodes[node].parent] == MARKED ||
                                      calls(s, s->nodes[node].location, name));
        build->marks[node] = marked ? MARKED : UNMARKED;
    }
    build->n_marks = s->n_nodes;
}

static bool counts(const struct points *p, uint32_t row)
{
    return p->marks == NULL || p->marks[p->keys[row].node] == MARKED;
}

static double total_of(const struct points *p, const struct kp_walk_capture *c)
{
    const int64_t *values = c->values + p->column * c->type_step;
    double total = 0;
    for (uint32_t i = 0; i < c->n_samples; i++)
        if (counts(p, c->rows[i]))
            total += (double)values[i * c->sample_step];
    return total;
}

static void add_grown(void *user, uint32_t row, const double *grown)
{
    struct points *p = user;
    if (counts(p, row))
        p->grown += grown[0];
}

// ---- groups and cells ----

static const struct group *group_of(struct points *p, const struct kp_series *series)
{
    if (p->group && p->series == series->id)
        return p->group;
    const char *name = p->query->group_by ? kp_series_lookup(series, p->query->group_by) : NULL;
    struct group *group = NULL;
    name = name ? name : "";
    HASH_FIND_STR(p->groups, name, group);
    if (group == NULL) {
        size_t len = strlen(name);
        group = kp_calloc(1, sizeof *group + len + 1);
        memcpy(group->name, name, len);
        HASH_ADD_KEYPTR(hh, p->groups, group->name, len, group);
    }
    p->group = group;
    p->series = series->id;
    return group;
}

static int64_t step_of(const struct points *p, int64_t time_ms)
{
    int64_t rest = time_ms % p->query->step_ms;
    return time_ms - (rest < 0 ? rest + p->query->step_ms : rest);
}

static void add_cell(
    struct points *p, const struct kp_walk_capture *c, bool is_rate, double value, double seconds)
{
    const struct cell cell = {.group = group_of(p, kp_pick_series(&p->picks, c->pick)),
        .time_ms = step_of(p, c->pick->start_ms),
        .pod = c->pick->pod,
        .n = 1,
        .is_rate = is_rate,
        .value = value,
        .seconds = seconds};
    struct cell *last = p->cells.n > 0 ? &p->cells.items[p->cells.n - 1] : NULL;
    if (last && last->group == cell.group && last->time_ms == cell.time_ms && last->pod == cell.pod &&
        last->is_rate == is_rate) {
        last->n++;
        last->value += value;
        last->seconds += seconds;
    } else {
        *kp_array_add(&p->cells) = cell;
    }
}

// ---- captures ----

static void add_window(struct points *p, const struct kp_walk_capture *c)
{
    double seconds = c->duration_ns > 0 ? (double)c->duration_ns / 1e9 : (double)c->pick->duration_ms / 1e3;
    double weight = p->query->merge.weigh_by_sampling ? c->weight : 1;
    if (seconds > 0) // nothing can be said per second otherwise
        add_cell(p, c, true, total_of(p, c) * weight, seconds);
}

static void add_counter(struct points *p, const struct kp_walk_capture *c)
{
    bool is_first = p->lives.this_life == 0 || c->pick->life != p->life || c->build != p->life_build;
    int64_t before_ms = p->life_ms;
    if (is_first) {
        kp_lives_begin_life(&p->lives);
        p->life = c->pick->life;
        p->life_build = c->build;
        before_ms = kp_walk_began_inside(&p->walk, c->pick);
    }
    const int64_t *values = c->values + p->column * c->type_step;
    p->lives.n_types = 1;
    for (uint32_t i = 0; i < c->n_samples; i++)
        *kp_lives_at(&p->lives, c->rows[i]) += (double)values[i * c->sample_step];
    p->grown = 0;
    bool known = !c->pick->is_startup && before_ms != 0 && c->pick->start_ms > before_ms;
    kp_lives_end_capture(&p->lives, known ? add_grown : NULL, p);
    if (known)
        add_cell(p, c, true, p->grown, (double)(c->pick->start_ms - before_ms) / 1e3);
    p->life_ms = c->pick->start_ms;
}

static int on_capture(void *user, const struct kp_walk_capture *c, struct kp_error *err)
{
    struct points *p = user;
    int rc = find_column(p, c, err);
    if (rc != 0)
        return rc;
    if (p->query->function) {
        mark_nodes(c->build, p->query->function);
        p->marks = c->build->marks;
        p->keys = c->build->sums.keys;
    }
    enum kp_aggregation rule = c->rules[p->column];
    set_unit(p, c->shape, rule != KP_AGGREGATE_GAUGE);
    if (rule == KP_AGGREGATE_DELTA)
        add_counter(p, c);
    else if (c->pick->is_startup)
        return 0;
    else if (rule == KP_AGGREGATE_GAUGE)
        add_cell(p, c, false, total_of(p, c), 1);
    else
        add_window(p, c);
    return 0;
}

static size_t more_bytes(void *user)
{
    const struct points *p = user;
    return kp_lives_bytes(&p->lives) + p->picks.n * sizeof *p->picks.items +
           p->cells.cap * sizeof *p->cells.items;
}

// ---- the answer ----

static int by_group_and_time(const void *pa, const void *pb)
{
    const struct cell *a = pa;
    const struct cell *b = pb;
    if (a->group != b->group)
        return a->group->at < b->group->at ? -1 : 1;
    if (a->time_ms != b->time_ms)
        return a->time_ms < b->time_ms ? -1 : 1;
    if (a->pod != b->pod)
        return a->pod < b->pod ? -1 : 1;
    return a->is_rate - b->is_rate;
}

static int by_name(const struct group *a, const struct group *b)
{
    return strcmp(a->name, b->name);
}

static void sort_cells(struct points *p)
{
    uint32_t at = 0;
    HASH_SORT(p->groups, by_name);
    for (struct group *g = p->groups; g; g = g->hh.next)
        g->at = at++;
    if (p->cells.n > 1)
        qsort(p->cells.items, p->cells.n, sizeof *p->cells.items, by_group_and_time);
}

// The cells of one pod from `at` on: their end, and what they come to.
static size_t fold_pod(const struct points *p, size_t at, struct kp_point *point)
{
    struct cell sum = p->cells.items[at];
    for (at++; at < p->cells.n; at++) {
        const struct cell *c = &p->cells.items[at];
        if (c->group != sum.group || c->time_ms != sum.time_ms || c->pod != sum.pod ||
            c->is_rate != sum.is_rate)
            break;
        sum.n += c->n;
        sum.value += c->value;
        sum.seconds += c->seconds;
    }
    bool per_time = sum.is_rate && (kp_streq(p->unit, "cores") || kp_streq(p->unit, "seconds/second"));
    point->value += sum.value / sum.seconds / (per_time ? 1e9 : 1);
    point->n_profiles += sum.n;
    return at;
}

static void fold_points(
    const struct points *p, void (*each)(void *user, const struct kp_point *point), void *user)
{
    for (size_t at = 0; at < p->cells.n;) {
        const struct cell *first = &p->cells.items[at];
        struct kp_point point = {.group = first->group->name, .time_ms = first->time_ms};
        while (at < p->cells.n && p->cells.items[at].group == first->group &&
               p->cells.items[at].time_ms == first->time_ms)
            at = fold_pod(p, at, &point);
        each(user, &point);
    }
}

static int check_points(const struct points *p, struct kp_error *err)
{
    size_t max = p->query->max_points != 0 ? p->query->max_points : MAX_POINTS;
    size_t n = 0;
    for (size_t i = 0; i < p->cells.n; i++)
        n += i == 0 || p->cells.items[i].group != p->cells.items[i - 1].group ||
             p->cells.items[i].time_ms != p->cells.items[i - 1].time_ms;
    if (n <= max)
        return 0;
    return kp_fail(err, KP_LIMIT,
        "%zu points are more than %zu: ask for larger steps, less time or fewer groups", n, max);
}

static void finish(struct points *p)
{
    struct group *group;
    struct group *next;
    HASH_ITER (hh, p->groups, group, next) {
        HASH_DEL(p->groups, group);
        kp_free(group);
    }
    kp_array_free(&p->cells);
    kp_builds_finish(&p->builds);
    kp_lives_finish(&p->lives);
    kp_picks_finish(&p->picks);
    kp_free(p->unit);
}

int kp_store_points(struct kp_store *store, const struct kp_points_query *query,
    void (*each)(void *user, const struct kp_point *point), void *user, char **ret_unit, struct kp_error *err)
{
    struct points p = {.query = query};
    if (query->step_ms <= 0)
        return kp_fail(err, KP_INVALID, "steps have to be longer than nothing");
    int rc = kp_picks_find(store, &query->merge, &p.picks, err);
    if (rc != 0)
        return rc;
    p.walk = (struct kp_walk){.store = store,
        .query = &query->merge,
        .picks = &p.picks,
        .builds = &p.builds,
        .more_bytes = more_bytes,
        .each = on_capture,
        .user = &p};
    rc = kp_walk_run(&p.walk, err);
    kp_walk_finish(&p.walk);
    if (rc == 0) {
        sort_cells(&p);
        rc = check_points(&p, err);
    }
    if (rc == 0) {
        fold_points(&p, each, user);
        *ret_unit = p.unit ? kp_take(p.unit) : kp_strdup("");
    }
    finish(&p);
    return rc;
}
