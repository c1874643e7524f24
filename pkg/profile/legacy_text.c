// Goroutine and threadcreate counts, threads, mutex and contention texts.
#include <string.h>

#include "base/alloc.h"
#include "profile/legacy_private.h"
#include "base/banned.h"

static struct kp_legacy_lines start(struct kp_text text)
{
    return (struct kp_legacy_lines){.p = text.data, .end = text.data + text.len};
}

static int not_this(struct kp_legacy *l)
{
    return kp_fail(l->err, KP_NOT_FOUND, "not a legacy profile");
}

static int too_long(struct kp_legacy *l, const struct kp_legacy_lines *lines)
{
    return kp_fail(l->err, KP_INVALID, "line %zu is too long for a text profile", lines->number);
}

// The first line that says something; empty at the end.
static void skip_comments(struct kp_legacy_lines *lines)
{
    while (kp_legacy_next(lines) && kp_text_is_comment(lines->line))
        continue;
}

// ---- NAME profile: total N ----

static bool take_count_header(struct kp_legacy *l, struct kp_text line)
{
    const char *p = line.data;
    const char *end = p + line.len;
    struct kp_text number;
    while (p < end && !kp_text_is_space(*p))
        p++;
    size_t n = (size_t)(p - line.data);
    if (n == 0 || !kp_take_word(&p, end, " profile: total ") || !kp_take_digits(&p, end, &number) || p != end)
        return false;
    if (memchr(line.data, '\0', n))
        return false;
    l->name = kp_strndup(line.data, n);
    l->types[0] = l->period_type = l->name;
    l->units[0] = l->period_unit = "count";
    l->n_types = 1;
    l->period = 1;
    return true;
}

// COUNT @ 0xA 0xB ..., and nothing else.
static int take_count(struct kp_legacy *l, const struct kp_legacy_lines *lines)
{
    const char *p = lines->line.data;
    const char *end = p + lines->line.len;
    struct kp_text number;
    int64_t n;
    int rc = 0;
    bool good = kp_take_digits(&p, end, &number) && kp_take_word(&p, end, " @") && p < end &&
                kp_text_int(number, true, &n);
    struct kp_legacy_sample *s = good ? kp_legacy_add_sample(l, &rc) : NULL;
    if (rc != 0)
        return rc;
    if (s)
        s->values[0] = n;
    while (good && p < end && rc == 0) {
        uint64_t address;
        good = kp_take_word(&p, end, " 0x");
        const char *digits = p;
        while (p < end && kp_text_hex(*p) >= 0 && !(*p >= 'A' && *p <= 'F'))
            p++;
        good = good && kp_text_uint((struct kp_text){digits, (size_t)(p - digits)}, 16, &address);
        rc = good ? kp_legacy_add_address(l, address - 1) : 0; // onto the call
    }
    if (!good)
        return kp_fail(l->err, KP_INVALID, "line %zu of the %s text is not 'COUNT @ ADDRESSES'",
            lines->number, l->types[0]);
    return rc;
}

int kp_legacy_count(struct kp_legacy *l, struct kp_text text)
{
    struct kp_legacy_lines lines = start(text);
    skip_comments(&lines);
    if (!take_count_header(l, lines.line))
        return not_this(l);
    while (kp_legacy_next(&lines)) {
        if (kp_text_is_comment(lines.line))
            continue;
        if (kp_text_starts(lines.line, "---"))
            break;
        int rc = take_count(l, &lines);
        if (rc != 0)
            return rc;
    }
    if (lines.too_long)
        return too_long(l, &lines);
    return kp_legacy_read_rest(l, &lines);
}

// ---- threadz ----

// --- threadz N ---, anywhere in the line.
static bool is_threads_header(struct kp_text line)
{
    const char *end = line.data + line.len;
    const char *p = line.data;
    while ((p = kp_text_find((struct kp_text){p, (size_t)(end - p)}, "--- threadz "))) {
        struct kp_text number;
        p += strlen("--- threadz ");
        const char *q = p;
        if (kp_take_digits(&q, end, &number) && kp_take_word(&q, end, " ---"))
            return true;
    }
    return false;
}

