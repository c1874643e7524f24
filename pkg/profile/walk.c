// Two passes over the inflated bytes. The first looks at the top level only: it counts, and collects the ids
// of mappings, locations and functions, because users may stand before what they use. The second looks into
// every message. Nothing is built; the rules are those of github.com/google/pprof's decoder and its
// CheckValid.
#include "profile/walk.h"

#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/text.h"
#include "profile/idset.h"
#include "profile/proto.h"
#include "base/banned.h"

#define MAX_SAMPLE_TYPES 256

struct walk {
    const uint8_t *data;
    size_t len;
    size_t max_entities, max_depth, max_labels;
    struct kp_profile_summary s;
    struct kp_idset mappings, locations, functions;
    size_t n_comments, n_frames, n_labels, n_lines;
    uint64_t first_type, first_unit, default_type, build_id; // string indices
    // pass 2: numbers of the entity in hand, for the sentences
    size_t at_type, at_sample, at_location, at_function, at_mapping;
    struct kp_error *err;
};

// ---- pass 1 ----

static int count(struct walk *w, size_t *n, const char *what)
{
    if (++*n > w->max_entities)
        return kp_fail(w->err, KP_LIMIT, "more than %zu %s", w->max_entities, what);
    return 0;
}

static int broken(struct walk *w, const char *what, size_t number)
{
    return kp_fail(w->err, KP_INVALID, "%s %zu is cut short or not protobuf", what, number);
}

// Field 1 of a message; of several the last.
static int read_id(struct walk *w, const struct kp_proto *f, const char *what, size_t number, uint64_t *ret)
{
    struct kp_proto m;
    kp_proto_start(&m, f->data, f->len);
    *ret = 0;
    while (kp_proto_next(&m)) {
        if (m.field != 1)
            continue;
        if (m.type != KP_PROTO_VARINT)
            return kp_fail(w->err, KP_INVALID, "the id of %s %zu is not a number", what, number);
        *ret = m.value;
    }
    if (m.bad)
        return broken(w, what, number);
    if (*ret == 0)
        return kp_fail(w->err, KP_INVALID, "%s %zu has the id 0", what, number);
    return 0;
}

static int collect(struct walk *w, const struct kp_proto *f, struct kp_idset *set, size_t *n,
    const char *what, const char *many)
{
    uint64_t id;
    int rc = count(w, n, many);
    if (rc == 0)
        rc = read_id(w, f, what, *n, &id);
    if (rc == 0)
        kp_idset_add(set, id);
    return rc;
}

static int take_number(struct walk *w, const struct kp_proto *f, const char *name, int64_t *ret)
{
    if (f->type != KP_PROTO_VARINT)
        return kp_fail(w->err, KP_INVALID, "%s is not a number", name);
    *ret = (int64_t)f->value;
    return 0;
}

static int take_time(struct walk *w, const struct kp_proto *f)
{
    // The mark by which google/pprof knows that two profiles were written behind each other.
    if (w->s.time_ns != 0)
        return kp_fail(w->err, KP_INVALID, "concatenated profiles: time_nanos occurs twice");
    return take_number(w, f, "time_nanos", &w->s.time_ns);
}

static int take_string(struct walk *w, const struct kp_proto *f)
{
    if (f->len != 0 && w->s.n_strings == 0)
        return kp_fail(w->err, KP_INVALID, "string_table[0] is not empty");
    return count(w, &w->s.n_strings, "strings");
}

static int survey_message(struct walk *w, const struct kp_proto *f)
{
    if (f->type != KP_PROTO_BYTES)
        return kp_fail(w->err, KP_INVALID, "field %u of the profile is not a message", (unsigned)f->field);
    switch (f->field) {
    case PROFILE_SAMPLE_TYPE:
        if (++w->s.n_sample_types > MAX_SAMPLE_TYPES)
            return kp_fail(w->err, KP_LIMIT, "more than %d sample types", MAX_SAMPLE_TYPES);
        return 0;
    case PROFILE_SAMPLE:
        return count(w, &w->s.n_samples, "samples");
    case PROFILE_MAPPING:
        return collect(w, f, &w->mappings, &w->s.n_mappings, "mapping", "mappings");
    case PROFILE_LOCATION:
        return collect(w, f, &w->locations, &w->s.n_locations, "location", "locations");
    case PROFILE_FUNCTION:
        return collect(w, f, &w->functions, &w->s.n_functions, "function", "functions");
    case PROFILE_STRING_TABLE:
        return take_string(w, f);
    default:
        return 0;
    }
}

