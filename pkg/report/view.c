#include "report/view.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "report/package.h"
#include "report/unit.h"
#include "base/banned.h"

#define LOOK_EVERY 65536 // frames

enum {
    MARK_FOCUS = 1,
    MARK_IGNORE = 2,
};

void kp_keys_init(struct kp_keys *keys)
{
    *keys = (struct kp_keys){.symbols = kp_symbols_create(KP_SYMBOLS_EXACT)};
}

void kp_keys_finish(struct kp_keys *keys)
{
    kp_symbols_destroy(keys->symbols);
    kp_array_free(&keys->infos);
    *keys = (struct kp_keys){0};
}

struct kp_str kp_keys_name(const struct kp_keys *keys, uint32_t key)
{
    return keys->symbols->strings[keys->symbols->functions[key].name];
}

static int compare_strings(struct kp_str a, struct kp_str b)
{
    int c = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    if (c != 0)
        return c;
    return (a.len > b.len) - (a.len < b.len);
}

int kp_keys_compare(const struct kp_keys *keys, uint32_t a, uint32_t b)
{
    const struct kp_symbols *s = keys->symbols;
    const struct kp_function *x = &s->functions[a], *y = &s->functions[b];
    int c = x->name != y->name ? compare_strings(s->strings[x->name], s->strings[y->name]) : 0;
    if (c == 0 && x->filename != y->filename)
        c = compare_strings(s->strings[x->filename], s->strings[y->filename]);
    if (c == 0 && x->start_line != y->start_line) { // as text: what google/pprof compares
        char left[24], right[24];
        snprintf(left, sizeof left, "%" PRId64, x->start_line);
        snprintf(right, sizeof right, "%" PRId64, y->start_line);
        c = strcmp(left, right);
    }
    return c;
}

// ---- texts ----

static bool is_plain(struct kp_str s)
{
    for (uint32_t i = 0; i < s.len; i++)
        if ((unsigned char)s.data[i] < 0x20 || (unsigned char)s.data[i] >= 0x7f)
            return false;
    return true;
}

// Valid UTF-8 without control characters, so that it can be shown anywhere.
static uint32_t intern_text(struct kp_symbols *symbols, struct kp_str s)
{
    if (is_plain(s))
        return kp_symbols_string(symbols, s.data, s.len);
    kp_auto_strbuf clean;
    kp_strbuf_init(&clean, (size_t)3 * s.len);
    for (uint32_t i = 0; i < s.len;) {
        size_t n = kp_utf8_length(s.data + i, s.len - i);
        unsigned char c = (unsigned char)s.data[i];
        bool c1 = n == 2 && c == 0xc2 && (unsigned char)s.data[i + 1] < 0xa0;
        if (n == 0 || c < 0x20 || c == 0x7f || c1)
            kp_strbuf_adds(&clean, "\xef\xbf\xbd");
        else
            kp_strbuf_add(&clean, s.data + i, n);
        i += n != 0 ? (uint32_t)n : 1;
    }
    return kp_symbols_string(symbols, clean.data, (uint32_t)clean.len);
}

static uint32_t text_of(struct kp_view *view, uint32_t string)
{
    if (view->texts[string] == UINT32_MAX)
        view->texts[string] = intern_text(view->keys->symbols, kp_profile_str(view->profile, string));
    return view->texts[string];
}

// "[libc.so.6]", or "<unknown>".
static uint32_t mapping_text(struct kp_view *view, uint32_t mapping)
{
    struct kp_symbols *symbols = view->keys->symbols;
    uint32_t file = mapping != KP_NO_MAPPING ? view->profile->mappings[mapping].filename : 0;
    uint32_t text_id = text_of(view, file);
    struct kp_str path = symbols->strings[text_id];
    if (path.len == 0)
        return kp_symbols_string(symbols, "<unknown>", 9);
    const char *slash = memrchr(path.data, '/', path.len);
    size_t from = slash ? (size_t)(slash - path.data) + 1 : 0;
    kp_auto_free char *text = kp_asprintf("[%.*s]", (int)(path.len - from), path.data + from);
    return kp_symbols_string(symbols, text, (uint32_t)strlen(text));
}

// ---- keys ----

