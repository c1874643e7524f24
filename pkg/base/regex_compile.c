// Text -> steps. Jumps are relative, so that a part can be moved and copied as it is.
#include "base/regex_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/banned.h"

struct compiler {
    const char *p;
    struct kp_regex *regex;
    int depth;
    bool any_case;
    struct kp_error *err;
};

static int wrong(struct compiler *c, const char *what)
{
    return kp_fail(c->err, KP_INVALID, "%s", what);
}

static int parse_alternatives(struct compiler *c);

// ---- steps ----

static int room(struct compiler *c, size_t n)
{
    if (c->regex->steps.n + n > KP_REGEX_MAX_STEPS)
        return kp_fail(c->err, KP_LIMIT, "its repeats multiply to more than %d steps", KP_REGEX_MAX_STEPS);
    return 0;
}

static int emit(struct compiler *c, struct kp_regex_step step)
{
    int code = room(c, 1);
    if (code == 0)
        *kp_array_add(&c->regex->steps) = step;
    return code;
}

static int insert(struct compiler *c, size_t at, struct kp_regex_step step)
{
    int code = emit(c, step);
    if (code != 0)
        return code;
    struct kp_regex_step *steps = c->regex->steps.items;
    memmove(&steps[at + 1], &steps[at], (c->regex->steps.n - 1 - at) * sizeof *steps);
    steps[at] = step;
    return 0;
}

// A copy of the n steps from `from` on, at the end.
static int copy_steps(struct compiler *c, size_t from, size_t n)
{
    int code = room(c, n);
    for (size_t i = 0; code == 0 && i < n; i++) {
        struct kp_regex_step step = c->regex->steps.items[from + i];
        *kp_array_add(&c->regex->steps) = step;
    }
    return code;
}

static struct kp_regex_step split(size_t x, size_t y)
{
    return (struct kp_regex_step){.op = KP_REGEX_SPLIT, .x = (int)x, .y = (int)y};
}

static struct kp_regex_step jump(int x)
{
    return (struct kp_regex_step){.op = KP_REGEX_JUMP, .x = x};
}

// ---- repeats of the part that starts at `from` and goes to the end ----

static int repeat_star(struct compiler *c, size_t from)
{
    size_t n = c->regex->steps.n - from;
    int code = insert(c, from, split(1, n + 2));
    return code != 0 ? code : emit(c, jump(-(int)n - 1));
}

static int repeat_maybe(struct compiler *c, size_t from)
{
    return insert(c, from, split(1, c->regex->steps.n - from + 1));
}

// At least `low` times, at most `high`; high < 0: without end.
static int repeat_counted(struct compiler *c, size_t from, int low, int high)
{
    size_t n = c->regex->steps.n - from;
    int code = 0;
    if (high == 0) {
        c->regex->steps.n = from;
        return emit(c, jump(1));
    }
    // the copies are made of the first, so that one stays as it is until the last is made
    int copies = high < 0 ? low : high - 1;
    for (int i = 1; code == 0 && i <= copies; i++) {
        size_t at = c->regex->steps.n;
        code = copy_steps(c, from, n);
        if (code == 0 && high < 0 && i == copies)
            code = repeat_star(c, at);
        else if (code == 0 && i >= low && high >= 0)
            code = repeat_maybe(c, at);
    }
    if (code == 0 && low == 0)
        code = high < 0 ? repeat_star(c, from) : repeat_maybe(c, from);
    return code;
}

static int number(const char **p)
{
    int n = 0;
    for (; **p >= '0' && **p <= '9'; (*p)++)
        n = n > KP_REGEX_MAX_STEPS ? n : n * 10 + (**p - '0');
    return n;
}

// {m}, {m,} or {m,n}; a brace that is none of these stands for itself.
static bool read_counts(const char **p, int *ret_low, int *ret_high)
{
    const char *q = *p + 1;
    if (*q < '0' || *q > '9')
        return false;
    *ret_low = *ret_high = number(&q);
    if (*q == ',') {
        q++;
        *ret_high = *q == '}' ? -1 : number(&q);
    }
    if (*q != '}')
        return false;
    *p = q + 1;
    return true;
}

static int parse_repeats(struct compiler *c, size_t from)
{
    int code = 0, low, high;
    while (code == 0) {
        if (*c->p == '*' || *c->p == '?') {
            code = *c->p++ == '*' ? repeat_star(c, from) : repeat_maybe(c, from);
        } else if (*c->p == '+') {
            c->p++;
            code = repeat_counted(c, from, 1, -1);
        } else if (*c->p == '{' && read_counts(&c->p, &low, &high)) {
            if (high >= 0 && high < low)
                return wrong(c, "a repeat {m,n} has m greater than n");
            code = repeat_counted(c, from, low, high);
        } else {
            break;
        }
    }
    return code;
}

// ---- sets ----

