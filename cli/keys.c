#include "cli/keys.h"

#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "base/banned.h"

#define ESC 0x1b

struct named {
    int byte;
    enum kp_key_code code;
};

// The last byte of ESC [ ... and ESC O ...
static const struct named finals[] = {
    {'A', KP_KEY_UP}, {'B', KP_KEY_DOWN}, {'C', KP_KEY_RIGHT}, {'D', KP_KEY_LEFT}, {'H', KP_KEY_HOME},
    {'F', KP_KEY_END}, {'M', KP_KEY_ENTER}, // ESC O M: of the number pad
};

// ESC [ number ~
static const struct named numbers[] = {
    {1, KP_KEY_HOME},
    {3, KP_KEY_DELETE},
    {4, KP_KEY_END},
    {5, KP_KEY_PAGE_UP},
    {6, KP_KEY_PAGE_DOWN},
    {7, KP_KEY_HOME},
    {8, KP_KEY_END},
};

static const struct named plain[] = {
    {'\r', KP_KEY_ENTER},
    {'\n', KP_KEY_ENTER},
    {'\t', KP_KEY_TAB},
    {0x7f, KP_KEY_BACKSPACE},
    {0x08, KP_KEY_BACKSPACE},
};

static enum kp_key_code find(const struct named *table, size_t n, int byte)
{
    for (size_t i = 0; i < n; i++)
        if (table[i].byte == byte)
            return table[i].code;
    return KP_KEY_NONE;
}

// At most 4 digits; returns what follows them.
static const unsigned char *read_number(const unsigned char *s, const unsigned char *end, int *ret)
{
    int v = 0;
    for (; s < end && *s >= '0' && *s <= '9'; s++)
        v = v < 1000 ? v * 10 + (*s - '0') : v;
    *ret = v;
    return s;
}

// ESC [ < button ; column ; row M, or m when it is let go.
static struct kp_key mouse(const unsigned char *s, const unsigned char *end)
{
    int button, x, y;
    s = read_number(s, end, &button);
    s = read_number(s < end ? s + 1 : s, end, &x);
    s = read_number(s < end ? s + 1 : s, end, &y);
    if (s + 1 != end || *s != 'M' || x < 1 || y < 1)
        return (struct kp_key){0};
    struct kp_key key = {.x = x - 1, .y = y - 1};
    if (button == 0)
        key.code = KP_KEY_CLICK;
    else if (button == 64 || button == 65)
        key.code = button == 64 ? KP_KEY_WHEEL_UP : KP_KEY_WHEEL_DOWN;
    return key;
}

static struct kp_key sequence(const unsigned char *s, size_t n)
{
    const unsigned char *end = s + n;
    if (s[1] == '[' && s[2] == '<')
        return mouse(s + 3, end);
    if (end[-1] == '~') {
        int number;
        (void)read_number(s + 2, end, &number);
        return (struct kp_key){.code = find(numbers, KP_COUNT(numbers), number)};
    }
    if (end[-1] == 'M' && s[1] == '[')
        return (struct kp_key){0};
    return (struct kp_key){.code = find(finals, KP_COUNT(finals), end[-1])};
}

static struct kp_key character(uint32_t c)
{
    enum kp_key_code code = find(plain, KP_COUNT(plain), (int)c);
    if (code == KP_KEY_NONE && c != 0)
        code = KP_KEY_RUNE;
    return (struct kp_key){.code = code, .rune = code == KP_KEY_RUNE ? c : 0};
}

static size_t done(struct kp_keys *keys, struct kp_key key, struct kp_key *ret)
{
    keys->n = 0;
    keys->is_too_long = false;
    *ret = key;
    return key.code != KP_KEY_NONE;
}

// Whether a sequence ends with its last byte. The old mouse's has three bytes more, which may be any.
static bool is_complete(const struct kp_keys *keys)
{
    unsigned char last = keys->bytes[keys->n - 1];
    if (keys->bytes[1] == 'O')
        return keys->n == 3;
    if (keys->n >= 3 && keys->bytes[2] == 'M')
        return keys->n == 6;
    return keys->n >= 3 && last >= 0x40 && last <= 0x7e;
}

static bool may_continue(const unsigned char *s, size_t n)
{
    if (s[0] == ESC)
        return true;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return false;
    size_t want = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    return n < want && (n == 1 || (s[n - 1] & 0xc0) == 0x80);
}

// A byte of a character, or the Esc of a sequence.
static size_t add_plain(struct kp_keys *keys, unsigned char byte, struct kp_key *ret)
{
    keys->bytes[keys->n++] = byte;
    size_t n = byte != ESC ? kp_utf8_length((const char *)keys->bytes, keys->n) : 0;
    if (n > 0)
        return done(keys, character(kp_utf8_rune((const char *)keys->bytes, n)), ret);
    if (!may_continue(keys->bytes, keys->n))
        keys->n = 0;
    return 0;
}

static size_t add_escaped(struct kp_keys *keys, struct kp_key ret[2])
{
    unsigned char last = keys->bytes[keys->n - 1];
    if (keys->n == 2 && last != '[' &&
        last != 'O') { // the first one was a key: Alt with one means nothing here
        keys->n = 0;
        ret[0] = (struct kp_key){.code = KP_KEY_ESC};
        return 1 + add_plain(keys, last, ret + 1);
    }
    if (keys->n > 2 && last == ESC && keys->bytes[2] != 'M') { // one that was not finished
        keys->n = 1;
        keys->is_too_long = false;
        return 0;
    }
    if (keys->n < 2 || !is_complete(keys)) {
        if (keys->n == KP_KEYS_MAX) { // the last byte decides where it ends
            keys->n--;
            keys->is_too_long = true;
        }
        return 0;
    }
    return done(keys, keys->is_too_long ? (struct kp_key){0} : sequence(keys->bytes, keys->n), ret);
}

size_t kp_keys_add(struct kp_keys *keys, unsigned char byte, struct kp_key ret[2])
{
    if (keys->n > 0 && keys->bytes[0] == ESC) {
        keys->bytes[keys->n++] = byte;
        return add_escaped(keys, ret);
    }
    if ((byte & 0xc0) != 0x80) // where a character was begun, it was cut off
        keys->n = 0;
    return add_plain(keys, byte, ret);
}

bool kp_keys_is_pending(const struct kp_keys *keys)
{
    return keys->n > 0;
}

size_t kp_keys_timeout(struct kp_keys *keys, struct kp_key ret[2])
{
    bool is_esc = keys->n == 1 && keys->bytes[0] == ESC;
    return done(keys, (struct kp_key){.code = is_esc ? KP_KEY_ESC : KP_KEY_NONE}, ret);
}
