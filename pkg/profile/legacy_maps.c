// Memory maps behind the samples: lines of /proc/PID/maps, or the shorter
//     START-LIMIT [PERMISSIONS] [FILE] [(@OFFSET)] [BUILD]
// and assignments NAME=VALUE whose $NAME stands in later lines. A log prefix (FILE:LINE] ) is skipped.
#include <string.h>

#include "base/alloc.h"
#include "base/strbuf.h"
#include "profile/legacy_private.h"
#include "base/banned.h"

#define MAX_MAPPINGS 4096
#define MAX_NAMES    64
#define MAX_LINE     65535

bool kp_legacy_is_map_start(struct kp_text line)
{
    return kp_text_find(line, "--- Memory map: ---") || kp_text_find(line, "MAPPED_LIBRARIES:");
}

// ---- one line ----

struct entry {
    struct kp_text start, limit, permissions, offset, file, build_id;
};

static struct kp_text take_hex(const char **p, const char *end)
{
    const char *start = *p;
    if (end - *p > 2 && (*p)[0] == '0' && (*p)[1] == 'x' && kp_text_hex((*p)[2]) >= 0)
        start = *p += 2;
    while (*p < end && kp_text_hex(**p) >= 0)
        ++*p;
    return (struct kp_text){start, (size_t)(*p - start)};
}

static void take_any_spaces(const char **p, const char *end)
{
    while (*p < end && kp_text_is_space(**p))
        ++*p;
}

// START, one blank or dash, LIMIT. Without a second number the last digit of the first one is it: odd, but so
// google/pprof reads it.
static bool take_range(const char **p, const char *end, bool split, struct entry *e)
{
    take_any_spaces(p, end);
    e->start = take_hex(p, end);
    if (e->start.len == 0)
        return false;
    if (split) {
        if (e->start.len < 2)
            return false;
        e->start.len--;
        *p = e->start.data + e->start.len;
    } else {
        if (*p < end && (kp_text_is_space(**p) || **p == '-'))
            ++*p;
        take_any_spaces(p, end);
    }
    e->limit = take_hex(p, end);
    if (e->limit.len > 0)
        kp_take_word(p, end, ":");
    return e->limit.len > 0;
}

static bool is_all(struct kp_text t, bool (*is)(char c))
{
    for (size_t i = 0; i < t.len; i++)
        if (!is(t.data[i]))
            return false;
    return t.len > 0;
}

static bool is_permission(char c)
{
    return c == '-' || c == 'r' || c == 'w' || c == 'x' || c == 'p';
}

static bool is_hex(char c)
{
    return kp_text_hex(c) >= 0;
}

// The next word, if a blank stands before it.
static struct kp_text peek_word(const char *p, const char *end, const char **ret_behind)
{
    const char *start = p;
    take_any_spaces(&start, end);
    const char *stop = start;
    while (stop < end && !kp_text_is_space(*stop))
        stop++;
    *ret_behind = stop;
    return (struct kp_text){start, start > p ? (size_t)(stop - start) : 0};
}

static bool is_device(struct kp_text t)
{
    const char *colon = memchr(t.data, ':', t.len);
    if (colon == NULL)
        return false;
    size_t n = (size_t)(colon - t.data);
    return is_all((struct kp_text){t.data, n}, is_hex) &&
           is_all((struct kp_text){colon + 1, t.len - n - 1}, is_hex);
}

// [PERMISSIONS] [OFFSET] DEVICE INODE [FILE]
static bool take_proc_rest(const char *p, const char *end, struct entry *e)
{
    const char *behind;
    struct kp_text word = peek_word(p, end, &behind);
    if (is_all(word, is_permission)) {
        e->permissions = word;
        word = peek_word(p = behind, end, &behind);
    }
    if (is_all(word, is_hex)) {
        e->offset = word;
        word = peek_word(p = behind, end, &behind);
    }
    if (word.len == 0 || !is_device(word))
        return false;
    word = peek_word(behind, end, &behind);
    p = word.data;
    if (word.len == 0 || !kp_take_digits(&p, end, &word))
        return false;
    e->file = peek_word(p, end, &behind);
    return true;
}

// [PERMISSIONS] [FILE] [(@OFFSET)] [BUILD]; the rest of the line does not matter.
static void take_brief_rest(const char *p, const char *end, struct entry *e)
{
    const char *behind;
    struct kp_text word = peek_word(p, end, &behind);
    size_t n = 0;
    while (n < word.len && is_permission(word.data[n]))
        n++;
    if (n > 0) {
        e->permissions = (struct kp_text){word.data, n};
        p = word.data + n;
    }
    word = peek_word(p, end, &behind);
    if (word.len > 0) {
        e->file = word;
        p = behind;
    }
    const char *q = peek_word(p, end, &behind).data;
    if (q > p && kp_take_word(&q, end, "(@")) {
        const char *digits = q;
        while (q < end && is_hex(*q))
            q++;
        if (q > digits && q < end && *q == ')') {
            e->offset = (struct kp_text){digits, (size_t)(q - digits)};
            p = q + 1;
        }
    }
    word = peek_word(p, end, &behind);
    n = 0;
    while (n < word.len && is_hex(word.data[n]))
        n++;
    e->build_id = (struct kp_text){word.data, n};
}

