#include "profile/filter.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "profile/merge.h"
#include "profile/merge_private.h"
#include "base/banned.h"

// ---- which strings match: each is tried once ----

enum { UNKNOWN, NO, YES };

struct matcher {
    const struct kp_profile *p;
    const struct kp_regex *regex; // NULL matches nothing
    uint8_t *known;               // by string
    const struct kp_stop *stop;
};

static struct matcher matcher_of(
    const struct kp_profile *p, const struct kp_regex *regex, const struct kp_stop *stop)
{
    return (struct matcher){p, regex, regex ? KP_NEW_ARRAY(uint8_t, p->n_strings) : NULL, stop};
}

static bool look(const struct matcher *m, struct kp_str s)
{
    size_t len = s.len < KP_FILTER_MAX_NAME ? s.len : KP_FILTER_MAX_NAME;
    return kp_stop_check(m->stop, NULL) == 0 && kp_regex_finds(m->regex, s.data, len);
}

static bool matches(struct matcher *m, uint32_t string)
{
    if (m->regex == NULL)
        return false;
    if (m->known[string] == UNKNOWN)
        m->known[string] = look(m, m->p->strings[string]) ? YES : NO;
    return m->known[string] == YES;
}

static bool matches_line(struct matcher *m, const struct kp_line *line)
{
    const struct kp_function *f = &m->p->functions[line->function];
    return matches(m, f->name) || matches(m, f->filename);
}

static bool matches_mapping(struct matcher *m, const struct kp_location *l)
{
    return l->mapping != KP_NO_MAPPING && matches(m, m->p->mappings[l->mapping].filename);
}

static bool matches_location(struct matcher *m, const struct kp_location *l)
{
    for (uint32_t i = 0; i < l->n_lines; i++)
        if (matches_line(m, &m->p->lines[l->first_line + i]))
            return true;
    return matches_mapping(m, l);
}

// ---- frames ----

enum { FOCUSED = 1, IGNORED = 2, HIDDEN = 4 };

// Keeps the lines that match, or those that do not.
static void keep_lines(struct kp_profile *p, struct kp_location *l, struct matcher *m, bool matching)
{
    uint32_t n = 0;
    for (uint32_t i = l->first_line; i < l->first_line + l->n_lines; i++)
        if (matches_line(m, &p->lines[i]) == matching)
            p->lines[l->first_line + n++] = p->lines[i];
    l->n_lines = n;
}

// Like google/pprof, a location without lines is hidden by hide and by show, whatever its mapping.
static void hide_lines(
    struct kp_profile *p, struct kp_location *l, struct matcher *hide, struct matcher *show)
{
    if (hide->regex && matches_mapping(hide, l))
        l->n_lines = 0;
    else if (hide->regex)
        keep_lines(p, l, hide, false);
    if (show->regex && !matches_mapping(show, l))
        keep_lines(p, l, show, true);
}

static uint8_t *judge_locations(struct kp_profile *p, const struct kp_profile_filter *filter)
{
    struct matcher focus = matcher_of(p, filter->focus, filter->stop),
                   ignore = matcher_of(p, filter->ignore, filter->stop);
    struct matcher hide = matcher_of(p, filter->hide, filter->stop),
                   show = matcher_of(p, filter->show, filter->stop);
    uint8_t *verdicts = KP_NEW_ARRAY(uint8_t, (size_t)p->n_locations + 1);
    for (uint32_t i = 0; i < p->n_locations; i++) {
        struct kp_location *l = &p->locations[i];
        if (matches_location(&ignore, l))
            verdicts[i] |= IGNORED;
        else if (filter->focus == NULL || matches_location(&focus, l))
            verdicts[i] |= FOCUSED;
        hide_lines(p, l, &hide, &show);
        if ((filter->hide || filter->show) && l->n_lines == 0)
            verdicts[i] |= HIDDEN;
    }
    kp_free(focus.known);
    kp_free(ignore.known);
    kp_free(hide.known);
    kp_free(show.known);
    return verdicts;
}