static int survey_field(struct walk *w, const struct kp_proto *f)
{
    int64_t index;
    switch (f->field) {
    case PROFILE_SAMPLE_TYPE:
    case PROFILE_SAMPLE:
    case PROFILE_MAPPING:
    case PROFILE_LOCATION:
    case PROFILE_FUNCTION:
    case PROFILE_STRING_TABLE:
    case PROFILE_PERIOD_TYPE:
        return survey_message(w, f);
    case PROFILE_TIME_NANOS:
        return take_time(w, f);
    case PROFILE_DURATION_NANOS:
        return take_number(w, f, "duration_nanos", &w->s.duration_ns);
    case PROFILE_PERIOD:
        return take_number(w, f, "period", &w->s.period);
    case PROFILE_DROP_FRAMES:
    case PROFILE_KEEP_FRAMES:
    case PROFILE_DEFAULT_SAMPLE_TYPE:
    case PROFILE_DOC_URL:
        return take_number(w, f, "a string index of the profile", &index);
    default:
        return 0; // comments in pass 2; unknown fields never
    }
}

static int seal_ids(struct walk *w)
{
    const struct {
        struct kp_idset *set;
        const char *many;
    } rows[] = {{&w->mappings, "mappings"}, {&w->locations, "locations"}, {&w->functions, "functions"}};
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        uint64_t twice;
        if (!kp_idset_seal(rows[i].set, &twice))
            return kp_fail(
                w->err, KP_INVALID, "two %s have the id %llu", rows[i].many, (unsigned long long)twice);
    }
    return 0;
}

static int survey(struct walk *w)
{
    struct kp_proto f;
    kp_proto_start(&f, w->data, w->len);
    while (kp_proto_next(&f)) {
        int rc = survey_field(w, &f);
        if (rc != 0)
            return rc;
    }
    if (f.bad)
        return kp_fail(
            w->err, KP_INVALID, "not a pprof profile: no protobuf at byte %zu", (size_t)(f.p - w->data));
    if (w->s.n_strings == 0)
        return kp_fail(w->err, KP_INVALID, "not a pprof profile: it has no string table");
    if (w->s.n_sample_types == 0 && w->s.n_samples > 0)
        return kp_fail(w->err, KP_INVALID, "there are samples, but no sample types");
    return seal_ids(w);
}

// ---- pass 2 ----

static int check_index(struct walk *w, const char *what, size_t number, const char *member, uint64_t index)
{
    if (index < w->s.n_strings)
        return 0;
    if (number == 0)
        return kp_fail(w->err, KP_INVALID, "%s names string %lld, but there are only %zu", what,
            (long long)index, w->s.n_strings);
    return kp_fail(w->err, KP_INVALID, "%s of %s %zu is string %lld, but there are only %zu", member, what,
        number, (long long)index, w->s.n_strings);
}