static bool take_entry(struct kp_text line, struct entry *e)
{
    const char *end = line.data + line.len;
    for (int i = 0; i < 4; i++) { // both forms, each with two ways to read the range
        const char *p = line.data;
        *e = (struct entry){0};
        if (!take_range(&p, end, i % 2 == 1, e))
            continue;
        if (i < 2 && take_proc_rest(p, end, e))
            return true;
        if (i >= 2) {
            take_brief_rest(p, end, e);
            return true;
        }
    }
    return false;
}

// ---- all lines ----

struct names {
    KP_ARRAY(char *) items; // name, value, ...
    struct kp_strbuf line;  // with the values put in
};

static struct kp_text without_log_prefix(struct kp_text line)
{
    const char *bracket = memchr(line.data, ']', line.len);
    if (bracket == NULL || memchr(line.data, '[', (size_t)(bracket - line.data)))
        return line;
    const char *digits = bracket;
    while (digits > line.data && kp_text_is_digit(digits[-1]))
        digits--;
    const char *end = line.data + line.len;
    if (digits == bracket || digits - line.data < 2 || digits[-1] != ':' || bracket + 1 == end ||
        !kp_text_is_space(bracket[1]))
        return line;
    return (struct kp_text){bracket + 2, (size_t)(end - bracket - 2)};
}

static struct kp_text replace(struct names *names, struct kp_text line)
{
    if (names->items.n == 0 || memchr(line.data, '$', line.len) == NULL)
        return line;
    kp_strbuf_clear(&names->line);
    const char *p = line.data;
    const char *end = line.data + line.len;
    while (p < end) {
        size_t i = 0;
        const char *q = p + 1;
        while (*p == '$' && i < names->items.n && !kp_take_word(&q, end, names->items.items[i]))
            i += 2;
        if (*p == '$' && i < names->items.n) {
            kp_strbuf_adds(&names->line, names->items.items[i + 1]);
            p = q;
        } else {
            kp_strbuf_addc(&names->line, *p++);
        }
    }
    return (struct kp_text){names->line.data, names->line.len};
}

static void remember(struct names *names, struct kp_text line)
{
    const char *equals = memchr(line.data, '=', line.len);
    if (equals == NULL || names->items.n >= (size_t)2 * MAX_NAMES)
        return;
    size_t n = (size_t)(equals - line.data);
    struct kp_text name = kp_text_trim((struct kp_text){line.data, n});
    struct kp_text value = kp_text_trim((struct kp_text){equals + 1, line.len - n - 1});
    *kp_array_add(&names->items) = kp_strndup(name.data, name.len);
    *kp_array_add(&names->items) = kp_strndup(value.data, value.len);
}

static int take_line(struct kp_legacy *l, struct names *names, struct kp_text line)
{
    struct entry e;
    struct kp_legacy_mapping m = {0};
    line = replace(names, without_log_prefix(line));
    bool is = take_entry(line, &e);
    if (is && e.permissions.len > 0 && memchr(e.permissions.data, 'x', e.permissions.len) == NULL)
        return 0; // no code there
    if (!is || !kp_text_uint(e.start, 16, &m.start) || !kp_text_uint(e.limit, 16, &m.limit) ||
        (e.offset.len > 0 && !kp_text_uint(e.offset, 16, &m.offset))) {
        remember(names, line);
        return 0;
    }
    if (l->mappings.n >= MAX_MAPPINGS)
        return kp_fail(l->err, KP_LIMIT, "more than %d mappings", MAX_MAPPINGS);
    m.file = e.file.len > 0 ? kp_strndup(e.file.data, e.file.len) : kp_strdup("");
    m.build_id = e.build_id.len > 0 ? kp_strndup(e.build_id.data, e.build_id.len) : kp_strdup("");
    *kp_array_add(&l->mappings) = m;
    return 0;
}

int kp_legacy_read_maps(struct kp_legacy *l, struct kp_legacy_lines *lines)
{
    struct names names = {0};
    int rc = 0;
    kp_strbuf_init(&names.line, MAX_LINE);
    while (rc == 0 && kp_legacy_next(lines))
        rc = take_line(l, &names, lines->line);
    kp_strbuf_finish(&names.line);
    for (size_t i = 0; i < names.items.n; i++)
        kp_free(names.items.items[i]);
    kp_array_free(&names.items);
    if (rc == 0 && lines->too_long)
        return kp_fail(l->err, KP_INVALID, "line %zu is longer than %d bytes", lines->number, MAX_LINE);
    return rc;
}

int kp_legacy_read_rest(struct kp_legacy *l, struct kp_legacy_lines *lines)
{
    while (!kp_legacy_is_map_start(lines->line) && kp_legacy_next(lines))
        continue;
    return kp_legacy_read_maps(l, lines);
}
