#include "base/text.h"

#include <string.h>

#include "base/banned.h"

bool kp_streq(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool kp_starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool kp_ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

bool kp_has_word(const char *words, const char *word)
{
    size_t len = strlen(word);
    for (const char *p = words; *p; p += strspn(p, " ")) {
        size_t n = strcspn(p, " ");
        if (n == len && strncmp(p, word, n) == 0)
            return true;
        p += n;
    }
    return false;
}

bool kp_copy(char *out, size_t size, const char *s)
{
    size_t n = strlen(s);
    size_t take = n < size ? n : size - 1;
    memcpy(out, s, take);
    out[take] = '\0';
    return n < size;
}

int kp_parse_int(const char *text, int64_t min, int64_t max, int64_t *ret, struct kp_error *err)
{
    const char *p = text;
    bool negative = *p == '-';
    int64_t v = 0;
    p += negative ? 1 : 0;
    if (*p == '\0')
        return kp_fail(err, KP_INVALID, "'%.40s' is not a whole number", text);
    for (; *p != '\0'; p++) {
        if (*p < '0' || *p > '9')
            return kp_fail(err, KP_INVALID, "'%.40s' is not a whole number", text);
        int digit = negative ? '0' - *p : *p - '0';
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
            return kp_fail(err, KP_INVALID, "'%.40s' is too large", text);
    }
    if (v < min || v > max || (negative && min >= 0)) // neither is -0
        return kp_fail(
            err, KP_INVALID, "'%.40s' is not between %lld and %lld", text, (long long)min, (long long)max);
    *ret = v;
    return 0;
}

int kp_parse_bool(const char *text, bool *ret, struct kp_error *err)
{
    static const char *const yes[] = {"true", "1", "yes", "on", "True", "TRUE"};
    static const char *const no[] = {"false", "0", "no", "off", "False", "FALSE"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *ret = strcmp(text, yes[i]) == 0;
            return 0;
        }
    }
    return kp_fail(err, KP_INVALID, "'%.40s' is neither true nor false", text);
}

size_t kp_utf8_length(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    if (s[0] < 0x80)
        return 1;
    size_t want = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || n < want)
        return 0;
    for (size_t i = 1; i < want; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool surrogate = s[0] == 0xed && s[1] > 0x9f;
    bool beyond = s[0] == 0xf4 && s[1] > 0x8f;
    return overlong || surrogate || beyond ? 0 : want;
}

uint32_t kp_utf8_rune(const char *s, size_t len)
{
    static const unsigned char first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = (unsigned char)s[0] & first[len];
    for (size_t i = 1; i < len; i++)
        c = c << 6 | ((unsigned char)s[i] & 0x3fu);
    return c;
}

bool kp_utf8_valid(const char *s, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t n = kp_utf8_length(s + i, len - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

static size_t least(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

size_t kp_edit_distance(const char *a, const char *b)
{
    size_t row[KP_EDIT_MAX + 1]; // from the first i bytes of a to the first k of b
    size_t n = strlen(a);
    size_t m = strlen(b);
    if (n > KP_EDIT_MAX || m > KP_EDIT_MAX)
        return SIZE_MAX;
    for (size_t k = 0; k <= m; k++)
        row[k] = k;
    for (size_t i = 1; i <= n; i++) {
        size_t before = row[0]; // of the row above, one to the left
        row[0] = i;
        for (size_t k = 1; k <= m; k++) {
            size_t above = row[k];
            row[k] = least(above + 1, row[k - 1] + 1, before + (a[i - 1] != b[k - 1]));
            before = above;
        }
    }
    return row[m];
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool kp_url_decode(const char *s, size_t len, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = s[i];
        if (c == '%') {
            if (i + 2 >= len || hex(s[i + 1]) < 0 || hex(s[i + 2]) < 0)
                return false;
            c = (char)(hex(s[i + 1]) * 16 + hex(s[i + 2]));
            i += 2;
        }
        if (c == '\0')
            return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return true;
}

// Control characters, U+0080 to U+009F among them, and those that turn around what stands behind them (U+202A
// to U+202E, U+2066 to U+2069). take: the character's bytes.
static bool is_control(const char *s, size_t take)
{
    const unsigned char *c = (const unsigned char *)s;
    if (take == 3 && c[0] == 0xe2)
        return (c[1] == 0x80 && c[2] >= 0xaa && c[2] <= 0xae) ||
               (c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9);
    return c[0] < 0x20 || c[0] == 0x7f || (take == 2 && c[0] == 0xc2 && c[1] < 0xa0);
}

const char *kp_printable(char *out, size_t size, const char *s, size_t len)
{
    size_t n = 0, cut = 0; // cut: where the dots go if not all of it fits
    for (size_t i = 0; i < len;) {
        size_t take = kp_utf8_length(s + i, len - i);
        bool control = is_control(s + i, take);
        size_t put = take == 0 || control ? 1 : take;
        if (n + put >= size) {
            n = cut;
            for (int dots = 0; dots < 3 && n + 1 < size; dots++)
                out[n++] = '.';
            break;
        }
        if (take == 0 || control)
            out[n] = take == 0 ? '?' : ' ';
        else
            memcpy(out + n, s + i, take);
        n += put;
        i += take != 0 ? take : 1;
        if (n + 3 < size)
            cut = n;
    }
    out[n] = '\0';
    return out;
}

bool kp_is_loopback(const char *authority)
{
    static const char *const names[] = {"localhost", "[::1]"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t len = strlen(names[i]);
        if (strncmp(authority, names[i], len) == 0 && (authority[len] == '\0' || authority[len] == ':'))
            return true;
    }
    size_t digits = strspn(authority, "0123456789.");
    return kp_starts_with(authority, "127.") && (authority[digits] == '\0' || authority[digits] == ':');
}
