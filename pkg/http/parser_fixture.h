// For the tests of the parser: everything that comes of a run of bytes, as text.
#ifndef KP_HTTP_PARSER_FIXTURE_H
#define KP_HTTP_PARSER_FIXTURE_H

#include <stdbool.h>
#include <string.h>

#include "base/strbuf.h"
#include "http/parser.h"
#include "http/query.h"

static inline void fixture_add_head(struct kp_strbuf *out, const struct kp_http_parser *parser)
{
    struct kp_http_query query;
    const char *host = kp_http_parser_header(parser, "host");
    kp_strbuf_addf(out, "<%s %s ?%s HTTP/1.%d%s%s%s host=%s>", parser->method, parser->path, parser->query,
        parser->minor, parser->keep_alive ? " keep" : "", parser->chunked ? " chunked" : "",
        parser->expect_continue ? " continue" : "", host != NULL ? host : "");
    kp_http_query_parse(&query, parser->query);
    for (size_t i = 0; i < query.n; i++)
        kp_strbuf_addf(out, "(%s=%s)", query.args[i].name, query.args[i].value);
    kp_http_query_finish(&query);
}

// Bytes come in pieces of at most so many. Requests follow each other until one fails: "<head>body!", or
// "#status".
static inline void fixture_parse(struct kp_strbuf *out, const uint8_t *data, size_t len, size_t piece)
{
    struct kp_http_parser parser;
    size_t at = 0;
    bool goes_on = true;
    kp_http_parser_init(&parser);
    while (goes_on) {
        enum kp_parse event;
        size_t n = len - at < piece ? len - at : piece;
        size_t taken = kp_http_parser_feed(&parser, data + at, n, &event);
        at += taken;
        switch (event) {
        case KP_PARSE_MORE:
            goes_on = at < len;
            break;
        case KP_PARSE_HEAD:
            fixture_add_head(out, &parser);
            break;
        case KP_PARSE_DATA:
            kp_strbuf_add(out, parser.data, parser.data_len);
            break;
        case KP_PARSE_END:
            kp_strbuf_addc(out, '!');
            kp_http_parser_next(&parser);
            goes_on = at < len;
            break;
        case KP_PARSE_FAILED:
            kp_strbuf_addf(out, "#%d", parser.status);
            goes_on = false;
            break;
        }
    }
    kp_http_parser_finish(&parser);
}

#endif
