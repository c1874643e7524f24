#include "base/selector_regex.h"

#include <stddef.h>
#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

#define MAX_TEXT  512
#define MAX_DEPTH 32
#define MAX_PARTS 2000

// How many parts regcomp makes of it: the sum over the parts, each times how often its repeats copy it.
struct measure {
    const char *p;
    size_t depth;
    size_t sum[MAX_DEPTH + 1], last[MAX_DEPTH + 1]; // of each open group; last: its last part
};

static void add_part(struct measure *m, size_t parts)
{
    m->last[m->depth] = parts;
    m->sum[m->depth] += parts;
}

static void repeat(struct measure *m, size_t times)
{
    size_t *last = &m->last[m->depth];
    m->sum[m->depth] += *last * (times - 1);
    *last *= times;
}

// [...] with its quirks: a ] that comes first stands for itself, [:name:] and the like are skipped over.
static void skip_bracket(struct measure *m)
{
    const char *p = m->p + 1;
    p += *p == '^' ? 1 : 0;
    p += *p == ']' ? 1 : 0;
    for (; *p != '\0' && *p != ']'; p++) {
        if (*p != '[' || p[1] == '\0' || strchr(":.=", p[1]) == NULL)
            continue;
        const char end[] = {p[1], ']', '\0'};
        const char *close = strstr(p + 2, end);
        if (close != NULL)
            p = close + 1;
    }
    m->p = *p == ']' ? p : p - 1;
}

static size_t number(const char **p)
{
    size_t n = 0;
    for (; **p >= '0' && **p <= '9'; (*p)++)
        n = n > MAX_PARTS ? n : n * 10 + (size_t)(**p - '0');
    return n;
}

// {n}, {n,} or {n,m}
static void interval(struct measure *m)
{
    const char *p = m->p + 1;
    size_t low = number(&p), high = low;
    if (*p == ',') {
        p++;
        high = number(&p);
    }
    if (*p != '}') { // no interval: the brace stands for itself, or regcomp complains
        add_part(m, 1);
        return;
    }
    repeat(m, high > low + 1 ? high : low + 1);
    m->p = p;
}

static int step(struct measure *m, struct kp_error *err)
{
    switch (*m->p) {
    case '(':
        if (++m->depth > MAX_DEPTH)
            return kp_fail(err, KP_LIMIT, "groups are nested more than %d deep", MAX_DEPTH);
        m->sum[m->depth] = m->last[m->depth] = 1;
        break;
    case ')':
        if (m->depth > 0) {
            m->depth--;
            add_part(m, m->sum[m->depth + 1]);
        }
        break;
    case '\\':
        if (m->p[1] >= '1' && m->p[1] <= '9')
            return kp_fail(err, KP_INVALID, "back references are not understood");
        add_part(m, 1);
        m->p += m->p[1] != '\0' ? 1 : 0;
        break;
    case '[':
        skip_bracket(m);
        add_part(m, 1);
        break;
    case '+':
        repeat(m, 2);
        break;
    case '{':
        interval(m);
        break;
    default:
        add_part(m, 1);
    }
    return 0;
}

static int check(const char *text, struct kp_error *err)
{
    struct measure m = {.p = text};
    if (strlen(text) > MAX_TEXT)
        return kp_fail(err, KP_LIMIT, "longer than %d bytes", MAX_TEXT);
    for (; *m.p != '\0'; m.p++) {
        int code = step(&m, err);
        if (code != 0)
            return code;
        if (m.sum[m.depth] > MAX_PARTS)
            return kp_fail(err, KP_LIMIT, "its repeats multiply to more than %d parts", MAX_PARTS);
    }
    return 0;
}

static int compile(regex_t *ret, const char *text, struct kp_error *err)
{
    int failed = regcomp(ret, text, REG_EXTENDED | REG_NOSUB);
    if (failed == 0)
        return 0;
    char words[100];
    regerror(failed, ret, words, sizeof words);
    return kp_fail(err, KP_INVALID, "%s", words);
}

int kp_selector_regex_compile(regex_t *ret, const char *text, struct kp_error *err)
{
    struct kp_error cause = {0};
    regex_t bare;
    int code = check(text, &cause);
    // first as it stands: within the anchors "a)|(b" would be a regex that it is not
    if (code == 0 && (code = compile(&bare, text, &cause)) == 0) {
        regfree(&bare);
        kp_auto_free char *anchored = kp_asprintf("^(%s)$", text);
        code = compile(ret, anchored, &cause);
    }
    return code != 0 ? kp_fail(err, code, "regex '%.60s' is wrong: %s", text, cause.text) : 0;
}
