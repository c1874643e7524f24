#include "testkit/raw.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/banned.h"

#define MAX_TEXT (64u << 20)

static void add_str(struct kp_strbuf *out, const struct kp_profile *p, uint32_t at)
{
    kp_strbuf_add(out, p->strings[at].data, p->strings[at].len);
}

static bool same_str(const struct kp_profile *p, uint32_t a, uint32_t b)
{
    struct kp_str x = p->strings[a];
    struct kp_str y = p->strings[b];
    return x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
}

// ---- labels: values of one key together, keys in order ----

struct words {
    KP_ARRAY(char *) items;
};

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_words(struct words *words, struct kp_strbuf *out)
{
    if (words->items.n == 0)
        return;
    qsort(words->items.items, words->items.n, sizeof(char *), by_text);
    kp_strbuf_adds(out, "                ");
    for (size_t i = 0; i < words->items.n; i++) {
        kp_strbuf_adds(out, i > 0 ? " " : "");
        kp_strbuf_adds(out, words->items.items[i]);
        kp_free(words->items.items[i]);
    }
    kp_strbuf_addc(out, '\n');
    kp_array_free(&words->items);
}

// "key:[v v]" of all labels with the key of `first`, numbers with units if one of them has one.
static char *key_text(
    const struct kp_profile *p, const struct kp_sample_label *labels, uint32_t n, uint32_t first)
{
    kp_auto_strbuf out;
    kp_strbuf_init(&out, MAX_TEXT);
    bool text = labels[first].str != 0;
    bool units = false;
    bool any = false;
    for (uint32_t i = first; i < n && !text; i++)
        units |= labels[i].str == 0 && same_str(p, labels[i].key, labels[first].key) && labels[i].unit != 0;
    add_str(&out, p, labels[first].key);
    kp_strbuf_adds(&out, ":[");
    for (uint32_t i = first; i < n; i++) {
        if ((labels[i].str != 0) != text || !same_str(p, labels[i].key, labels[first].key))
            continue;
        kp_strbuf_adds(&out, any ? " " : "");
        any = true;
        if (text) {
            add_str(&out, p, labels[i].str);
            continue;
        }
        kp_strbuf_addf(&out, units ? "%" PRId64 " " : "%" PRId64, labels[i].num);
        add_str(&out, p, labels[i].unit);
    }
    kp_strbuf_addc(&out, ']');
    return kp_strbuf_take(&out, NULL);
}

static void add_labels(
    const struct kp_profile *p, const struct kp_sample *s, bool text, struct kp_strbuf *out)
{
    struct words words = {0};
    const struct kp_sample_label *l = p->labels + s->first_label;
    for (uint32_t i = 0; i < s->n_labels; i++) {
        bool seen = (l[i].str != 0) != text;
        for (uint32_t k = 0; k < i && !seen; k++)
            seen = (l[k].str != 0) == text && same_str(p, l[k].key, l[i].key);
        if (!seen)
            *kp_array_add(&words.items) = key_text(p, l, s->n_labels, i);
    }
    add_words(&words, out);
}

// ---- the rest ----

static void add_header(const struct kp_profile *p, struct kp_strbuf *out)
{
    for (uint32_t i = 0; i < p->n_comments; i++) {
        kp_strbuf_adds(out, "Comment: ");
        add_str(out, p, p->comments[i]);
        kp_strbuf_addc(out, '\n');
    }
    if (p->strings[p->doc_url].len > 0) {
        kp_strbuf_adds(out, "Doc: ");
        add_str(out, p, p->doc_url);
        kp_strbuf_addc(out, '\n');
    }
    kp_strbuf_adds(out, "PeriodType: ");
    add_str(out, p, p->period_type.type);
    kp_strbuf_addc(out, ' ');
    add_str(out, p, p->period_type.unit);
    kp_strbuf_addf(out, "\nPeriod: %" PRId64 "\n", p->period);
    if (p->time_ns != 0)
        kp_strbuf_addf(out, "TimeNanos: %" PRId64 "\n", p->time_ns);
    if (p->duration_ns != 0)
        kp_strbuf_addf(out, "DurationNanos: %" PRId64 "\n", p->duration_ns);
    kp_strbuf_adds(out, "Samples:\n");
    for (uint32_t i = 0; i < p->n_sample_types; i++) {
        kp_strbuf_adds(out, i > 0 ? " " : "");
        add_str(out, p, p->sample_types[i].type);
        kp_strbuf_addc(out, '/');
        add_str(out, p, p->sample_types[i].unit);
        if (same_str(p, p->sample_types[i].type, p->default_type))
            kp_strbuf_adds(out, "[dflt]");
    }
    kp_strbuf_addc(out, '\n');
}

static void add_location(const struct kp_profile *p, uint32_t at, struct kp_strbuf *out)
{
    const struct kp_location *l = &p->locations[at];
    for (uint32_t i = 0; i < l->n_lines || i == 0; i++) {
        if (i == 0) {
            kp_strbuf_addf(out, "%6u: 0x%" PRIx64 " ", at + 1, l->address);
            if (l->mapping != KP_NO_MAPPING)
                kp_strbuf_addf(out, "M=%u ", l->mapping + 1);
            kp_strbuf_adds(out, l->folded ? "[F] " : "");
        } else {
            kp_strbuf_adds(out, "             ");
        }
        if (l->n_lines > 0) {
            const struct kp_line *line = &p->lines[l->first_line + i];
            const struct kp_function *f = &p->functions[line->function];
            add_str(out, p, f->name);
            kp_strbuf_addc(out, ' ');
            add_str(out, p, f->filename);
            kp_strbuf_addf(
                out, ":%" PRId64 ":%" PRId64 " s=%" PRId64, line->line, line->column, f->start_line);
            if (!same_str(p, f->name, f->system_name)) {
                kp_strbuf_addc(out, '(');
                add_str(out, p, f->system_name);
                kp_strbuf_addc(out, ')');
            }
        }
        kp_strbuf_addc(out, '\n');
    }
}