// --- Thread HEX (name: NAME/NUMBER) stack: ---, anywhere in the line.
static bool is_thread_header(struct kp_text line)
{
    const char *end = line.data + line.len;
    const char *p = line.data;
    const char *name = NULL; // of the first that begins right: what follows may hold anything
    while (name == NULL && (p = kp_text_find((struct kp_text){p, (size_t)(end - p)}, "--- Thread "))) {
        p += strlen("--- Thread ");
        const char *q = p;
        while (q < end && kp_text_hex(*q) >= 0)
            q++;
        if (q > p && kp_take_word(&q, end, " (name: "))
            name = q;
    }
    for (p = name; p; p++) {
        p = kp_text_find((struct kp_text){p, (size_t)(end - p)}, ") stack: ---");
        if (p == NULL)
            break;
        const char *digits = p;
        while (digits > name && kp_text_is_digit(digits[-1]))
            digits--;
        if (digits < p && digits > name && digits[-1] == '/')
            return true;
    }
    return false;
}

// Reads one stack; the line behind it is in hand afterwards.
static int take_thread(struct kp_legacy *l, struct kp_legacy_lines *lines, struct kp_text *line)
{
    bool same = false;
    int rc = 0;
    struct kp_legacy_sample *s = kp_legacy_add_sample(l, &rc);
    *line = (struct kp_text){"", 0};
    while (s && kp_legacy_next(lines)) {
        *line = kp_text_trim(lines->line);
        if (kp_text_starts(*line, "---"))
            break;
        if (kp_text_find(*line, "same as previous thread")) {
            same = true;
            continue;
        }
        rc = kp_legacy_add_addresses(l, *line, 1);
        if (rc != 0)
            return rc;
    }
    if (s == NULL)
        return rc;
    if (same || s->n == 0) {
        l->addresses.n = s->first;
        l->samples.n--;
        if (l->samples.n > 0)
            s[-1].values[0]++;
    } else {
        s->values[0] = 1;
        l->addresses.items[s->first]++; // the leaf is no call
    }
    return lines->too_long ? too_long(l, lines) : 0;
}

int kp_legacy_threads(struct kp_legacy *l, struct kp_text text)
{
    struct kp_legacy_lines lines = start(text);
    skip_comments(&lines);
    struct kp_text line = lines.line;
    if (is_threads_header(line)) {
        while (kp_legacy_next(&lines)) {
            line = lines.line;
            if (kp_legacy_is_map_start(line) || kp_text_starts(line, "-"))
                break;
        }
    } else if (!is_thread_header(line)) {
        return not_this(l);
    }
    l->types[0] = l->period_type = "thread";
    l->units[0] = l->period_unit = "count";
    l->n_types = 1;
    l->period = 1;
    l->leaf_twins = true;
    while (!kp_legacy_is_map_start(line) && !kp_text_starts(line, "---- no stack trace for")) {
        if (!is_thread_header(line))
            return not_this(l);
        int rc = take_thread(l, &lines, &line);
        if (rc != 0)
            return rc;
    }
    return kp_legacy_read_rest(l, &lines);
}

// ---- mutex, contention ----

// 1: taken; 0: no attribute, the samples begin; negative: an error.
static int take_attribute(struct kp_legacy *l, struct kp_text line, int64_t *hz)
{
    const char *equals = memchr(line.data, '=', line.len);
    if (equals == NULL)
        return 0;
    int64_t ms = 0;
    size_t n = (size_t)(equals - line.data);
    struct kp_text key = kp_text_trim((struct kp_text){line.data, n});
    struct kp_text value = kp_text_trim((struct kp_text){equals + 1, line.len - n - 1});
    const struct {
        const char *key;
        int64_t *number; // NULL: of no interest
    } rows[] = {{"cycles/second", hz}, {"sampling period", &l->period}, {"ms since reset", &ms},
        {"discarded samples", NULL}};
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        if (!kp_text_is(key, rows[i].key))
            continue;
        if (rows[i].number && !kp_text_int(value, true, rows[i].number))
            return not_this(l);
        if (rows[i].number == &ms)
            l->duration_ns = (int64_t)((uint64_t)ms * 1000000);
        return 1;
    }
    return not_this(l);
}

