#include "base/regex.h"

#include <string.h>

#include "base/regex_private.h"
#include "base/text.h"
#include "base/banned.h"

#define NOT_UTF8 0x110000u // bytes that are no UTF-8 lie behind all characters

uint32_t kp_regex_character(const char **p, size_t n_bytes)
{
    const unsigned char *s = (const unsigned char *)*p;
    size_t n = kp_utf8_length(*p, n_bytes);
    *p += n != 0 ? n : 1;
    if (n == 1)
        return s[0];
    return n > 0 ? kp_utf8_rune((const char *)s, n) : NOT_UTF8 + s[0];
}

void kp_regex_destroy(struct kp_regex *regex)
{
    if (regex == NULL)
        return;
    kp_array_free(&regex->steps);
    kp_array_free(&regex->ranges);
    kp_free(regex);
}

// All places in the expression where the matching could be, without doubles.
struct places {
    uint16_t list[KP_REGEX_MAX_STEPS + 1];
    size_t n;
    bool in[KP_REGEX_MAX_STEPS + 1];
};

struct matching {
    const struct kp_regex *regex;
    struct places *now, *next;
    bool anywhere; // a match may end before the text does
    bool done;
};

static void forget(struct places *places)
{
    for (size_t i = 0; i < places->n; i++)
        places->in[places->list[i]] = false;
    places->n = 0;
}

static void add(struct places *places, size_t at)
{
    if (!places->in[at]) {
        places->in[at] = true;
        places->list[places->n++] = (uint16_t)at;
    }
}

// Follows what takes no character; the list grows while it is walked.
static void spread(struct matching *m, bool begin, bool end)
{
    struct places *places = m->now;
    for (size_t i = 0; i < places->n; i++) {
        size_t at = places->list[i];
        const struct kp_regex_step *step = &m->regex->steps.items[at];
        switch (step->op) {
        case KP_REGEX_SPLIT:
            add(places, at + (size_t)step->x);
            add(places, at + (size_t)step->y);
            break;
        case KP_REGEX_JUMP:
            add(places, at + (size_t)step->x);
            break;
        case KP_REGEX_BEGIN:
            if (begin)
                add(places, at + 1);
            break;
        case KP_REGEX_END:
            if (end)
                add(places, at + 1);
            break;
        case KP_REGEX_DONE:
            m->done = m->done || end || m->anywhere;
            break;
        case KP_REGEX_CHAR:
        case KP_REGEX_ANY:
        case KP_REGEX_SET:
            break;
        }
    }
}

static bool takes(const struct kp_regex *regex, const struct kp_regex_step *step, uint32_t c)
{
    if (step->op == KP_REGEX_CHAR)
        return step->value == c;
    if (step->op != KP_REGEX_SET)
        return step->op == KP_REGEX_ANY;
    const struct kp_regex_range *ranges = regex->ranges.items + step->value;
    uint32_t low = 0;
    uint32_t high = step->n;
    while (low < high) { // the first that ends at or behind c
        uint32_t mid = low + (high - low) / 2;
        if (ranges[mid].high < c)
            low = mid + 1;
        else
            high = mid;
    }
    bool is_in = low < step->n && ranges[low].low <= c;
    return is_in != step->negate;
}

static void advance(struct matching *m, uint32_t c)
{
    forget(m->next);
    for (size_t i = 0; i < m->now->n; i++)
        if (takes(m->regex, &m->regex->steps.items[m->now->list[i]], c))
            add(m->next, m->now->list[i] + 1u);
    struct places *old = m->now;
    m->now = m->next;
    m->next = old;
}

size_t kp_regex_steps(const struct kp_regex *regex)
{
    return regex->steps.n;
}

bool kp_regex_matches(const struct kp_regex *regex, const char *text)
{
    const char *end = text + strlen(text);
    struct places one = {0}, two = {0};
    struct matching m = {.regex = regex, .now = &one, .next = &two};
    add(m.now, 0);
    spread(&m, true, text == end);
    while (text != end && m.now->n > 0) {
        advance(&m, kp_regex_character(&text, (size_t)(end - text)));
        spread(&m, false, text == end);
    }
    return m.done;
}

bool kp_regex_finds(const struct kp_regex *regex, const char *text, size_t len)
{
    const char *end = text + len;
    struct places one = {0}, two = {0};
    struct matching m = {.regex = regex, .now = &one, .next = &two, .anywhere = true};
    add(m.now, 0);
    spread(&m, true, text == end);
    while (text != end && !m.done) {
        advance(&m, kp_regex_character(&text, (size_t)(end - text)));
        add(m.now, 0); // a match may begin here, too
        spread(&m, false, text == end);
    }
    return m.done;
}
