// Heap, growth and fragmentation texts:
//     heap profile: OBJECTS: BYTES [OBJECTS: BYTES] @ heap/RATE
//     OBJECTS: BYTES [OBJECTS: BYTES] @ ADDRESSES
// in use first, allocated in brackets. heap and heap_v2 hold what was sampled and are scaled up.
#include <math.h>
#include <string.h>

#include "profile/legacy_private.h"
#include "base/banned.h"

struct counts {
    struct kp_text number[4];
};

static bool take_counts(const char **p, const char *end, bool negative, struct counts *ret)
{
    static const char *const behind[] = {":", "", ":", ""};
    for (int i = 0; i < 4; i++) {
        const char *start = *p;
        if (negative && i < 2)
            kp_take_word(p, end, "-");
        if (!kp_take_digits(p, end, &ret->number[i]))
            return false;
        ret->number[i] = (struct kp_text){start, (size_t)(*p - start)};
        if (!kp_take_word(p, end, behind[i]))
            return false;
        kp_take_spaces(p, end);
        if (i == 1 && !kp_take_word(p, end, "["))
            return false;
        if (i == 1)
            kp_take_spaces(p, end);
    }
    return kp_take_word(p, end, "]");
}

// ---- the header ----

struct header {
    bool scaled, alloc;
};

