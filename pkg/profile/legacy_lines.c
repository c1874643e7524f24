// Lines and numbers of the legacy texts.
#include <string.h>

#include "profile/legacy_private.h"
#include "base/banned.h"

#define MAX_LINE 65535

bool kp_legacy_next(struct kp_legacy_lines *lines)
{
    lines->line = (struct kp_text){"", 0};
    if (lines->p == lines->end || lines->too_long)
        return false;
    size_t left = (size_t)(lines->end - lines->p);
    const char *end = memchr(lines->p, '\n', left);
    size_t len = end ? (size_t)(end - lines->p) : left;
    lines->number++;
    if (len > MAX_LINE) {
        lines->too_long = true;
        return false;
    }
    lines->line = (struct kp_text){lines->p, len > 0 && lines->p[len - 1] == '\r' ? len - 1 : len};
    lines->p = end ? end + 1 : lines->end;
    return true;
}

bool kp_text_is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool kp_text_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

int kp_text_hex(char c)
{
    if (kp_text_is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

struct kp_text kp_text_trim(struct kp_text t)
{
    for (; t.len > 0 && kp_text_is_space(t.data[0]); t.data++)
        t.len--;
    while (t.len > 0 && kp_text_is_space(t.data[t.len - 1]))
        t.len--;
    return t;
}

bool kp_text_is(struct kp_text text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.data, word, text.len) == 0;
}

bool kp_text_starts(struct kp_text text, const char *prefix)
{
    size_t n = strlen(prefix);
    return text.len >= n && memcmp(text.data, prefix, n) == 0;
}

const char *kp_text_find(struct kp_text text, const char *part)
{
    return memmem(text.data, text.len, part, strlen(part));
}

bool kp_text_is_comment(struct kp_text text)
{
    text = kp_text_trim(text);
    return text.len == 0 || text.data[0] == '#';
}

bool kp_take_word(const char **p, const char *end, const char *word)
{
    if (!kp_text_starts((struct kp_text){*p, (size_t)(end - *p)}, word))
        return false;
    *p += strlen(word);
    return true;
}

void kp_take_spaces(const char **p, const char *end)
{
    while (*p < end && **p == ' ')
        ++*p;
}

bool kp_take_digits(const char **p, const char *end, struct kp_text *ret)
{
    const char *start = *p;
    while (*p < end && kp_text_is_digit(**p))
        ++*p;
    *ret = (struct kp_text){start, (size_t)(*p - start)};
    return *p > start;
}

bool kp_text_uint(struct kp_text t, unsigned base, uint64_t *ret)
{
    uint64_t v = 0;
    for (size_t i = 0; i < t.len; i++) {
        int digit = kp_text_hex(t.data[i]);
        if (digit < 0 || (unsigned)digit >= base || __builtin_mul_overflow(v, (uint64_t)base, &v) ||
            __builtin_add_overflow(v, (uint64_t)digit, &v))
            return false;
    }
    *ret = v;
    return t.len > 0;
}

static unsigned take_base(struct kp_text *t)
{
    static const struct {
        const char *prefix;
        unsigned base;
    } rows[] = {{"0x", 16}, {"0X", 16}, {"0o", 8}, {"0O", 8}, {"0b", 2}, {"0B", 2}};
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        if (!kp_text_starts(*t, rows[i].prefix))
            continue;
        *t = (struct kp_text){t->data + 2, t->len - 2};
        return rows[i].base;
    }
    return t->len > 1 && t->data[0] == '0' ? 8 : 10;
}

bool kp_text_int(struct kp_text t, bool prefixed, int64_t *ret)
{
    uint64_t v;
    bool minus = t.len > 0 && t.data[0] == '-';
    if (minus || (t.len > 0 && t.data[0] == '+'))
        t = (struct kp_text){t.data + 1, t.len - 1};
    unsigned base = prefixed ? take_base(&t) : 10;
    if (!kp_text_uint(t, base, &v) || v > (uint64_t)INT64_MAX + minus)
        return false;
    *ret = minus ? (int64_t)-v : (int64_t)v;
    return true;
}
