// The header block is collected whole, its bytes checked as they come, its lines taken apart when they end;
// the body is passed on in place.
#include "http/parser.h"

#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "http/chunk.h"
#include "base/banned.h"

enum {
    STATE_HEAD,
    STATE_LENGTH, // a body of known length
    STATE_CHUNKS,
    STATE_END,
    STATE_FAILED,
};

#define KEEP_TEXT_BYTES 4096 // kept between requests

void kp_http_parser_init(struct kp_http_parser *parser)
{
    memset(parser, 0, sizeof *parser);
    parser->method = parser->path = parser->query = "";
}

void kp_http_parser_finish(struct kp_http_parser *parser)
{
    kp_free(parser->text);
    parser->text = NULL;
}

void kp_http_parser_next(struct kp_http_parser *parser)
{
    char *text = parser->text;
    size_t cap = parser->cap;
    if (cap > KEEP_TEXT_BYTES) {
        kp_free(text);
        text = NULL;
        cap = 0;
    }
    kp_http_parser_init(parser);
    parser->text = text;
    parser->cap = cap;
}

bool kp_http_parser_started(const struct kp_http_parser *parser)
{
    return parser->len > 0 || parser->n_empty > 0 || parser->state != STATE_HEAD;
}

int kp_http_parser_fail(struct kp_http_parser *parser, int status, const char *why)
{
    parser->state = STATE_FAILED;
    parser->status = status;
    parser->why = why;
    return -1;
}

// ---- characters ----

