// The text form of selectors (kubectl's grammar, and =~ !~ where allowed).
#include "base/selector.h"

#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_TEXT 8192

struct parser {
    const char *p;
    bool allow_regex;
    char *arena; // copies of words, as large as the text twice
    size_t used;
    KP_ARRAY(struct kp_requirement) reqs;
    KP_ARRAY(const char *) values;
    KP_ARRAY(size_t) first_value; // of each requirement, since values moves while it grows
    struct kp_error *err;
};

static void skip_spaces(struct parser *parser)
{
    while (*parser->p == ' ' || *parser->p == '\t')
        parser->p++;
}

static const char *copy(struct parser *parser, const char *s, size_t n)
{
    char *at = parser->arena + parser->used;
    memcpy(at, s, n);
    at[n] = '\0';
    parser->used += n + 1;
    return at;
}

// A word up to one of the stop characters or a space; "" if there is none.
static const char *word(struct parser *parser, const char *stops)
{
    skip_spaces(parser);
    size_t n = strcspn(parser->p, stops);
    const char *text = copy(parser, parser->p, n);
    parser->p += n;
    skip_spaces(parser);
    return text;
}

static int wrong(struct parser *parser, const char *what)
{
    return kp_fail(parser->err, KP_INVALID, "selector is wrong at '%.40s': %s", parser->p, what);
}

static void add(struct parser *parser, const char *key, enum kp_selector_op op, size_t first)
{
    *kp_array_add(&parser->reqs) =
        (struct kp_requirement){.key = key, .op = op, .n_values = parser->values.n - first};
    *kp_array_add(&parser->first_value) = first;
}

static int parse_set(struct parser *parser, const char *key, enum kp_selector_op op)
{
    size_t first = parser->values.n;
    skip_spaces(parser);
    if (*parser->p != '(')
        return wrong(parser, "expected '(' with values behind in or notin");
    do {
        parser->p++;
        *kp_array_add(&parser->values) = word(parser, ",)( \t");
    } while (*parser->p == ',');
    if (*parser->p != ')')
        return wrong(parser, "expected ')'");
    parser->p++;
    add(parser, key, op, first);
    return 0;
}

static bool take(struct parser *parser, const char *token)
{
    if (!kp_starts_with(parser->p, token))
        return false;
    parser->p += strlen(token);
    return true;
}

static int parse_regex(struct parser *parser, const char *key, enum kp_selector_op op)
{
    if (!parser->allow_regex)
        return wrong(parser, "regular expressions are not understood here");
    size_t first = parser->values.n;
    // a quoted regex may hold commas
    if (take(parser, "\"")) {
        *kp_array_add(&parser->values) = word(parser, "\"");
        if (!take(parser, "\""))
            return wrong(parser, "the closing quote is missing");
    } else {
        *kp_array_add(&parser->values) = word(parser, ",");
    }
    add(parser, key, op, first);
    return 0;
}

static int parse_equal(struct parser *parser, const char *key, enum kp_selector_op op)
{
    size_t first = parser->values.n;
    *kp_array_add(&parser->values) = word(parser, ",!=() \t");
    add(parser, key, op, first);
    return 0;
}

static int parse_requirement(struct parser *parser)
{
    skip_spaces(parser);
    if (take(parser, "!")) {
        const char *key = word(parser, ",!=()~ \t");
        add(parser, key, KP_SELECTOR_NOT_EXISTS, parser->values.n);
        return key[0] != '\0' ? 0 : wrong(parser, "a key is missing behind '!'");
    }
    const char *key = word(parser, ",!=()~ \t");
    if (key[0] == '\0')
        return wrong(parser, "a key is missing");
    if (take(parser, "=~"))
        return parse_regex(parser, key, KP_SELECTOR_MATCHES);
    if (take(parser, "!~"))
        return parse_regex(parser, key, KP_SELECTOR_NOT_MATCHES);
    if (take(parser, "!="))
        return parse_equal(parser, key, KP_SELECTOR_NOT_IN);
    if (take(parser, "==") || take(parser, "="))
        return parse_equal(parser, key, KP_SELECTOR_IN);
    if (take(parser, "in ") || take(parser, "in("))
        return parser->p[-1] == '(' ? (parser->p--, parse_set(parser, key, KP_SELECTOR_IN))
                                    : parse_set(parser, key, KP_SELECTOR_IN);
    if (take(parser, "notin ") || take(parser, "notin("))
        return parser->p[-1] == '(' ? (parser->p--, parse_set(parser, key, KP_SELECTOR_NOT_IN))
                                    : parse_set(parser, key, KP_SELECTOR_NOT_IN);
    add(parser, key, KP_SELECTOR_EXISTS, parser->values.n);
    return 0;
}

static int parse_all(struct parser *parser)
{
    skip_spaces(parser);
    while (*parser->p != '\0') {
        if (parse_requirement(parser) != 0)
            return KP_INVALID;
        skip_spaces(parser);
        if (*parser->p == '\0')
            break;
        if (!take(parser, ","))
            return wrong(parser, "expected ',' between requirements");
        skip_spaces(parser);
        if (*parser->p == '\0')
            return wrong(parser, "a requirement is missing behind ','");
    }
    return 0;
}

int kp_selector_parse(const char *text, bool allow_regex, struct kp_selector **ret, struct kp_error *err)
{
    if (strlen(text) > MAX_TEXT)
        return kp_fail(err, KP_LIMIT, "a selector is longer than %d bytes", MAX_TEXT);
    struct parser parser = {.p = text, .allow_regex = allow_regex, .err = err};
    parser.arena = kp_alloc(strlen(text) * 2 + 16);
    int code = parse_all(&parser);
    for (size_t i = 0; i < parser.reqs.n; i++)
        parser.reqs.items[i].values = parser.values.items + parser.first_value.items[i];
    if (code == 0)
        code = kp_selector_create(parser.reqs.items, parser.reqs.n, ret, err);
    kp_array_free(&parser.reqs);
    kp_array_free(&parser.values);
    kp_array_free(&parser.first_value);
    kp_free(parser.arena);
    return code;
}
