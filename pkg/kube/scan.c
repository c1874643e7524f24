#include "kube/scan.h"

#include <string.h>

#include "base/alloc.h"

#include "base/banned.h"

struct kp_scan_block {
    struct kp_scan_block *next;
    char text[];
};

enum { BLOCK_BYTES = 16384 };

void kp_scan_init(struct kp_scan *s, const char *json, size_t len)
{
    s->p = json;
    s->end = json + len;
    s->bad_why = NULL;
    s->depth = 0;
    s->blocks = NULL;
    s->text = s->first;
    s->room = sizeof s->first;
}

void kp_scan_finish(struct kp_scan *s)
{
    while (s->blocks) {
        struct kp_scan_block *next = s->blocks->next;
        kp_free(s->blocks);
        s->blocks = next;
    }
}

// Room for size bytes that do not move. What is handed out is bounded by the JSON text's own length.
static char *text_room(struct kp_scan *s, size_t size)
{
    if (size > s->room) {
        size_t bytes = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        struct kp_scan_block *block = kp_alloc(sizeof *block + bytes);
        block->next = s->blocks;
        s->blocks = block;
        s->text = block->text;
        s->room = bytes;
    }
    return s->text;
}

static void text_take(struct kp_scan *s, size_t size)
{
    s->text += size;
    s->room -= size;
}

static void fail(struct kp_scan *s, const char *why)
{
    if (!s->bad_why)
        s->bad_why = why;
    s->p = s->end;
}

static bool space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

// The first byte of what comes next; 0 at the end.
static char peek(struct kp_scan *s)
{
    while (s->p < s->end && space(*s->p))
        s->p++;
    return s->p < s->end ? *s->p : '\0';
}

// ---- stepping over ----

// p behind the opening quote; returns the closing quote or NULL.
static const char *string_end(const char *p, const char *end)
{
    const char *start = p;
    while ((p = memchr(p, '"', (size_t)(end - p)))) {
        const char *b = p;
        while (b > start && b[-1] == '\\')
            b--;
        if ((p - b) % 2 == 0)
            return p;
        p++;
        start = p; // what lies before has been looked at
    }
    return NULL;
}

static void skip_string(struct kp_scan *s)
{
    const char *quote = string_end(s->p + 1, s->end);
    if (!quote)
        fail(s, "a string does not end");
    else
        s->p = quote + 1;
}

static void skip_scalar(struct kp_scan *s)
{
    const char *start = s->p;
    while (s->p < s->end && !space(*s->p) && *s->p != ',' && *s->p != '}' && *s->p != ']' && *s->p != '"' &&
           *s->p != '{' && *s->p != '[' && *s->p != ':')
        s->p++;
    if (s->p == start)
        fail(s, "a value is missing");
}

static void skip_nested(struct kp_scan *s)
{
    int depth = 0;
    while (s->p < s->end) {
        switch (*s->p) {
        case '"':
            skip_string(s);
            continue;
        case '{':
        case '[':
            if (s->depth + ++depth > KP_SCAN_MAX_DEPTH) {
                fail(s, "nested too deeply");
                return;
            }
            break;
        case '}':
        case ']':
            if (--depth == 0) {
                s->p++;
                return;
            }
            break;
        default:
            break;
        }
        s->p++;
    }
    fail(s, "the text ends inside a value");
}

void kp_scan_skip(struct kp_scan *s)
{
    switch (peek(s)) {
    case '\0':
        fail(s, "the text ends where a value should be");
        return;
    case '"':
        skip_string(s);
        return;
    case '{':
    case '[':
        skip_nested(s);
        return;
    default:
        skip_scalar(s);
        return;
    }
}

struct kp_span kp_scan_raw(struct kp_scan *s)
{
    (void)peek(s);
    const char *start = s->p;
    kp_scan_skip(s);
    if (s->bad_why)
        return (struct kp_span){"", 0};
    return (struct kp_span){start, (size_t)(s->p - start)};
}

// ---- strings ----

static int hex4(const char *p, const char *end)
{
    int v = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'                 ? c - '0'
                    : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                         : -1;
        if (digit < 0)
            return -1;
        v = v * 16 + digit;
    }
    return v;
}

static char *put_utf8(char *out, unsigned long c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xC0 | (c >> 6));
        *out++ = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *out++ = (char)(0xE0 | (c >> 12));
        *out++ = (char)(0x80 | ((c >> 6) & 0x3F));
        *out++ = (char)(0x80 | (c & 0x3F));
    } else {
        *out++ = (char)(0xF0 | (c >> 18));
        *out++ = (char)(0x80 | ((c >> 12) & 0x3F));
        *out++ = (char)(0x80 | ((c >> 6) & 0x3F));
        *out++ = (char)(0x80 | (c & 0x3F));
    }
    return out;
}