static bool same(struct kp_text a, struct kp_text b)
{
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static bool is_zero(struct kp_text t)
{
    return t.len == 1 && t.data[0] == '0';
}

static bool is_name_char(char c)
{
    return c == '_' || (c >= 'a' && c <= 'z') || kp_text_is_digit(c);
}

// Behind "heap profile:". 0, or KP_NOT_FOUND when it looked right and is of a kind nobody knows.
static bool take_kind(struct kp_legacy *l, const char *p, const char *end, struct header *h, int *ret_rc)
{
    struct counts c;
    kp_take_spaces(&p, end);
    if (!take_counts(&p, end, false, &c))
        return false;
    kp_take_spaces(&p, end);
    if (!kp_take_word(&p, end, "@"))
        return false;
    kp_take_spaces(&p, end);
    struct kp_text kind = {p, 0};
    while (p < end && is_name_char(*p))
        p++;
    kind.len = (size_t)(p - kind.data);
    if (!kp_text_starts(kind, "heap"))
        return false;
    struct kp_text rate;
    kp_take_word(&p, end, "/");
    *ret_rc = 0;
    if (kp_take_digits(&p, end, &rate) && !kp_text_int(rate, false, &l->period))
        *ret_rc = KP_NOT_FOUND;
    h->alloc = (!same(c.number[2], c.number[0]) && !is_zero(c.number[2])) ||
               (!same(c.number[3], c.number[1]) && !is_zero(c.number[3]));
    if (kp_text_is(kind, "heap")) {
        h->scaled = true;
        l->period /= 2;
    } else if (kp_text_is(kind, "heapprofile")) {
        l->period = 1;
    } else if (kp_text_is(kind, "heap_v2") || kp_text_is(kind, "heapz_v2")) {
        h->scaled = true;
    } else {
        *ret_rc = KP_NOT_FOUND;
    }
    return true;
}

static bool is_growth(const char *p, const char *end)
{
    struct counts c;
    kp_take_spaces(&p, end);
    return take_counts(&p, end, false, &c) &&
           (kp_take_word(&p, end, " @ growth") || kp_take_word(&p, end, " @ fragmentation"));
}

static int take_header(struct kp_legacy *l, struct kp_text line, struct header *h)
{
    const char *end = line.data + line.len;
    int rc;
    for (int growth = 0; growth < 2; growth++) {
        const char *p = line.data;
        while ((p = kp_text_find((struct kp_text){p, (size_t)(end - p)}, "heap profile:"))) {
            p += strlen("heap profile:");
            if (growth == 0 && take_kind(l, p, end, h, &rc))
                return rc;
            if (growth == 1 && is_growth(p, end)) {
                l->period = 1;
                return 0;
            }
        }
    }
    return KP_NOT_FOUND;
}

// ---- samples ----

static int64_t to_int(double v)
{
    return v > -9223372036854775808.0 && v < 9223372036854775808.0 ? (int64_t)v : INT64_MIN;
}

// A block of the average size is sampled with probability 1 - exp(-size / rate).
void kp_legacy_unsample(int64_t *count, int64_t *bytes, int64_t rate)
{
    if (*count == 0 || *bytes == 0) {
        *count = *bytes = 0;
        return;
    }
    if (rate <= 1)
        return;
    double average = (double)*bytes / (double)*count;
    double factor = 1 / (1 - exp(-average / (double)rate));
    *count = to_int((double)*count * factor);
    *bytes = to_int((double)*bytes * factor);
}

static int take_pair(struct kp_legacy *l, const struct kp_legacy_lines *lines, bool scaled,
    const struct kp_text *numbers, struct kp_legacy_sample *s, unsigned at)
{
    int64_t count;
    int64_t bytes;
    if (!kp_text_int(numbers[0], false, &count) || !kp_text_int(numbers[1], false, &bytes))
        return kp_fail(l->err, KP_INVALID, "line %zu holds a number of more than 64 bits", lines->number);
    if (count == 0 && bytes != 0)
        return kp_fail(
            l->err, KP_INVALID, "line %zu has %lld bytes in no objects", lines->number, (long long)bytes);
    if (count != 0) {
        s->block_bytes = count == -1 ? (int64_t) - (uint64_t)bytes : bytes / count;
        if (scaled)
            kp_legacy_unsample(&count, &bytes, l->period);
    }
    s->values[at] = count;
    s->values[at + 1] = bytes;
    return 0;
}

// Where in the line the counts begin: at the first place from which they can be read.
static bool find_counts(struct kp_text line, struct counts *ret, const char **ret_behind)
{
    const char *end = line.data + line.len;
    for (const char *p = line.data; p < end;) {
        const char *q = p;
        if (take_counts(&q, end, true, ret) && kp_take_word(&q, end, " @")) {
            *ret_behind = q;
            return true;
        }
        if (!kp_text_is_digit(*p)) {
            p++;
            continue;
        }
        while (p < end && kp_text_is_digit(*p)) // from within the number it goes no better
            p++;
    }
    return false;
}

static int take_sample(
    struct kp_legacy *l, const struct kp_legacy_lines *lines, struct kp_text line, struct header h)
{
    struct counts c;
    const char *p;
    const char *end = line.data + line.len;
    int rc = 0;
    if (!find_counts(line, &c, &p))
        return kp_fail(l->err, KP_INVALID,
            "line %zu of the heap text is not 'OBJECTS: BYTES [...] @ ADDRESSES'", lines->number);
    struct kp_legacy_sample *s = kp_legacy_add_sample(l, &rc);
    if (s == NULL)
        return rc;
    if (h.alloc)
        rc = take_pair(l, lines, h.scaled, &c.number[2], s, 0);
    if (rc == 0)
        rc = take_pair(l, lines, h.scaled, &c.number[0], s, h.alloc ? 2 : 0);
    const char *stop = p;
    while (stop < end && memchr(" x0123456789abcdef", *stop, 18))
        stop++;
    return rc != 0 ? rc : kp_legacy_add_addresses(l, (struct kp_text){p, (size_t)(stop - p)}, 1);
}

static void set_types(struct kp_legacy *l, bool alloc)
{
    static const char *const all[] = {"alloc_objects", "alloc_space", "inuse_objects", "inuse_space"};
    static const char *const few[] = {"objects", "space"};
    static const char *const units[] = {"count", "bytes", "count", "bytes"};
    l->n_types = alloc ? 4 : 2;
    memcpy(l->types, alloc ? all : few, l->n_types * sizeof *all);
    memcpy(l->units, units, sizeof units);
    l->period_type = "space";
    l->period_unit = "bytes";
}

int kp_legacy_heap(struct kp_legacy *l, struct kp_text text)
{
    struct kp_legacy_lines lines = {.p = text.data, .end = text.data + text.len};
    struct header h = {0};
    kp_legacy_next(&lines);
    if (take_header(l, lines.line, &h) != 0)
        return kp_fail(l->err, KP_NOT_FOUND, "not a heap text");
    set_types(l, h.alloc);
    while (kp_legacy_next(&lines)) {
        struct kp_text line = kp_text_trim(lines.line);
        if (kp_text_is_comment(line))
            continue;
        if (kp_legacy_is_map_start(line))
            break;
        int rc = take_sample(l, &lines, line, h);
        if (rc != 0)
            return rc;
    }
    if (lines.too_long)
        return kp_fail(l->err, KP_INVALID, "line %zu is too long for a text profile", lines.number);
    return kp_legacy_read_rest(l, &lines);
}
