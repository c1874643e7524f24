// Java's forms: heap and contention as text, and the binary CPU profile with 1 as its third word. Addresses
// are numbers of frames, told behind the samples:
//     --- heapz 1 ---
//     format = java
//     resolution = bytes
//     BYTES OBJECTS @ 0xA 0xB ...
//     0xA package.Class.method (File.java:12)
// google/pprof's grammar is regular expressions that match anywhere in a line; so it is here.
#include <string.h>

#include "base/alloc.h"
#include "profile/legacy_private.h"
#include "base/banned.h"

#define HEAP_RATE 524288 // bytes between two samples

static int not_this(struct kp_legacy *l)
{
    return kp_fail(l->err, KP_NOT_FOUND, "not a Java profile");
}

// ---- lines ----

// Without blanks around it. What has no line end is no line of header or samples, only one of frames.
static bool take_line(struct kp_text *rest, bool must_end, struct kp_text *ret)
{
    const char *end = rest->len == 0 ? NULL : memchr(rest->data, '\n', rest->len);
    if (rest->len == 0 || (end == NULL && must_end))
        return false;
    size_t len = end ? (size_t)(end - rest->data) : rest->len;
    size_t used = end ? len + 1 : len;
    *ret = kp_text_trim((struct kp_text){rest->data, len});
    *rest = (struct kp_text){rest->data + used, rest->len - used};
    return true;
}