// The letters of low..high that lie within first..last, and moved to the other case.
static void add_other_case(
    struct compiler *c, uint32_t low, uint32_t high, uint32_t first, uint32_t last, uint32_t to)
{
    low = low > first ? low : first;
    high = high < last ? high : last;
    if (low <= high)
        *kp_array_add(&c->regex->ranges) = (struct kp_regex_range){low - first + to, high - first + to};
}

static void add_range(struct compiler *c, uint32_t low, uint32_t high)
{
    *kp_array_add(&c->regex->ranges) = (struct kp_regex_range){low, high};
    if (c->any_case) {
        add_other_case(c, low, high, 'A', 'Z', 'a');
        add_other_case(c, low, high, 'a', 'z', 'A');
    }
}

static const struct {
    const char *name, *ranges; // pairs
} classes[] = {
    {"alnum", "09AZaz"},
    {"alpha", "AZaz"},
    {"blank", "  \t\t"},
    {"cntrl", "\x01\x1f\x7f\x7f"},
    {"digit", "09"},
    {"graph", "!~"},
    {"lower", "az"},
    {"print", " ~"},
    {"punct", "!/:@[`{~"},
    {"space", "\t\r  "},
    {"upper", "AZ"},
    {"word", "09AZaz__"},
    {"xdigit", "09AFaf"},
};

static bool add_class(struct compiler *c, const char *name, size_t n)
{
    for (size_t i = 0; i < KP_COUNT(classes); i++) {
        if (strlen(classes[i].name) != n || strncmp(classes[i].name, name, n) != 0)
            continue;
        for (const char *r = classes[i].ranges; *r != '\0'; r += 2)
            add_range(c, (unsigned char)r[0], (unsigned char)r[1]);
        return true;
    }
    return false;
}

// \d and its like; false if the letter is none of them.
static bool add_escape_class(struct compiler *c, char letter)
{
    const char *name = letter == 'd' || letter == 'D'   ? "digit"
                       : letter == 'w' || letter == 'W' ? "word"
                       : letter == 's' || letter == 'S' ? "space"
                                                        : NULL;
    return name != NULL && add_class(c, name, strlen(name));
}

static int by_low(const void *a, const void *b)
{
    const struct kp_regex_range *x = a, *y = b;
    return (x->low > y->low) - (x->low < y->low);
}

// In order and apart, so that a character is found by halving.
static void tidy_ranges(struct compiler *c, size_t first)
{
    struct kp_regex_range *ranges = c->regex->ranges.items + first;
    size_t n = c->regex->ranges.n - first;
    size_t kept = 0;
    if (n < 2)
        return;
    qsort(ranges, n, sizeof *ranges, by_low);
    for (size_t i = 1; i < n; i++) {
        if (ranges[i].low > ranges[kept].high)
            ranges[++kept] = ranges[i];
        else if (ranges[i].high > ranges[kept].high)
            ranges[kept].high = ranges[i].high;
    }
    c->regex->ranges.n = first + kept + 1;
}

static int emit_set(struct compiler *c, size_t first, bool negate)
{
    tidy_ranges(c, first);
    return emit(c, (struct kp_regex_step){.op = KP_REGEX_SET,
                       .value = (uint32_t)first,
                       .n = (uint32_t)(c->regex->ranges.n - first),
                       .negate = negate});
}

static bool is_punctuation(char c)
{
    return c > ' ' && c < 0x7f && strchr("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", c) != NULL;
}

// One end of a range, or a character by itself.
static int set_character(struct compiler *c, uint32_t *ret)
{
    if (*c->p == '\\' && !is_punctuation(*++c->p))
        return wrong(c, "a backslash within [] stands before punctuation or one of dws");
    if (*c->p == '\0')
        return wrong(c, "']' is missing");
    *ret = kp_regex_character(&c->p, strnlen(c->p, 4));
    return 0;
}

static int set_member(struct compiler *c)
{
    uint32_t low = 0, high;
    if (c->p[0] == '[' && c->p[1] == ':') {
        const char *end = strstr(c->p, ":]");
        if (end == NULL || !add_class(c, c->p + 2, end < c->p + 2 ? 0 : (size_t)(end - c->p - 2)))
            return wrong(
                c, "a class is one of [:alpha:] [:digit:] [:alnum:] [:lower:] [:upper:] [:space:] ...");
        c->p = end + 2;
        return 0;
    }
    if (c->p[0] == '\\' && strchr("dws", c->p[1]) != NULL && add_escape_class(c, c->p[1])) {
        c->p += 2;
        return 0;
    }
    int code = set_character(c, &low);
    high = low;
    if (code == 0 && c->p[0] == '-' && c->p[1] != ']' && c->p[1] != '\0') {
        c->p++;
        code = set_character(c, &high);
    }
    if (code == 0 && high < low)
        return wrong(c, "a range has its ends the wrong way round");
    if (code == 0)
        add_range(c, low, high);
    return code;
}