// A message of numbers; of several the last counts. Fields whose bit is set in `strings` are string indices.
static int check_flat(struct walk *w, const struct kp_proto *f, const char *what, size_t number,
    unsigned n_fields, unsigned strings, uint64_t *values)
{
    struct kp_proto m;
    kp_proto_start(&m, f->data, f->len);
    while (kp_proto_next(&m)) {
        if (m.field == 0 || m.field > n_fields)
            continue;
        if (m.type != KP_PROTO_VARINT)
            return kp_fail(
                w->err, KP_INVALID, "field %u of %s %zu is not a number", (unsigned)m.field, what, number);
        values[m.field] = m.value;
    }
    if (m.bad)
        return broken(w, what, number);
    for (unsigned i = 1; i <= n_fields; i++) {
        int rc = strings >> i & 1 ? check_index(w, what, number, "a text", values[i]) : 0;
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int check_value_type(struct walk *w, const struct kp_proto *f, bool period)
{
    uint64_t values[3] = {0};
    int rc = check_flat(w, f, period ? "period type" : "sample type", period ? 1 : ++w->at_type, 2,
        1U << 1 | 1U << 2, values);
    if (rc == 0 && !period && w->at_type == 1) {
        w->first_type = values[1];
        w->first_unit = values[2];
    }
    return rc;
}

static int check_mapping(struct walk *w, const struct kp_proto *f)
{
    uint64_t values[11] = {0};
    int rc = check_flat(w, f, "mapping", ++w->at_mapping, 10, 1U << 5 | 1U << 6, values);
    if (rc == 0 && w->at_mapping == 1)
        w->build_id = values[6];
    return rc;
}

static int check_function(struct walk *w, const struct kp_proto *f)
{
    uint64_t values[6] = {0};
    return check_flat(w, f, "function", ++w->at_function, 5, 1U << 2 | 1U << 3 | 1U << 4, values);
}

static int check_line(struct walk *w, const struct kp_proto *f)
{
    uint64_t values[4] = {0};
    int rc = check_flat(w, f, "a line of location", w->at_location, 3, 0, values);
    if (rc == 0 && !kp_idset_has(&w->functions, values[1]))
        return kp_fail(w->err, KP_INVALID, "location %zu has a line in function %llu, which does not exist",
            w->at_location, (unsigned long long)values[1]);
    return rc;
}

// What decoding would hold of what is only limited for each sample and location.
static int check_total(struct walk *w)
{
    if (w->n_frames <= 16 * w->max_entities && w->n_labels <= 4 * w->max_entities &&
        w->n_lines <= 4 * w->max_entities)
        return 0;
    return kp_fail(w->err, KP_LIMIT, "profile has too many frames, labels or inlined lines in all");
}

static int check_location(struct walk *w, const struct kp_proto *f)
{
    struct kp_proto m;
    size_t n_lines = 0;
    w->at_location++;
    kp_proto_start(&m, f->data, f->len);
    while (kp_proto_next(&m)) {
        if (m.field == 0 || m.field > 5)
            continue;
        if (m.type != (m.field == 4 ? KP_PROTO_BYTES : KP_PROTO_VARINT))
            return kp_fail(w->err, KP_INVALID, "field %u of location %zu has the wrong type",
                (unsigned)m.field, w->at_location);
        if (m.field != 4)
            continue;
        if (++n_lines > w->max_depth)
            return kp_fail(
                w->err, KP_LIMIT, "location %zu has more than %zu lines", w->at_location, w->max_depth);
        int rc = check_line(w, &m);
        if (rc != 0)
            return rc;
    }
    w->n_lines += n_lines;
    return m.bad ? broken(w, "location", w->at_location) : check_total(w);
}

static int check_label(struct walk *w, const struct kp_proto *f, size_t *n)
{
    uint64_t values[5] = {0};
    int rc = check_flat(w, f, "a label of sample", w->at_sample, 4, 0, values);
    if (rc == 0 && values[2] == 0 && values[3] == 0 && values[4] == 0)
        return 0; // google/pprof does not look at such a one
    if (rc == 0 && ++*n > w->max_labels)
        rc = kp_fail(w->err, KP_LIMIT, "sample %zu has more than %zu labels", w->at_sample, w->max_labels);
    if (rc == 0)
        rc = check_index(w, "sample", w->at_sample, "a label's key", values[1]);
    if (rc == 0)
        rc = check_index(w, "sample", w->at_sample, "a label's value", values[2]);
    if (rc == 0 && values[2] == 0)
        rc = check_index(w, "sample", w->at_sample, "a label's unit", values[4]);
    return rc;
}

static int check_stack(struct walk *w, const struct kp_proto *m, size_t *depth)
{
    struct kp_proto_values it = kp_proto_values(m);
    uint64_t id;
    while (kp_proto_value(&it, &id)) {
        if (!kp_idset_has(&w->locations, id))
            return kp_fail(w->err, KP_INVALID, "sample %zu names location %llu, which does not exist",
                w->at_sample, (unsigned long long)id);
        if (++*depth > w->max_depth)
            return kp_fail(
                w->err, KP_LIMIT, "sample %zu has more than %zu frames", w->at_sample, w->max_depth);
    }
    return it.bad ? broken(w, "sample", w->at_sample) : 0;
}

static int count_values(struct walk *w, const struct kp_proto *m, size_t *n)
{
    struct kp_proto_values it = kp_proto_values(m);
    uint64_t v;
    while (kp_proto_value(&it, &v))
        ++*n;
    return it.bad ? broken(w, "sample", w->at_sample) : 0;
}

static int check_sample(struct walk *w, const struct kp_proto *f)
{
    struct kp_proto m;
    size_t depth = 0;
    size_t n_values = 0;
    size_t n_labels = 0;
    w->at_sample++;
    kp_proto_start(&m, f->data, f->len);
    while (kp_proto_next(&m)) {
        int rc = 0;
        if (m.field == 1) {
            rc = check_stack(w, &m, &depth);
        } else if (m.field == 2) {
            rc = count_values(w, &m, &n_values);
        } else if (m.field == 3) {
            if (m.type != KP_PROTO_BYTES)
                return broken(w, "sample", w->at_sample);
            rc = check_label(w, &m, &n_labels);
        }
        if (rc != 0)
            return rc;
    }
    if (m.bad)
        return broken(w, "sample", w->at_sample);
    if (n_values != w->s.n_sample_types)
        return kp_fail(w->err, KP_INVALID, "sample %zu has %zu values, but there are %zu sample types",
            w->at_sample, n_values, w->s.n_sample_types);
    w->n_frames += depth;
    w->n_labels += n_labels;
    return check_total(w);
}

static int check_comments(struct walk *w, const struct kp_proto *f)
{
    struct kp_proto_values it = kp_proto_values(f);
    uint64_t index;
    while (kp_proto_value(&it, &index)) {
        int rc = count(w, &w->n_comments, "comments");
        if (rc == 0)
            rc = check_index(w, "a comment", 0, NULL, index);
        if (rc != 0)
            return rc;
    }
    return it.bad ? kp_fail(w->err, KP_INVALID, "the comments are cut short") : 0;
}

static int check_field(struct walk *w, const struct kp_proto *f)
{
    static const char *const strings[] = {[PROFILE_DROP_FRAMES] = "drop_frames",
        [PROFILE_KEEP_FRAMES] = "keep_frames",
        [PROFILE_DEFAULT_SAMPLE_TYPE] = "default_sample_type",
        [PROFILE_DOC_URL] = "doc_url"};
    switch (f->field) {
    case PROFILE_SAMPLE_TYPE:
    case PROFILE_PERIOD_TYPE:
        return check_value_type(w, f, f->field == PROFILE_PERIOD_TYPE);
    case PROFILE_SAMPLE:
        return check_sample(w, f);
    case PROFILE_MAPPING:
        return check_mapping(w, f);
    case PROFILE_LOCATION:
        return check_location(w, f);
    case PROFILE_FUNCTION:
        return check_function(w, f);
    case PROFILE_COMMENT:
        return check_comments(w, f);
    case PROFILE_DEFAULT_SAMPLE_TYPE:
        w->default_type = f->value;
        break;
    }
    bool is_string = f->field < KP_COUNT(strings) && strings[f->field];
    return is_string ? check_index(w, strings[f->field], 0, NULL, f->value) : 0;
}

static int inspect(struct walk *w)
{
    struct kp_proto f;
    kp_proto_start(&f, w->data, w->len);
    while (kp_proto_next(&f)) {
        int rc = check_field(w, &f);
        if (rc != 0)
            return rc;
    }
    return 0;
}

// ---- the summary's few strings ----

static void fetch_strings(struct walk *w)
{
    const struct {
        uint64_t index;
        char *out;
    } wanted[] = {{w->first_type, w->s.first_type}, {w->first_unit, w->s.first_unit},
        {w->default_type, w->s.default_type}, {w->build_id, w->s.build_id}};
    struct kp_proto f;
    uint64_t at = 0;
    kp_proto_start(&f, w->data, w->len);
    while (kp_proto_next(&f)) {
        if (f.field != PROFILE_STRING_TABLE)
            continue;
        for (size_t i = 0; i < KP_COUNT(wanted); i++)
            if (wanted[i].index == at)
                kp_printable(wanted[i].out, sizeof w->s.first_type, (const char *)f.data, f.len);
        at++;
    }
}

int kp_profile_walk(const uint8_t *data, size_t len, const struct kp_profile_limits *limits,
    struct kp_profile_summary *ret, struct kp_error *err)
{
    _Static_assert(sizeof ret->first_type == sizeof ret->build_id, "fetch_strings writes them alike");
    struct walk w = {.data = data,
        .len = len,
        .max_entities = limits->max_entities,
        .max_depth = limits->max_depth,
        .max_labels = limits->max_labels,
        .s.inflated_bytes = len,
        .err = err};
    int rc = survey(&w);
    if (rc == 0)
        rc = inspect(&w);
    if (rc == 0)
        fetch_strings(&w);
    kp_idset_finish(&w.mappings);
    kp_idset_finish(&w.locations);
    kp_idset_finish(&w.functions);
    if (rc == 0)
        *ret = w.s;
    return rc;
}