static int64_t to_int(double v)
{
    return v > -9223372036854775808.0 && v < 9223372036854775808.0 ? (int64_t)v : INT64_MIN;
}

// DELAY COUNT @ ADDRESSES, anywhere in the line; the blank may be missing, then the last digit is the count.
static int take_contention(
    struct kp_legacy *l, const struct kp_legacy_lines *lines, struct kp_text line, int64_t hz)
{
    const char *end = line.data + line.len;
    const char *at = line.data;
    struct kp_text delay = {0};
    struct kp_text count = {0};
    while (delay.len == 0 && (at = kp_text_find((struct kp_text){at, (size_t)(end - at)}, " @"))) {
        const char *c = at;
        while (c > line.data && kp_text_is_digit(c[-1]))
            c--;
        const char *d = c;
        while (d > line.data && d[-1] == ' ')
            d--;
        const char *d_end = d;
        while (d > line.data && kp_text_is_digit(d[-1]))
            d--;
        if (c < at && d < d_end) {
            delay = (struct kp_text){d, (size_t)(d_end - d)};
            count = (struct kp_text){c, (size_t)(at - c)};
        } else if (at - c > 1) {
            delay = (struct kp_text){c, (size_t)(at - c - 1)};
            count = (struct kp_text){at - 1, 1};
        }
        at += 2;
    }
    if (delay.len == 0)
        return not_this(l);
    int rc = 0;
    int64_t v[2];
    if (!kp_text_int(delay, false, &v[1]) || !kp_text_int(count, false, &v[0]))
        return kp_fail(l->err, KP_INVALID, "line %zu holds a number of more than 64 bits", lines->number);
    if (l->period > 0) {
        if (hz > 0)
            v[1] = to_int((double)v[1] * (double)l->period / ((double)hz / 1e9));
        v[0] = (int64_t)((uint64_t)v[0] * (uint64_t)l->period);
    }
    struct kp_legacy_sample *s = kp_legacy_add_sample(l, &rc);
    if (s == NULL)
        return rc;
    memcpy(s->values, v, sizeof v);
    const char *stop = at;
    while (stop < end && memchr(" x0123456789abcdef", *stop, 18))
        stop++;
    return kp_legacy_add_addresses(l, (struct kp_text){at, (size_t)(stop - at)}, 1);
}

int kp_legacy_contention(struct kp_legacy *l, struct kp_text text)
{
    struct kp_legacy_lines lines = start(text);
    int64_t hz = 0;
    kp_legacy_next(&lines);
    if (!kp_text_starts(lines.line, "--- contentionz ") && !kp_text_starts(lines.line, "--- mutex:") &&
        !kp_text_starts(lines.line, "--- contention:"))
        return not_this(l);
    l->types[0] = l->period_type = "contentions";
    l->units[0] = l->period_unit = "count";
    l->types[1] = "delay";
    l->units[1] = "nanoseconds";
    l->n_types = 2;
    l->period = 1;
    while (kp_legacy_next(&lines)) {
        struct kp_text line = kp_text_trim(lines.line);
        if (kp_text_is_comment(line))
            continue;
        int rc = kp_text_starts(line, "---") ? 0 : take_attribute(l, line, &hz);
        if (rc < 0)
            return rc;
        if (rc == 0)
            break;
    }
    do {
        struct kp_text line = kp_text_trim(lines.line);
        if (kp_text_starts(line, "---"))
            break;
        int rc = kp_text_is_comment(line) ? 0 : take_contention(l, &lines, line, hz);
        if (rc != 0)
            return rc;
    } while (kp_legacy_next(&lines));
    return lines.too_long ? too_long(l, &lines) : kp_legacy_read_rest(l, &lines);
}