static int parse_set(struct compiler *c)
{
    size_t first = c->regex->ranges.n;
    bool negate = *c->p == '^';
    c->p += negate ? 1 : 0;
    int code = 0;
    do { // a ] that comes first is a member
        if (*c->p == '\0')
            return wrong(c, "']' is missing");
        code = set_member(c);
    } while (code == 0 && *c->p != ']');
    c->p++;
    return code != 0 ? code : emit_set(c, first, negate);
}

// ---- parts ----

static int parse_group(struct compiler *c)
{
    if (c->p[0] == '?') {
        if (c->p[1] != ':')
            return wrong(c, "of the groups that start with (? only (?: is understood");
        c->p += 2;
    }
    if (++c->depth > KP_REGEX_MAX_DEPTH)
        return kp_fail(c->err, KP_LIMIT, "groups are nested more than %d deep", KP_REGEX_MAX_DEPTH);
    int code = parse_alternatives(c);
    c->depth--;
    if (code == 0 && *c->p++ != ')')
        return wrong(c, "')' is missing");
    return code;
}

static int parse_escape(struct compiler *c)
{
    size_t first = c->regex->ranges.n;
    char letter = *c->p;
    if (add_escape_class(c, letter)) {
        c->p++;
        return emit_set(c, first, letter < 'a');
    }
    if (!is_punctuation(letter))
        return wrong(c, "a backslash stands before punctuation or one of dwsDWS");
    c->p++;
    return emit(c, (struct kp_regex_step){.op = KP_REGEX_CHAR, .value = (unsigned char)letter});
}

static int parse_character(struct compiler *c)
{
    uint32_t character = kp_regex_character(&c->p, strnlen(c->p, 4));
    if (!c->any_case)
        return emit(c, (struct kp_regex_step){.op = KP_REGEX_CHAR, .value = character});
    size_t first = c->regex->ranges.n;
    add_range(c, character, character);
    return emit_set(c, first, false);
}

static int parse_atom(struct compiler *c)
{
    switch (*c->p) {
    case '(':
        c->p++;
        return parse_group(c);
    case '[':
        c->p++;
        return parse_set(c);
    case '\\':
        c->p++;
        return parse_escape(c);
    case '.':
        c->p++;
        return emit(c, (struct kp_regex_step){.op = KP_REGEX_ANY});
    case '^':
        c->p++;
        return emit(c, (struct kp_regex_step){.op = KP_REGEX_BEGIN});
    case '$':
        c->p++;
        return emit(c, (struct kp_regex_step){.op = KP_REGEX_END});
    case '*':
    case '+':
    case '?':
        return wrong(c, "a repeat has nothing before it");
    default:
        return parse_character(c);
    }
}

static int parse_sequence(struct compiler *c)
{
    size_t start = c->regex->steps.n;
    int code = 0;
    while (code == 0 && *c->p != '\0' && *c->p != '|' && *c->p != ')') {
        size_t from = c->regex->steps.n;
        code = parse_atom(c);
        if (code == 0)
            code = parse_repeats(c, from);
    }
    // never without a step, so that repeating nothing has an end too
    if (code == 0 && c->regex->steps.n == start)
        code = emit(c, jump(1));
    return code;
}

static int parse_alternatives(struct compiler *c)
{
    size_t from = c->regex->steps.n;
    int code = parse_sequence(c);
    while (code == 0 && *c->p == '|') {
        c->p++;
        size_t n = c->regex->steps.n - from; // of all before, which are one part by now
        code = insert(c, from, split(1, n + 2));
        if (code == 0)
            code = emit(c, jump(0)); // set below
        size_t gate = c->regex->steps.n - 1;
        if (code == 0)
            code = parse_sequence(c);
        if (code == 0)
            c->regex->steps.items[gate].x = (int)(c->regex->steps.n - gate);
    }
    return code;
}

int kp_regex_compile(const char *text, struct kp_regex **ret, struct kp_error *err)
{
    struct kp_error cause = {0};
    struct compiler c = {.p = text, .regex = KP_NEW(struct kp_regex), .err = &cause};
    int code = 0;
    c.any_case = strncmp(text, "(?i)", 4) == 0;
    c.p += c.any_case ? 4 : 0;
    if (strlen(text) > KP_REGEX_MAX_TEXT)
        code = kp_fail(&cause, KP_LIMIT, "it is longer than %d bytes", KP_REGEX_MAX_TEXT);
    if (code == 0)
        code = parse_alternatives(&c);
    if (code == 0 && *c.p != '\0')
        code = wrong(&c, "a ')' has no '(' (for the character write \\))");
    if (code == 0)
        *kp_array_add(&c.regex->steps) = (struct kp_regex_step){.op = KP_REGEX_DONE};
    if (code != 0) {
        kp_regex_destroy(c.regex);
        return kp_fail(err, code, "regex '%.60s' is wrong: %s", text, cause.text);
    }
    *ret = c.regex;
    return 0;
}