bool kp_http_is_token_char(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static size_t token_length(const char *s)
{
    size_t n = 0;
    while (kp_http_is_token_char((unsigned char)s[n]))
        n++;
    return n;
}

// ---- request line ----

static int parse_version(struct kp_http_parser *parser, const char *s)
{
    if (strncmp(s, "HTTP/", 5) != 0 || s[5] < '0' || s[5] > '9' || s[6] != '.' || s[7] < '0' || s[7] > '9' ||
        s[8] != '\0')
        return kp_http_parser_fail(parser, 400, "the request line does not end in an HTTP version");
    if (s[5] != '1' || s[7] > '1')
        return kp_http_parser_fail(parser, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    parser->minor = s[7] - '0';
    return 0;
}

static int parse_target(struct kp_http_parser *parser, char *target)
{
    for (const char *c = target; *c != '\0'; c++)
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f || *c == '#')
            return kp_http_parser_fail(
                parser, 400, "the request target holds a character that is not allowed there");
    if (strncasecmp(target, "http://", 7) == 0 || strncasecmp(target, "https://", 8) == 0) {
        // absolute form: the authority is not looked at, one server answers for all names
        char *path = strchr(strchr(target, ':') + 3, '/');
        if (path == NULL)
            return kp_http_parser_fail(parser, 400, "the request target has no path");
        target = path;
    }
    if (target[0] != '/')
        return kp_http_parser_fail(parser, 400, "the request target does not start with '/'");
    char *query = strchr(target, '?');
    if (query != NULL)
        *query++ = '\0';
    parser->path = target;
    parser->query =
        query != NULL && query[0] != '\0' ? query : ""; // never an empty string inside text, see reserve()
    return 0;
}

static int parse_request_line(struct kp_http_parser *parser, char *line)
{
    size_t n = token_length(line);
    if (n == 0 || line[n] != ' ')
        return kp_http_parser_fail(parser, 400, "the request line does not start with a method");
    char *target = line + n + 1, *version = strchr(target, ' ');
    if (version == NULL || version == target)
        return kp_http_parser_fail(parser, 400, "the request line has no HTTP version");
    line[n] = '\0';
    *version++ = '\0';
    if (parse_version(parser, version) != 0 || parse_target(parser, target) != 0)
        return -1;
    parser->method = line;
    return 0;
}

// ---- header fields ----

static int parse_field(struct kp_http_parser *parser, char *line)
{
    size_t n = token_length(line);
    if (line[0] == ' ' || line[0] == '\t')
        return kp_http_parser_fail(parser, 400, "a header is folded over several lines");
    if (n == 0 || line[n] != ':')
        return kp_http_parser_fail(parser, 400, "a header is not of the form 'Name: value'");
    if (parser->n_fields == KP_HTTP_MAX_FIELDS)
        return kp_http_parser_fail(parser, 431, "the request has too many headers");
    line[n] = '\0';
    char *value = line + n + 1, *end = value + strlen(value);
    while (*value == ' ' || *value == '\t')
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        *--end = '\0';
    parser->fields[parser->n_fields++] =
        (struct kp_http_field){(uint32_t)(line - parser->text), (uint32_t)(value - parser->text)};
    return 0;
}

// How often a header is there; the last one's value.
static size_t count_fields(const struct kp_http_parser *parser, const char *name, const char **ret_value)
{
    size_t n = 0;
    for (size_t i = 0; i < parser->n_fields; i++) {
        if (strcasecmp(parser->text + parser->fields[i].name, name) != 0)
            continue;
        *ret_value = parser->text + parser->fields[i].value;
        n++;
    }
    return n;
}

static int parse_length(struct kp_http_parser *parser, const char *value)
{
    uint64_t length = 0;
    size_t n = strlen(value);
    if (n == 0 || strspn(value, "0123456789") != n)
        return kp_http_parser_fail(parser, 400, "Content-Length is not a number");
    if (n > 18)
        return kp_http_parser_fail(parser, 413, "the body is larger than any limit");
    for (size_t i = 0; i < n; i++)
        length = length * 10 + (uint64_t)(value[i] - '0');
    parser->has_length = true;
    parser->length = parser->left = length;
    return 0;
}

static int check_framing(struct kp_http_parser *parser)
{
    const char *length = NULL, *coding = NULL;
    size_t n_length = count_fields(parser, "Content-Length", &length);
    size_t n_coding = count_fields(parser, "Transfer-Encoding", &coding);
    if (n_length > 1)
        return kp_http_parser_fail(parser, 400, "Content-Length is given more than once");
    if (n_length > 0 && n_coding > 0)
        return kp_http_parser_fail(parser, 400, "Content-Length and Transfer-Encoding exclude each other");
    if (n_coding > 1)
        return kp_http_parser_fail(parser, 400, "Transfer-Encoding is given more than once");
    if (n_coding == 1 && parser->minor == 0)
        return kp_http_parser_fail(parser, 400, "HTTP/1.0 has no Transfer-Encoding");
    if (n_coding == 1 && strcasecmp(coding, "chunked") != 0)
        return kp_http_parser_fail(parser, 501, "the only Transfer-Encoding known here is chunked");
    parser->chunked = n_coding == 1;
    return n_length == 1 ? parse_length(parser, length) : 0;
}

static int check_host(struct kp_http_parser *parser)
{
    const char *host = "";
    size_t n = count_fields(parser, "Host", &host);
    if (n > 1)
        return kp_http_parser_fail(parser, 400, "Host is given more than once");
    if (n == 0 && parser->minor > 0)
        return kp_http_parser_fail(parser, 400, "the Host header is missing");
    for (; *host != '\0'; host++)
        if ((unsigned char)*host <= ' ' || (unsigned char)*host >= 0x7f ||
            strchr("/?#@\\\"<>", *host) != NULL)
            return kp_http_parser_fail(parser, 400, "the Host header is not a name and port");
    return 0;
}

static void read_connection(struct kp_http_parser *parser)
{
    bool is_close = false, is_keep = false;
    for (size_t i = 0; i < parser->n_fields; i++) {
        if (strcasecmp(parser->text + parser->fields[i].name, "Connection") != 0)
            continue;
        const char *list = parser->text + parser->fields[i].value;
        is_close |= kp_http_list_has(list, "close");
        is_keep |= kp_http_list_has(list, "keep-alive");
    }
    parser->keep_alive = !is_close && (parser->minor > 0 || is_keep);
}

// ---- the block ----

static int end_head(struct kp_http_parser *parser)
{
    if (check_framing(parser) != 0 || check_host(parser) != 0)
        return -1;
    read_connection(parser);
    const char *expect = kp_http_parser_header(parser, "Expect");
    if (expect != NULL && parser->minor > 0) {
        parser->expect_continue = strcasecmp(expect, "100-continue") == 0;
        parser->expect_unknown = !parser->expect_continue;
    }
    parser->state = parser->chunked ? STATE_CHUNKS : parser->left > 0 ? STATE_LENGTH : STATE_END;
    return 0;
}

static void reserve(struct kp_http_parser *parser)
{
    if (parser->len + 2 <= parser->cap)
        return;
    char *old = parser->text;
    parser->cap = parser->cap == 0 ? 1024 : parser->cap * 2;
    char *text = kp_alloc(parser->cap);
    if (old != NULL)
        memcpy(text, old, parser->len);
    if (parser->method[0] != '\0') { // the request line was read already: its strings move along
        parser->method = text + (parser->method - old);
        parser->path = text + (parser->path - old);
        if (parser->query[0] != '\0')
            parser->query = text + (parser->query - old);
    }
    parser->text = text;
    kp_free(old);
}

// A line is complete, without its CR LF. Returns 1 when it was the empty one that ends the block.
static int end_line(struct kp_http_parser *parser)
{
    char *line = parser->text + parser->line_start;
    bool is_empty = parser->len == parser->line_start;
    parser->text[parser->len++] = '\0';
    parser->line_start = parser->len;
    if (parser->method[0] != '\0' && is_empty)
        return 1;
    if (parser->method[0] != '\0')
        return parse_field(parser, line);
    if (!is_empty)
        return parse_request_line(parser, line);
    parser->len = parser->line_start = 0;
    if (++parser->n_empty > 2)
        return kp_http_parser_fail(parser, 400, "empty lines before the request");
    return 0;
}

static int take_head_byte(struct kp_http_parser *parser, unsigned char c)
{
    if (parser->after_cr) {
        parser->after_cr = false;
        return c == '\n' ? end_line(parser)
                         : kp_http_parser_fail(parser, 400, "a CR without LF in the header block");
    }
    if (c == '\r') {
        parser->after_cr = true;
        return 0;
    }
    if (c == '\n')
        return kp_http_parser_fail(parser, 400, "a line of the header block ends in LF without CR");
    if ((c < ' ' && c != '\t') || c == 0x7f)
        return kp_http_parser_fail(parser, 400, "a control character in the header block");
    if (parser->method[0] == '\0' && parser->len >= KP_HTTP_MAX_LINE)
        return kp_http_parser_fail(parser, 414, "the request line is too long");
    if (parser->len + 2 >= KP_HTTP_MAX_HEAD)
        return kp_http_parser_fail(parser, 431, "the header block is too large");
    parser->text[parser->len++] = (char)c;
    return 0;
}

static size_t feed_head(struct kp_http_parser *parser, const uint8_t *data, size_t len, enum kp_parse *event)
{
    for (size_t i = 0; i < len; i++) {
        reserve(parser);
        int code = take_head_byte(parser, data[i]);
        if (code == 1)
            code = end_head(parser) == 0 ? 1 : -1;
        if (code != 0) {
            *event = code < 0 ? KP_PARSE_FAILED : KP_PARSE_HEAD;
            return i + 1;
        }
    }
    *event = KP_PARSE_MORE;
    return len;
}

static size_t feed_length(
    struct kp_http_parser *parser, const uint8_t *data, size_t len, enum kp_parse *event)
{
    parser->data = data;
    parser->data_len = len < parser->left ? len : (size_t)parser->left;
    parser->left -= parser->data_len;
    if (parser->left == 0)
        parser->state = STATE_END;
    *event = parser->data_len > 0 ? KP_PARSE_DATA : KP_PARSE_MORE;
    return parser->data_len;
}

size_t kp_http_parser_feed(
    struct kp_http_parser *parser, const uint8_t *data, size_t len, enum kp_parse *ret_event)
{
    size_t taken;
    *ret_event = KP_PARSE_MORE;
    switch (parser->state) {
    case STATE_HEAD:
        return feed_head(parser, data, len, ret_event);
    case STATE_LENGTH:
        return feed_length(parser, data, len, ret_event);
    case STATE_CHUNKS:
        taken = kp_http_chunks_feed(parser, data, len, ret_event);
        if (*ret_event == KP_PARSE_END)
            parser->state = STATE_END;
        return taken;
    case STATE_END:
        *ret_event = KP_PARSE_END;
        return 0;
    }
    *ret_event = KP_PARSE_FAILED;
    return 0;
}

// ---- reading ----

const char *kp_http_parser_header(const struct kp_http_parser *parser, const char *name)
{
    for (size_t i = 0; i < parser->n_fields; i++)
        if (strcasecmp(parser->text + parser->fields[i].name, name) == 0)
            return parser->text + parser->fields[i].value;
    return NULL;
}

static bool is_zero_quality(const char *item, size_t len)
{
    const char *semicolon = memchr(item, ';', len);
    if (semicolon == NULL)
        return false;
    const char *s = semicolon + 1, *end = item + len;
    while (s < end && (*s == ' ' || *s == '\t'))
        s++;
    if (end - s < 3 || (*s != 'q' && *s != 'Q') || s[1] != '=' || s[2] != '0')
        return false;
    for (s += 3; s < end; s++)
        if (*s >= '1' && *s <= '9')
            return false;
    return true;
}

bool kp_http_list_has(const char *list, const char *token)
{
    size_t n = strlen(token);
    while (*list != '\0') {
        list += strspn(list, ", \t");
        size_t len = strcspn(list, ",");
        size_t word = strcspn(list, ",; \t");
        if (word == n && strncasecmp(list, token, n) == 0)
            return !is_zero_quality(list, len);
        list += len;
    }
    return false;
}