// Whether the sample stays; takes hidden frames out of it.
static bool filter_frames(struct kp_profile *p, struct kp_sample *s, const uint8_t *verdicts)
{
    uint8_t seen = 0;
    uint32_t n = 0;
    uint32_t end = s->first_frame + s->n_frames;
    for (uint32_t i = s->first_frame; i < end; i++)
        seen |= verdicts[p->frames[i]];
    if ((seen & IGNORED) || !(seen & FOCUSED))
        return false;
    for (uint32_t i = s->first_frame; i < end; i++)
        if (!(verdicts[p->frames[i]] & HIDDEN))
            p->frames[s->first_frame + n++] = p->frames[i];
    s->n_frames = n;
    return n > 0;
}

// ---- labels ----

static bool has_label(const struct kp_profile *p, const struct kp_sample *s, const struct kp_regex *regex,
    struct kp_strbuf *scratch)
{
    for (uint32_t i = s->first_label; i < s->first_label + s->n_labels; i++) {
        struct kp_str key = p->strings[p->labels[i].key];
        struct kp_str value = p->strings[p->labels[i].str];
        if (p->labels[i].str == 0)
            continue;
        kp_strbuf_clear(scratch);
        kp_strbuf_add(scratch, key.data, key.len);
        kp_strbuf_addc(scratch, ':');
        kp_strbuf_add(scratch, value.data, value.len);
        if (kp_regex_finds(regex, scratch->data, scratch->len) ||
            kp_regex_finds(regex, value.data, value.len))
            return true;
    }
    return false;
}

// ---- samples ----

static void move_sample(struct kp_profile *p, uint32_t to, uint32_t from)
{
    size_t n = p->n_sample_types;
    p->samples[to] = p->samples[from];
    if (to != from && n > 0)
        memcpy(p->values + to * n, p->values + from * n, n * sizeof *p->values);
}

uint32_t kp_profile_filter(struct kp_profile *p, const struct kp_profile_filter *filter)
{
    uint32_t n = 0;
    bool by_name = filter->focus || filter->ignore || filter->hide || filter->show;
    kp_auto_free uint8_t *verdicts = by_name ? judge_locations(p, filter) : NULL;
    kp_auto_strbuf scratch;
    kp_strbuf_init(&scratch, (size_t)64 << 10);
    for (uint32_t i = 0; i < p->n_samples; i++) {
        struct kp_sample *s = &p->samples[i];
        if ((verdicts && !filter_frames(p, s, verdicts)) ||
            (filter->tag_focus && !has_label(p, s, filter->tag_focus, &scratch)) ||
            (filter->tag_ignore && has_label(p, s, filter->tag_ignore, &scratch)))
            continue;
        move_sample(p, n++, i);
    }
    p->n_samples = n;
    return n;
}

// ---- values ----

static int64_t scaled(int64_t v, double factor)
{
    if (factor == 1)
        return v;
    if (factor == -1) // exact
        return v == INT64_MIN ? INT64_MAX : -v;
    return kp_merge_round((double)v * factor);
}

void kp_profile_scale(struct kp_profile *p, const double *factors)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->n_samples; i++) {
        int64_t *values = p->values + (size_t)i * p->n_sample_types;
        bool any = false;
        for (uint32_t t = 0; t < p->n_sample_types; t++) {
            values[t] = scaled(values[t], factors[t]);
            any = any || values[t] != 0;
        }
        if (any)
            move_sample(p, n++, i);
    }
    p->n_samples = n;
}

static uint32_t add_string(struct kp_profile *p, const char *text)
{
    struct kp_str *strings = KP_ARENA_ARRAY(&p->arena, struct kp_str, (size_t)p->n_strings + 1);
    memcpy(strings, p->strings, p->n_strings * sizeof *strings);
    strings[p->n_strings] = (struct kp_str){kp_arena_strdup(&p->arena, text), (uint32_t)strlen(text)};
    p->strings = strings;
    return p->n_strings++;
}