static uint32_t package_text(struct kp_view *view, uint32_t name, uint32_t mapping)
{
    struct kp_symbols *symbols = view->keys->symbols;
    struct kp_str s = symbols->strings[name];
    size_t n = kp_package_length(s.data, s.len);
    if (n == 0)
        return mapping_text(view, mapping);
    kp_auto_free char *package = kp_strndup(s.data, n);
    for (char *at = strstr(package, "%2e"); at; at = strstr(at, "%2e")) { // how Go writes a dot in a path
        *at = '.';
        memmove(at + 1, at + 3, strlen(at + 3) + 1);
    }
    return kp_symbols_string(symbols, package, (uint32_t)strlen(package));
}

static uint32_t intern_key(
    struct kp_view *view, const struct kp_function *identity, uint32_t mapping, uint32_t file, int64_t line)
{
    struct kp_keys *keys = view->keys;
    uint32_t key = kp_symbols_function(keys->symbols, identity);
    if (key == keys->infos.n) {
        bool is_package = view->options->by == KP_BY_PACKAGE;
        uint32_t package = is_package ? identity->name : package_text(view, identity->name, mapping);
        *kp_array_add(&keys->infos) = (struct kp_key_info){.file = file, .package = package, .line = line};
    }
    return key;
}

static uint32_t key_of_line(struct kp_view *view, const struct kp_line *line, uint32_t mapping)
{
    const struct kp_function *f = &view->profile->functions[line->function];
    uint32_t name = text_of(view, f->name);
    uint32_t file = text_of(view, f->filename);
    switch (view->options->by) {
    case KP_BY_LINE: {
        bool bare = name == 0 && file == 0;
        struct kp_function id = {
            .name = bare ? mapping_text(view, mapping) : name, .filename = file, .start_line = line->line};
        return intern_key(view, &id, mapping, file, line->line);
    }
    case KP_BY_FILE:
        return intern_key(
            view, &(struct kp_function){.name = file ? file : mapping_text(view, mapping)}, mapping, file, 0);
    case KP_BY_PACKAGE:
        return intern_key(
            view, &(struct kp_function){.name = package_text(view, name, mapping)}, mapping, 0, 0);
    case KP_BY_FUNCTION:
    case KP_BY_LABEL:
        break;
    }
    uint32_t *known = &view->functions[line->function];
    if (*known != UINT32_MAX)
        return *known;
    struct kp_function id = {.name = name ? name : mapping_text(view, mapping)};
    uint32_t key = intern_key(view, &id, mapping, file, f->start_line);
    if (name != 0)
        *known = key;
    return key;
}

// ---- locations ----

struct patterns {
    struct kp_pattern focus, ignore, hide;
};

static bool line_matches(struct kp_view *view, struct kp_pattern *pattern, const struct kp_line *line)
{
    const struct kp_function *f = &view->profile->functions[line->function];
    return kp_pattern_matches(pattern, f->name) || kp_pattern_matches(pattern, f->filename);
}

static bool mapping_matches(
    struct kp_view *view, struct kp_pattern *pattern, const struct kp_location *location)
{
    uint32_t m = location->mapping;
    return m != KP_NO_MAPPING && kp_pattern_matches(pattern, view->profile->mappings[m].filename);
}

static bool matches(struct kp_view *view, struct kp_pattern *pattern, const struct kp_location *location)
{
    for (uint32_t i = 0; i < location->n_lines; i++)
        if (line_matches(view, pattern, &view->profile->lines[location->first_line + i]))
            return true;
    return mapping_matches(view, pattern, location);
}

static uint8_t marks_of(struct kp_view *view, struct patterns *p, const struct kp_location *location)
{
    if (kp_pattern_given(&p->ignore) && matches(view, &p->ignore, location))
        return MARK_IGNORE;
    return !kp_pattern_given(&p->focus) || matches(view, &p->focus, location) ? MARK_FOCUS : 0;
}