static bool is_word_char(char c)
{
    return c == '_' || c == ' ' || kp_text_is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// ---- the header ----

struct header {
    bool heap;
    const char *types[2];
};

// WORDS=WORDS, at the first place where there are such.
static bool find_attribute(struct kp_text line, struct kp_text *ret_key, struct kp_text *ret_value)
{
    for (size_t i = 1; i + 1 < line.len; i++) {
        if (line.data[i] != '=' || !is_word_char(line.data[i - 1]) || !is_word_char(line.data[i + 1]))
            continue;
        size_t start = i;
        size_t end = i + 1;
        while (start > 0 && is_word_char(line.data[start - 1]))
            start--;
        while (end < line.len && is_word_char(line.data[end]))
            end++;
        *ret_key = kp_text_trim((struct kp_text){line.data + start, i - start});
        *ret_value = kp_text_trim((struct kp_text){line.data + i + 1, end - i - 1});
        return true;
    }
    return false;
}

static void set_resolution(struct kp_legacy *l, const struct header *h, struct kp_text unit)
{
    kp_free(l->name);
    l->name = kp_strndup(unit.data, unit.len);
    l->n_types = 2;
    memcpy(l->types, h->types, sizeof h->types);
    l->units[0] = "count";
    l->units[1] = l->name;
}

static int take_attribute(
    struct kp_legacy *l, const struct header *h, struct kp_text key, struct kp_text value)
{
    int64_t ms;
    if (kp_text_is(key, "format"))
        return kp_text_is(value, "java") ? 0 : not_this(l);
    if (kp_text_is(key, "resolution")) {
        set_resolution(l, h, value);
        return 0;
    }
    if (h->heap)
        return not_this(l);
    if (kp_text_is(key, "sampling period")) {
        l->period_type = "contentions";
        l->period_unit = "count";
        return kp_text_int(value, true, &l->period)
                   ? 0
                   : kp_fail(l->err, KP_INVALID, "the sampling period is no number");
    }
    if (!kp_text_is(key, "ms since reset"))
        return not_this(l);
    if (!kp_text_int(value, true, &ms))
        return kp_fail(l->err, KP_INVALID, "the milliseconds since reset are no number");
    l->duration_ns = (int64_t)((uint64_t)ms * 1000000);
    return 0;
}

static int take_attributes(struct kp_legacy *l, const struct header *h, struct kp_text *rest)
{
    struct kp_text line;
    struct kp_text key;
    struct kp_text value;
    struct kp_text before = *rest;
    for (int rc = 0; take_line(rest, true, &line); before = *rest) {
        if (line.len == 0)
            continue;
        if (!find_attribute(line, &key, &value))
            break;
        rc = take_attribute(l, h, key, value);
        if (rc != 0)
            return rc;
    }
    *rest = before;
    return 0;
}

// ---- samples ----

// Back from *p over blanks (one at least, unless `blanks` is false) and over digits.
static bool take_back(const char *start, const char **p, struct kp_text *ret)
{
    const char *end = *p;
    while (end > start && end[-1] == ' ')
        end--;
    const char *digits = end;
    while (digits > start && kp_text_is_digit(digits[-1]))
        digits--;
    *ret = (struct kp_text){digits, (size_t)(end - digits)};
    bool found = end < *p && digits < end;
    *p = digits;
    return found;
}

// NUMBER NUMBER @ ADDRESSES; what comes first in the line is the second value.
static bool find_sample(struct kp_text line, struct kp_text *numbers, struct kp_text *addresses)
{
    const char *end = line.data + line.len;
    for (const char *at = line.data; at < end && (at = memchr(at, '@', (size_t)(end - at))); at++) {
        const char *p = at;
        if (!take_back(line.data, &p, &numbers[0]) || !take_back(line.data, &p, &numbers[1]) ||
            at + 1 == end || at[1] != ' ')
            continue;
        const char *stop = at + 1;
        while (stop < end && memchr(" x0123456789abcdef", *stop, 18))
            stop++;
        *addresses = (struct kp_text){at + 1, (size_t)(stop - at - 1)};
        return true;
    }
    return false;
}

static int add_sample(
    struct kp_legacy *l, const struct header *h, const struct kp_text *numbers, struct kp_text addresses)
{
    int rc = 0;
    struct kp_legacy_sample *s = kp_legacy_add_sample(l, &rc);
    if (s == NULL)
        return rc;
    int64_t *v = s->values;
    if (!kp_text_int(numbers[0], true, &v[0]) || !kp_text_int(numbers[1], true, &v[1]))
        return kp_fail(l->err, KP_INVALID, "sample %zu holds no number of 64 bits", l->samples.n);
    if (h->heap && v[0] == 0)
        return kp_fail(l->err, KP_INVALID, "sample %zu has bytes in no objects", l->samples.n);
    if (h->heap) {
        s->block_bytes = v[1] / v[0];
        kp_legacy_unsample(&v[0], &v[1], HEAP_RATE);
    } else if (l->period != 0) {
        v[0] = (int64_t)((uint64_t)v[0] * (uint64_t)l->period);
        v[1] = (int64_t)((uint64_t)v[1] * (uint64_t)l->period);
    }
    return kp_legacy_add_addresses(l, addresses, 0);
}

int kp_legacy_java(struct kp_legacy *l, struct kp_text text)
{
    struct header h = {.types = {"contentions", "delay"}};
    struct kp_text line;
    struct kp_text numbers[2];
    struct kp_text addresses;
    if (!take_line(&text, true, &line))
        return not_this(l);
    if (kp_text_is(line, "--- heapz 1 ---"))
        h = (struct header){true, {"inuse_objects", "inuse_space"}};
    else if (!kp_text_is(line, "--- contentionz 1 ---"))
        return not_this(l);
    l->java = true;
    l->period_type = l->period_unit = "";
    int rc = take_attributes(l, &h, &text);
    struct kp_text before = text;
    for (; rc == 0 && take_line(&text, true, &line); before = text) {
        if (line.len == 0)
            continue;
        if (!find_sample(line, numbers, &addresses))
            break;
        rc = add_sample(l, &h, numbers, addresses);
    }
    l->symbols = before;
    if (rc == 0 && l->samples.n > 0 && l->n_types == 0)
        return kp_fail(l->err, KP_INVALID, "the Java text does not say its resolution");
    return rc;
}

// ---- frames ----

struct frame {
    struct kp_text function, file;
    int64_t line;
};

// As in regular expressions, where \v is none.
static bool is_blank(char c)
{
    return kp_text_is_space(c) && c != '\v';
}

// Splits FUNCTION (FILE before its last bracket behind a blank that has as many bytes as this behind it.
static bool split_file(struct kp_text text, size_t min, struct frame *ret)
{
    for (size_t i = text.len; i-- > 1;) {
        if (text.data[i] != '(' || !is_blank(text.data[i - 1]) || text.len - i - 1 < min)
            continue;
        ret->function = (struct kp_text){text.data, i - 1};
        ret->file = (struct kp_text){text.data + i + 1, text.len - i - 1};
        return true;
    }
    return false;
}

static struct kp_text base_name(struct kp_text path)
{
    if (path.len == 0)
        return (struct kp_text){".", 1};
    while (path.len > 1 && path.data[path.len - 1] == '/')
        path.len--;
    const char *slash = path.len == 1 ? NULL : memrchr(path.data, '/', path.len);
    if (slash == NULL)
        return path;
    return (struct kp_text){slash + 1, (size_t)(path.data + path.len - slash - 1)};
}

// FUNCTION (FILE:LINE)
static bool take_file_line(struct kp_text text, struct frame *ret)
{
    const char *colon = memrchr(text.data, ':', text.len);
    if (colon == NULL)
        return false;
    const char *end = text.data + text.len;
    const char *p = colon + 1;
    struct kp_text digits;
    struct kp_text number = {p, (size_t)(end - p)};
    kp_take_word(&p, end, "-");
    if (!kp_take_digits(&p, end, &digits) || p != end)
        return false;
    if (!split_file((struct kp_text){text.data, (size_t)(colon - text.data)}, 1, ret))
        return false;
    ret->line = kp_text_int(number, false, &ret->line) && ret->line > 0 ? ret->line : 0;
    return true;
}

static struct frame read_frame(struct kp_text text)
{
    struct frame f = {.function = text, .file = {"", 0}};
    struct kp_text open = {text.data, text.len == 0 ? 0 : text.len - 1}; // without the closing bracket
    bool is_closed = text.len > 0 && text.data[text.len - 1] == ')';
    if (is_closed && take_file_line(open, &f))
        return f;
    if (is_closed && split_file(open, 0, &f)) // of a library, whose folder says nothing
        f.file = base_name(f.file);
    else if (kp_text_find(text, "generated stub/JIT"))
        f.function = (struct kp_text){"STUB", 4};
    return f;
}

struct functions {
    struct kp_symbols *strings;
    KP_ARRAY(struct kp_function) all;
    KP_ARRAY(uint32_t) of_name; // by string, plus 1
};

// A name is one function, in the file where it is seen first.
static uint32_t add_function(struct functions *fs, const struct frame *f)
{
    uint32_t name = kp_symbols_string(fs->strings, f->function.data, (uint32_t)f->function.len);
    while (fs->of_name.n <= name)
        *kp_array_add(&fs->of_name) = 0;
    if (fs->of_name.items[name] == 0) {
        uint32_t file = kp_symbols_string(fs->strings, f->file.data, (uint32_t)f->file.len);
        *kp_array_add(&fs->all) = (struct kp_function){.name = name, .system_name = name, .filename = file};
        fs->of_name.items[name] = (uint32_t)fs->all.n;
    }
    return fs->of_name.items[name] - 1;
}

// 0xADDRESS TEXT
static bool split_line(struct kp_text line, struct kp_text *ret_address, struct kp_text *ret)
{
    const char *p = line.data;
    const char *end = p + line.len;
    while (p < end && is_blank(*p))
        p++;
    if (!kp_take_word(&p, end, "0x"))
        return false;
    const char *digits = p;
    while (p < end && kp_text_hex(*p) >= 0)
        p++;
    *ret_address = (struct kp_text){digits, (size_t)(p - digits)};
    const char *behind = p;
    while (p < end && is_blank(*p))
        p++;
    *ret = (struct kp_text){p, (size_t)(end - p)};
    return behind > digits && p > behind;
}

// Only those that a location has, in the order of locations.
static void keep_used(struct functions *fs, struct kp_profile *p)
{
    kp_auto_free uint32_t *ids = KP_NEW_ARRAY(uint32_t, fs->all.n + 1);
    p->functions = KP_ARENA_ARRAY(&p->arena, struct kp_function, fs->all.n + 1);
    for (uint32_t i = 0; i < p->n_lines; i++) {
        uint32_t *id = &ids[p->lines[i].function];
        if (*id == 0) {
            p->functions[p->n_functions] = fs->all.items[p->lines[i].function];
            *id = ++p->n_functions;
        }
        p->lines[i].function = *id - 1;
    }
}

int kp_legacy_java_frames(struct kp_legacy *l, const struct kp_legacy_places *places,
    struct kp_symbols *strings, struct kp_profile *p)
{
    struct functions fs = {.strings = strings};
    struct kp_text rest = l->symbols;
    struct kp_text line;
    struct kp_text digits;
    struct kp_text text;
    size_t n = places->addresses.n;
    int rc = 0;
    kp_auto_free struct kp_line *of = KP_NEW_ARRAY(struct kp_line, n + 1);
    kp_auto_free bool *is_known = KP_NEW_ARRAY(bool, n + 1);
    while (rc == 0 && take_line(&rest, false, &line)) {
        uint64_t address;
        if (!split_line(line, &digits, &text))
            continue;
        if (!kp_text_uint(digits, 16, &address)) {
            rc = kp_fail(l->err, KP_INVALID, "the address of a frame has more than 64 bits");
            continue;
        }
        uint32_t at = kp_legacy_find_place(places, address);
        if (at == UINT32_MAX)
            continue;
        struct frame f = read_frame(text);
        of[at] = (struct kp_line){.function = add_function(&fs, &f), .line = f.line};
        is_known[at] = true;
        if (fs.all.n > l->max_samples)
            rc = kp_fail(l->err, KP_LIMIT, "more than %zu functions", l->max_samples);
    }
    p->lines = KP_ARENA_ARRAY(&p->arena, struct kp_line, n + 1);
    for (size_t i = 0; i < n && rc == 0; i++) {
        p->locations[i].first_line = p->n_lines;
        if (!is_known[i])
            continue;
        p->locations[i].n_lines = 1;
        p->lines[p->n_lines++] = of[i];
    }
    if (rc == 0)
        keep_used(&fs, p);
    kp_array_free(&fs.all);
    kp_array_free(&fs.of_name);
    return rc;
}
