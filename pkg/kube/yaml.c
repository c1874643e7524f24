#include "kube/yaml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/alloc.h"

#include "base/banned.h"

enum { MAX_NODES = 100000, MAX_DEPTH = 64, MAX_OPEN = 1000 };

struct converter {
    yaml_document_t *document;
    int nodes; // visited, each alias anew
    struct kp_error *err;
};

static json_t *convert(struct converter *c, int index, int depth);

static bool one_of(const char *s, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(s, words[i]) == 0)
            return true;
    }
    return false;
}

static bool plain_integer(const char *s, long long *ret)
{
    char *end;
    const char *digits = s + (*s == '-' || *s == '+');
    if (*digits < '0' || *digits > '9' || (digits[0] == '0' && digits[1] != '\0'))
        return false;
    errno = 0;
    *ret = strtoll(s, &end, 10);
    return errno == 0 && *end == '\0';
}

static bool plain_real(const char *s, double *ret)
{
    char *end;
    const char *digits = s + (*s == '-' || *s == '+');
    if (digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9')
        return false;
    if (strspn(s, "+-0123456789.eE") != strlen(s) || strcspn(s, "0123456789") == strlen(s))
        return false;
    errno = 0;
    *ret = strtod(s, &end);
    return errno == 0 && *end == '\0';
}

static json_t *convert_scalar(struct converter *c, const yaml_node_t *node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    static const char *const trues[] = {"true", "True", "TRUE"};
    static const char *const falses[] = {"false", "False", "FALSE"};
    const char *s = (const char *)node->data.scalar.value;
    size_t len = node->data.scalar.length;
    if (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strlen(s) == len) {
        long long integer;
        double real;
        if (one_of(s, nulls, KP_COUNT(nulls)))
            return json_null();
        if (one_of(s, trues, KP_COUNT(trues)))
            return json_true();
        if (one_of(s, falses, KP_COUNT(falses)))
            return json_false();
        if (plain_integer(s, &integer))
            return json_integer(integer);
        if (plain_real(s, &real))
            return json_real(real);
    }
    json_t *string = json_stringn(s, len);
    if (!string)
        kp_fail(c->err, KP_INVALID, "line %zu: text that is not UTF-8", node->start_mark.line + 1);
    return string;
}

static json_t *convert_sequence(struct converter *c, const yaml_node_t *node, int depth)
{
    json_t *array = json_array();
    for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top;
         item++) {
        json_t *value = convert(c, *item, depth + 1);
        if (!value || json_array_append_new(array, value) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *convert_mapping(struct converter *c, const yaml_node_t *node, int depth)
{
    json_t *object = json_object();
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        const yaml_node_t *key = yaml_document_get_node(c->document, pair->key);
        json_t *value = NULL;
        if (!key || key->type != YAML_SCALAR_NODE)
            kp_fail(c->err, KP_INVALID, "line %zu: a key that is not text", node->start_mark.line + 1);
        else if (json_object_get(object, (const char *)key->data.scalar.value))
            kp_fail(c->err, KP_INVALID, "line %zu: key '%.60s' is there twice", key->start_mark.line + 1,
                (const char *)key->data.scalar.value);
        else
            value = convert(c, pair->value, depth + 1);
        if (value && json_object_set_new(object, (const char *)key->data.scalar.value, value) < 0) {
            kp_fail(c->err, KP_INVALID, "line %zu: a key that is not UTF-8", key->start_mark.line + 1);
            value = NULL;
        }
        if (!value) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *convert(struct converter *c, int index, int depth)
{
    const yaml_node_t *node = yaml_document_get_node(c->document, index);
    if (++c->nodes > MAX_NODES || depth > MAX_DEPTH) {
        kp_fail(c->err, KP_LIMIT, "too large: more than %d values or nested more than %d deep", MAX_NODES,
            MAX_DEPTH);
        return NULL;
    }
    if (!node)
        return json_null();
    switch (node->type) {
    case YAML_SCALAR_NODE:
        return convert_scalar(c, node);
    case YAML_SEQUENCE_NODE:
        return convert_sequence(c, node, depth);
    case YAML_MAPPING_NODE:
        return convert_mapping(c, node, depth);
    case YAML_NO_NODE:
        break;
    }
    return json_null();
}

// libyaml looks at every open bracket for each word it reads: much more open ones than values may be nested
// cost it hours. Those within quotes count here, too, but text has as many that close.
static bool is_nested_too_deep(const char *text, size_t len)
{
    int open = 0;
    for (size_t i = 0; i < len && open <= MAX_OPEN; i++) {
        if (text[i] == '[' || text[i] == '{')
            open++;
        else if ((text[i] == ']' || text[i] == '}') && open > 0)
            open--;
    }
    return open > MAX_OPEN;
}

int kp_yaml_parse(const char *text, size_t len, json_t **ret, struct kp_error *err)
{
    yaml_parser_t parser;
    yaml_document_t document;
    struct kp_error own = {0};
    if (!err)
        err = &own;
    if (is_nested_too_deep(text, len))
        return kp_fail(err, KP_LIMIT, "too large: more than %d brackets are open at once", MAX_OPEN);
    if (!yaml_parser_initialize(&parser))
        return kp_fail(err, KP_INTERNAL, "cannot read YAML: out of memory");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    if (!yaml_parser_load(&parser, &document)) {
        kp_fail(err, KP_INVALID, "line %zu, column %zu: %s", parser.problem_mark.line + 1,
            parser.problem_mark.column + 1, parser.problem ? parser.problem : "not YAML");
        yaml_parser_delete(&parser);
        return err->code;
    }
    struct converter converter = {.document = &document, .err = err};
    json_t *value = yaml_document_get_root_node(&document) ? convert(&converter, 1, 0) : json_null();
    yaml_document_delete(&document);
    yaml_parser_delete(&parser);
    if (!value)
        return err->code;
    *ret = value;
    return KP_OK;
}