// Appends the keys of a location; returns their new number.
static uint32_t add_run(
    struct kp_view *view, struct patterns *p, const struct kp_location *location, uint32_t n)
{
    bool hides = kp_pattern_given(&p->hide);
    if (hides && mapping_matches(view, &p->hide, location))
        return n;
    if (location->n_lines == 0) {
        uint32_t name = mapping_text(view, location->mapping);
        view->run[n++] = intern_key(view, &(struct kp_function){.name = name}, location->mapping, 0, 0);
        return n;
    }
    for (uint32_t i = 0; i < location->n_lines; i++) {
        const struct kp_line *line = &view->profile->lines[location->first_line + i];
        if (!hides || !line_matches(view, &p->hide, line))
            view->run[n++] = key_of_line(view, line, location->mapping);
    }
    return n;
}

static uint32_t *unknown(uint32_t n)
{
    uint32_t *ids = kp_grow(NULL, (size_t)n + 1, sizeof *ids);
    memset(ids, 0xff, ((size_t)n + 1) * sizeof *ids);
    return ids;
}

static int count_frames(const struct kp_view *view, struct kp_error *err)
{
    const struct kp_profile *p = view->profile;
    uint64_t n = 0;
    for (uint32_t i = 0; i < p->n_frames && n <= KP_VIEW_MAX_FRAMES; i++)
        n += view->runs[p->frames[i] + 1] - view->runs[p->frames[i]];
    if (n > KP_VIEW_MAX_FRAMES)
        return kp_fail(err, KP_LIMIT,
            "cannot report on the profile: its stacks have more than %u frames with inlined ones: merge "
            "fewer profiles or use 'hide'",
            KP_VIEW_MAX_FRAMES);
    return 0;
}

static int make_runs(struct kp_view *view, struct patterns *patterns, struct kp_error *err)
{
    const struct kp_profile *p = view->profile;
    uint64_t n_max = 0;
    for (uint32_t i = 0; i < p->n_locations; i++)
        n_max += p->locations[i].n_lines != 0 ? p->locations[i].n_lines : 1;
    if (n_max > UINT32_MAX)
        return kp_fail(
            err, KP_LIMIT, "cannot report on the profile: its locations have %" PRIu64 " lines", n_max);
    view->runs = KP_NEW_ARRAY(uint32_t, (size_t)p->n_locations + 1);
    view->run = KP_NEW_ARRAY(uint32_t, n_max + 1);
    view->marks = KP_NEW_ARRAY(uint8_t, (size_t)p->n_locations + 1);
    for (uint32_t i = 0; i < p->n_locations; i++) {
        view->marks[i] = marks_of(view, patterns, &p->locations[i]);
        view->runs[i + 1] = add_run(view, patterns, &p->locations[i], view->runs[i]);
        if (patterns->focus.stopped || patterns->ignore.stopped || patterns->hide.stopped)
            return kp_stop_check(view->options->stop, err);
    }
    return count_frames(view, err);
}

static int make_view(struct kp_view *view, struct patterns *patterns, struct kp_error *err)
{
    const struct kp_report_options *o = view->options;
    int rc = kp_pattern_init(&patterns->focus, view->profile, "focus", o->focus, o->stop, err);
    if (rc == 0)
        rc = kp_pattern_init(&patterns->ignore, view->profile, "ignore", o->ignore, o->stop, err);
    if (rc == 0)
        rc = kp_pattern_init(&patterns->hide, view->profile, "hide", o->hide, o->stop, err);
    if (rc < 0)
        return rc;
    view->filtered = kp_pattern_given(&patterns->focus) || kp_pattern_given(&patterns->ignore) ||
                     kp_pattern_given(&patterns->hide);
    return make_runs(view, patterns, err);
}

// ---- the view ----

static int fail_type(const struct kp_view *view, struct kp_error *err)
{
    const struct kp_profile *p = view->profile;
    kp_auto_strbuf names;
    kp_strbuf_init(&names, 120);
    for (uint32_t i = 0; i < p->n_sample_types; i++) {
        struct kp_str s = kp_profile_str(p, p->sample_types[i].type);
        char text[40];
        kp_strbuf_addf(&names, "%s%s", i > 0 ? ", " : "", kp_printable(text, sizeof text, s.data, s.len));
    }
    return kp_fail(err, KP_INVALID, "the profile has no sample type '%.40s': it has %s",
        view->options->sample_type, names.len > 0 ? names.data : "none");
}