// p behind "\u"; returns behind the escape, or NULL. Six bytes of JSON make at most three of UTF-8, twelve at
// most four.
static const char *put_unicode(const char *p, const char *end, char **out)
{
    int c = hex4(p, end);
    if (c < 0)
        return NULL;
    p += 4;
    if (c >= 0xD800 && c < 0xDC00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
        int low = hex4(p + 2, end);
        if (low >= 0xDC00 && low < 0xE000) {
            *out = put_utf8(
                *out, 0x10000UL + ((unsigned long)(c - 0xD800) << 10) + (unsigned long)(low - 0xDC00));
            return p + 6;
        }
    }
    *out = put_utf8(*out, c == 0 || (c >= 0xD800 && c < 0xE000) ? 0xFFFDUL : (unsigned long)c);
    return p;
}

static char unescape(char c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case '"':
    case '\\':
    case '/':
        return c;
    default:
        return '\0';
    }
}

// Decodes [p, end) into out, which has room for as many bytes; returns the end of what was written, NULL if
// it is wrong.
static char *decode(const char *p, const char *end, char *out)
{
    while (p < end) {
        if (*p != '\\') {
            // a raw NUL is no JSON, and the text must not end there for us
            *out++ = *p ? *p : '?';
            p++;
            continue;
        }
        if (++p == end)
            return NULL;
        if (*p == 'u') {
            p = put_unicode(p + 1, end, &out);
            if (!p)
                return NULL;
        } else {
            char c = unescape(*p++);
            if (c == '\0')
                return NULL;
            *out++ = c;
        }
    }
    return out;
}

// The string that comes next: its raw text between the quotes, and whether it has escapes.
static struct kp_span raw_string(struct kp_scan *s)
{
    const char *start = s->p + 1;
    skip_string(s);
    if (s->bad_why)
        return (struct kp_span){"", 0};
    return (struct kp_span){start, (size_t)(s->p - 1 - start)};
}

static struct kp_span text_of(struct kp_scan *s, struct kp_span raw)
{
    char *out = text_room(s, raw.len + 1);
    char *end = decode(raw.p, raw.p + raw.len, out);
    if (!end) {
        fail(s, "a string has a bad escape");
        return (struct kp_span){"", 0};
    }
    *end = '\0';
    struct kp_span text = {out, (size_t)(end - out)};
    text_take(s, text.len + 1);
    return text;
}

const char *kp_scan_keep(struct kp_scan *s, struct kp_span key)
{
    if (key.len == 0)
        return "";
    char *out = text_room(s, key.len + 1);
    memcpy(out, key.p, key.len);
    out[key.len] = '\0';
    for (char *nul = out; (nul = memchr(nul, '\0', (size_t)(out + key.len - nul)));)
        *nul = '?';
    text_take(s, key.len + 1);
    return out;
}

const char *kp_scan_string(struct kp_scan *s)
{
    if (peek(s) != '"') {
        kp_scan_skip(s);
        return "";
    }
    struct kp_span raw = raw_string(s);
    return memchr(raw.p, '\\', raw.len) ? text_of(s, raw).p : kp_scan_keep(s, raw);
}

// ---- other values ----

int64_t kp_scan_int(struct kp_scan *s)
{
    char first = peek(s);
    if (first != '-' && (first < '0' || first > '9')) {
        kp_scan_skip(s);
        return 0;
    }
    struct kp_span raw = kp_scan_raw(s);
    bool negative = raw.len > 0 && raw.p[0] == '-';
    int64_t v = 0;
    for (size_t i = negative; i < raw.len && raw.p[i] >= '0' && raw.p[i] <= '9'; i++) {
        int digit = raw.p[i] - '0';
        if (v > (INT64_MAX - digit) / 10)
            return negative ? INT64_MIN : INT64_MAX;
        v = v * 10 + digit;
    }
    return negative ? -v : v;
}

bool kp_scan_bool(struct kp_scan *s)
{
    if (peek(s) != 't') {
        kp_scan_skip(s);
        return false;
    }
    return kp_span_is(kp_scan_raw(s), "true");
}

bool kp_scan_is_null(struct kp_scan *s)
{
    return peek(s) == 'n';
}

// ---- objects and arrays ----

bool kp_scan_enter(struct kp_scan *s, char open)
{
    if (peek(s) != open) {
        kp_scan_skip(s);
        return false;
    }
    if (++s->depth > KP_SCAN_MAX_DEPTH) {
        fail(s, "nested too deeply");
        return false;
    }
    s->p++;
    return true;
}

bool kp_scan_key(struct kp_scan *s, struct kp_span *ret_key)
{
    char c = peek(s);
    if (c == ',') {
        s->p++;
        c = peek(s);
    }
    if (c == '}') {
        s->p++;
        s->depth--;
        return false;
    }
    if (c != '"') {
        fail(s, "a key is missing");
        return false;
    }
    struct kp_span raw = raw_string(s);
    *ret_key = memchr(raw.p, '\\', raw.len) ? text_of(s, raw) : raw;
    if (peek(s) != ':') {
        fail(s, "a colon is missing");
        return false;
    }
    s->p++;
    return true;
}

bool kp_scan_item(struct kp_scan *s)
{
    char c = peek(s);
    if (c == ',') {
        s->p++;
        c = peek(s);
    }
    if (c == ']') {
        s->p++;
        s->depth--;
        return false;
    }
    if (c == '\0') {
        fail(s, "an array does not end");
        return false;
    }
    return true;
}
