// The text form of selectors (kubectl's grammar, and =~ !~ where allowed).
#include "base/selector.h"

#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_TEXT  8192
#define KEY_STOPS ",!=()~<> \t"

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

// A word up to one of the stop characters, without spaces around it; "" if there is none.
static const char *word(struct parser *parser, const char *stops)
{
    skip_spaces(parser);
    size_t n = strcspn(parser->p, stops), end = n;
    while (end > 0 && (parser->p[end - 1] == ' ' || parser->p[end - 1] == '\t'))
        end--;
    const char *text = copy(parser, parser->p, end);
    parser->p += n;
    skip_spaces(parser);
    return text;
}

static int wrong(struct parser *parser, const char *what)
{
    if (*parser->p == '\0')
        return kp_fail(parser->err, KP_INVALID, "selector is wrong at its end: %s", what);
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

// The same for a token made of letters: behind it comes something else.
static bool take_word(struct parser *parser, const char *token)
{
    size_t n = strlen(token);
    return kp_starts_with(parser->p, token) && strchr(" \t(", parser->p[n]) != NULL && take(parser, token);
}

static int parse_regex(struct parser *parser, const char *key, enum kp_selector_op op)
{
    if (!parser->allow_regex)
        return wrong(parser, "regular expressions are not understood here");
    size_t first = parser->values.n;
    skip_spaces(parser);
    // a quoted regex may hold commas
    if (take(parser, "\"")) {
        size_t n = strcspn(parser->p, "\"");
        *kp_array_add(&parser->values) = copy(parser, parser->p, n);
        parser->p += n;
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
        const char *key = word(parser, KEY_STOPS);
        add(parser, key, KP_SELECTOR_NOT_EXISTS, parser->values.n);
        return key[0] != '\0' ? 0 : wrong(parser, "a key is missing behind '!'");
    }
    const char *key = word(parser, KEY_STOPS);
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
    if (*parser->p == '<' || *parser->p == '>')
        return wrong(parser, "< and > are not understood; list the values: key in (1,2,3)");
    if (take_word(parser, "in"))
        return parse_set(parser, key, KP_SELECTOR_IN);
    if (take_word(parser, "notin"))
        return parse_set(parser, key, KP_SELECTOR_NOT_IN);
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

// Without regexes a selector is about labels of Kubernetes objects: what cannot be there is a slip.
static int check_words(const struct kp_requirement *reqs, size_t n, struct kp_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (!kp_label_key_valid(reqs[i].key))
            return kp_fail(err, KP_INVALID,
                "'%.60s' is not a label key ([prefix/]name; a name has up to 63 letters, digits, '-', '_', "
                "'.')",
                reqs[i].key);
        for (size_t v = 0; v < reqs[i].n_values; v++)
            if (!kp_label_value_valid(reqs[i].values[v]))
                return kp_fail(err, KP_INVALID,
                    "'%.70s' is not a label value (up to 63 letters, digits, '-', '_', '.')",
                    reqs[i].values[v]);
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
        if (parser.reqs.items[i].n_values > 0)
            parser.reqs.items[i].values = parser.values.items + parser.first_value.items[i];
    if (code == 0 && !allow_regex)
        code = check_words(parser.reqs.items, parser.reqs.n, err);
    if (code == 0)
        code = kp_selector_create(parser.reqs.items, parser.reqs.n, ret, err);
    kp_array_free(&parser.reqs);
    kp_array_free(&parser.values);
    kp_array_free(&parser.first_value);
    kp_free(parser.arena);
    return code;
}