int kp_view_init(struct kp_view *view, struct kp_keys *keys, const struct kp_profile *profile,
    const struct kp_report_options *options, struct kp_error *err)
{
    *view = (struct kp_view){.profile = profile, .options = options, .keys = keys};
    view->type = kp_profile_type_index(profile, options->sample_type);
    if (view->type < 0 && options->sample_type && options->sample_type[0])
        return fail_type(view, err);
    view->texts = unknown(profile->n_strings);
    view->functions = unknown(profile->n_functions);
    struct patterns patterns = {0};
    int rc = make_view(view, &patterns, err);
    kp_pattern_finish(&patterns.focus);
    kp_pattern_finish(&patterns.ignore);
    kp_pattern_finish(&patterns.hide);
    for (uint32_t i = 0; rc == 0 && view->type >= 0 && i < profile->n_samples; i++) {
        int64_t value = profile->values[(size_t)i * profile->n_sample_types + (uint32_t)view->type];
        view->total = kp_add_capped(view->total, kp_magnitude(value));
    }
    if (rc < 0)
        kp_view_finish(view);
    return rc;
}

void kp_view_finish(struct kp_view *view)
{
    kp_free(view->runs);
    kp_free(view->run);
    kp_free(view->marks);
    kp_free(view->texts);
    kp_free(view->functions);
    *view = (struct kp_view){0};
}

int kp_view_go_on(struct kp_view *view, uint32_t sample, struct kp_error *err)
{
    uint32_t n = view->profile->samples[sample].n_frames + 1;
    if (n < view->until_look) {
        view->until_look -= n;
        return 0;
    }
    view->until_look = LOOK_EVERY;
    return kp_stop_check(view->options->stop, err);
}

int64_t kp_view_value(const struct kp_view *view, uint32_t sample)
{
    const struct kp_profile *p = view->profile;
    if (view->type < 0)
        return 0;
    int64_t value = p->values[(size_t)sample * p->n_sample_types + (uint32_t)view->type];
    if (!view->filtered || value == 0)
        return value;
    const struct kp_sample *s = &p->samples[sample];
    unsigned marks = 0;
    for (uint32_t i = 0; i < s->n_frames; i++)
        marks |= view->marks[p->frames[s->first_frame + i]];
    return marks == MARK_FOCUS ? value : 0;
}

uint32_t kp_view_label(struct kp_view *view, uint32_t sample)
{
    const struct kp_profile *p = view->profile;
    const struct kp_sample *s = &p->samples[sample];
    struct kp_symbols *symbols = view->keys->symbols;
    uint32_t name = kp_symbols_string(symbols, "<none>", 6);
    const char *wanted = view->options->label ? view->options->label : "";
    for (uint32_t i = 0; i < s->n_labels; i++) {
        const struct kp_sample_label *label = &p->labels[s->first_label + i];
        if (!kp_profile_str_is(p, label->key, wanted))
            continue;
        if (label->str != 0) {
            name = text_of(view, label->str);
        } else {
            struct kp_str unit = kp_profile_str(p, label->unit);
            kp_auto_free char *from = kp_strndup(unit.data, unit.len);
            char text[KP_VALUE_TEXT];
            kp_unit_text(label->num, from, "auto", text);
            name = kp_symbols_string(symbols, text, (uint32_t)strlen(text));
        }
        break;
    }
    return intern_key(view, &(struct kp_function){.name = name}, KP_NO_MAPPING, 0, 0);
}

const char *kp_view_text(struct kp_view *view, uint32_t string, struct kp_arena **arena)
{
    uint32_t text = text_of(view, string); // may move the strings
    struct kp_str s = view->keys->symbols->strings[text];
    return kp_arena_strndup(arena, s.data, s.len);
}

static const struct kp_value_type *value_type(const struct kp_view *view)
{
    static const struct kp_value_type none;
    return view->type >= 0 ? &view->profile->sample_types[view->type] : &none;
}

const char *kp_view_type(struct kp_view *view, struct kp_arena **arena)
{
    return kp_view_text(view, value_type(view)->type, arena);
}

const char *kp_view_unit(struct kp_view *view, struct kp_arena **arena)
{
    return kp_view_text(view, value_type(view)->unit, arena);
}