static void add_mapping(const struct kp_profile *p, uint32_t at, struct kp_strbuf *out)
{
    const struct kp_mapping *m = &p->mappings[at];
    kp_strbuf_addf(
        out, "%u: 0x%" PRIx64 "/0x%" PRIx64 "/0x%" PRIx64 " ", at + 1, m->start, m->limit, m->offset);
    add_str(out, p, m->filename);
    kp_strbuf_addc(out, ' ');
    add_str(out, p, m->build_id);
    kp_strbuf_addf(out, " %s%s%s%s\n", m->flags & KP_MAPPING_FUNCTIONS ? "[FN]" : "",
        m->flags & KP_MAPPING_FILENAMES ? "[FL]" : "", m->flags & KP_MAPPING_LINES ? "[LN]" : "",
        m->flags & KP_MAPPING_INLINES ? "[IN]" : "");
}

void kp_test_raw(const struct kp_profile *p, struct kp_strbuf *out)
{
    add_header(p, out);
    for (uint32_t i = 0; i < p->n_samples; i++) {
        const struct kp_sample *s = &p->samples[i];
        for (uint32_t t = 0; t < p->n_sample_types; t++)
            kp_strbuf_addf(out, " %10" PRId64, p->values[(size_t)i * p->n_sample_types + t]);
        kp_strbuf_adds(out, ": ");
        for (uint32_t k = 0; k < s->n_frames; k++)
            kp_strbuf_addf(out, "%u ", p->frames[s->first_frame + k] + 1);
        kp_strbuf_addc(out, '\n');
        add_labels(p, s, true, out);
        add_labels(p, s, false, out);
    }
    kp_strbuf_adds(out, "Locations\n");
    for (uint32_t i = 0; i < p->n_locations; i++)
        add_location(p, i, out);
    kp_strbuf_adds(out, "Mappings\n");
    for (uint32_t i = 0; i < p->n_mappings; i++)
        add_mapping(p, i, out);
    if (p->strings[p->drop_frames].len > 0) {
        kp_strbuf_adds(out, "DropFrames: ");
        add_str(out, p, p->drop_frames);
        kp_strbuf_adds(out, "\nKeepFrames: ");
        add_str(out, p, p->keep_frames);
        kp_strbuf_addc(out, '\n');
    }
}

// ---- top ----

struct row {
    struct kp_str name;
    int64_t flat, cum;
    uint32_t last; // sample + 1 that counted towards cum
};

static int compare_rows(const void *a, const void *b)
{
    const struct row *x = a;
    const struct row *y = b;
    if (x->flat != y->flat)
        return x->flat > y->flat ? -1 : 1;
    uint32_t n = x->name.len < y->name.len ? x->name.len : y->name.len;
    int rc = memcmp(x->name.data, y->name.data, n);
    return rc != 0 ? rc : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

// The row of a function, by name: the first function of that name.
static uint32_t *first_of_name(const struct kp_profile *p)
{
    uint32_t *first = KP_NEW_ARRAY(uint32_t, (size_t)p->n_functions + 1);
    for (uint32_t i = 0; i < p->n_functions; i++)
        while (!same_str(p, p->functions[first[i]].name, p->functions[i].name))
            first[i]++;
    return first;
}

void kp_test_top(const struct kp_profile *p, unsigned n, struct kp_strbuf *out)
{
    for (uint32_t t = 0; t < p->n_sample_types; t++) {
        kp_strbuf_adds(out, "total ");
        add_str(out, p, p->sample_types[t].type);
        kp_strbuf_addf(out, " %" PRId64 "\n", kp_profile_total(p, t));
    }
    kp_auto_free uint32_t *first = first_of_name(p);
    kp_auto_free struct row *rows = KP_NEW_ARRAY(struct row, (size_t)p->n_functions + 1);
    for (uint32_t i = 0; i < p->n_functions; i++)
        rows[i].name = p->strings[p->functions[i].name];
    for (uint32_t i = 0; i < p->n_samples; i++) {
        const struct kp_sample *s = &p->samples[i];
        int64_t v = p->values[(size_t)(i + 1) * p->n_sample_types - 1];
        for (uint32_t k = 0; k < s->n_frames; k++) {
            const struct kp_location *l = &p->locations[p->frames[s->first_frame + k]];
            for (uint32_t j = 0; j < l->n_lines; j++) {
                struct row *row = &rows[first[p->lines[l->first_line + j].function]];
                row->flat += k == 0 && j == 0 ? v : 0;
                row->cum += row->last != i + 1 ? v : 0;
                row->last = i + 1;
            }
        }
    }
    qsort(rows, p->n_functions, sizeof rows[0], compare_rows);
    for (uint32_t i = 0; i < p->n_functions && n > 0; i++) {
        if (rows[i].flat == 0)
            continue;
        n--;
        kp_strbuf_addf(out, "%" PRId64 " %" PRId64 " %.*s\n", rows[i].flat, rows[i].cum,
            (int)rows[i].name.len, rows[i].name.data);
    }
}