void kp_profile_set_label(struct kp_profile *p, const char *key, const char *value)
{
    uint32_t n = 0;
    size_t total = p->n_samples;
    uint32_t key_id = add_string(p, key);
    uint32_t value_id = add_string(p, value);
    for (uint32_t i = 0; i < p->n_samples; i++)
        total += p->samples[i].n_labels;
    struct kp_sample_label *labels = KP_ARENA_ARRAY(&p->arena, struct kp_sample_label, total + 1);
    for (uint32_t i = 0; i < p->n_samples; i++) {
        struct kp_sample *s = &p->samples[i];
        uint32_t first = n;
        for (uint32_t k = s->first_label; k < s->first_label + s->n_labels; k++)
            if (p->labels[k].str == 0 || !kp_profile_str_is(p, p->labels[k].key, key))
                labels[n++] = p->labels[k];
        labels[n++] = (struct kp_sample_label){.key = key_id, .str = value_id};
        s->first_label = first;
        s->n_labels = n - first;
    }
    p->labels = labels;
    p->n_labels = n;
}

void kp_profile_mark_base(struct kp_profile *p)
{
    size_t n_values = (size_t)p->n_samples * p->n_sample_types;
    kp_profile_set_label(p, "pprof::base", "true");
    for (size_t i = 0; i < n_values; i++)
        p->values[i] = scaled(p->values[i], -1);
}

void kp_profile_normalize_base(struct kp_profile *base, const struct kp_profile *profile)
{
    uint32_t n = base->n_sample_types;
    kp_auto_free double *factors = KP_NEW_ARRAY(double, n + 1);
    for (uint32_t t = 0; t < n; t++) {
        double total = (double)kp_profile_total(base, t);
        factors[t] =
            total > 0 && t < profile->n_sample_types ? (double)kp_profile_total(profile, t) / total : 1;
    }
    kp_profile_scale(base, factors);
}

// ---- tables ----

static void aggregate_location(struct kp_profile *p, struct kp_location *l, unsigned keep)
{
    if (!(keep & KP_KEEP_INLINE) && l->n_lines > 1) {
        l->first_line += l->n_lines - 1;
        l->n_lines = 1;
    }
    for (uint32_t i = l->first_line; i < l->first_line + l->n_lines; i++) {
        if (!(keep & KP_KEEP_LINE))
            p->lines[i].line = p->lines[i].column = 0;
        if (!(keep & KP_KEEP_COLUMN))
            p->lines[i].column = 0;
    }
    if (!(keep & KP_KEEP_ADDRESS))
        l->address = 0;
}

static void aggregate_mapping(struct kp_mapping *m, unsigned keep)
{
    unsigned flags = (keep & KP_KEEP_FUNCTION ? KP_MAPPING_FUNCTIONS : 0U) |
                     (keep & KP_KEEP_FILE ? KP_MAPPING_FILENAMES : 0U) |
                     (keep & KP_KEEP_LINE ? KP_MAPPING_LINES : 0U) |
                     (keep & KP_KEEP_INLINE ? KP_MAPPING_INLINES : 0U);
    m->flags &= flags;
    if (!(keep & KP_KEEP_ADDRESS)) { // else no address would be another one in each place it is loaded to
        m->limit -= m->start;
        m->start = 0;
    }
}

void kp_profile_aggregate(struct kp_profile *p, unsigned keep)
{
    for (uint32_t i = 0; i < p->n_mappings; i++)
        aggregate_mapping(&p->mappings[i], keep);
    for (uint32_t i = 0; i < p->n_functions; i++) {
        struct kp_function *f = &p->functions[i];
        if (!(keep & KP_KEEP_FUNCTION)) {
            f->name = f->system_name = 0;
            f->start_line = 0;
        }
        if (!(keep & KP_KEEP_FILE))
            f->filename = 0;
    }
    for (uint32_t i = 0; i < p->n_locations; i++)
        aggregate_location(p, &p->locations[i], keep);
    for (uint32_t i = 0; i < p->n_samples && !(keep & KP_KEEP_LABELS); i++)
        p->samples[i].n_labels = 0;
}

int kp_profile_compact(struct kp_profile **profile, struct kp_error *err)
{
    struct kp_profile *compacted = NULL;
    const struct kp_profile *one = *profile;
    int rc = kp_profile_merge(&one, 1, &compacted, err);
    if (rc != 0)
        return rc;
    kp_profile_free(*profile);
    *profile = compacted;
    return 0;
}
