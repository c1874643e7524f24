// A strict, incremental HTTP/1.1 request parser: RFC 9112's grammar and nothing else, made to refuse. Pure:
// no sockets, no clock. Bytes go in as they come, however they are cut; one event comes out per call.
// Whatever could be read in two ways (a length given twice, a length and chunks, bare LF, folded lines) fails
// with a status to answer; after that the connection must be closed.
#ifndef KP_HTTP_PARSER_H
#define KP_HTTP_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KP_HTTP_MAX_LINE     (16 * 1024) // request line: 414
#define KP_HTTP_MAX_HEAD     (64 * 1024) // request line and headers: 431
#define KP_HTTP_MAX_FIELDS   100         // 431
#define KP_HTTP_MAX_EXT      (4 * 1024)  // chunk extensions of one body together: 400
#define KP_HTTP_MAX_TRAILERS (8 * 1024)  // 431

enum kp_parse {
    KP_PARSE_MORE,   // everything given was taken, more is needed
    KP_PARSE_HEAD,   // the header block is complete
    KP_PARSE_DATA,   // data, data_len: a piece of the body, inside the bytes given
    KP_PARSE_END,    // the request is complete; kp_http_parser_next() goes on to the next one
    KP_PARSE_FAILED, // status, why
};

struct kp_http_field {
    uint32_t name, value; // offsets into text
};

// Embedded. Strings are NUL-terminated, lie in `text`, and are valid from KP_PARSE_HEAD to
// kp_http_parser_next().
struct kp_http_parser {
    const char *method, *path, *query; // path as sent, "" if there is no query
    int minor;                         // HTTP/1.minor
    bool keep_alive, expect_continue, expect_unknown, chunked, has_length;
    uint64_t length; // of has_length
    const uint8_t *data;
    size_t data_len;
    int status;      // of a failure
    const char *why; // of a failure: a sentence, static

    // private
    int state, chunk;
    char *text;
    size_t len, cap, line_start;
    bool after_cr;
    int n_empty; // empty lines before the request
    struct kp_http_field fields[KP_HTTP_MAX_FIELDS];
    size_t n_fields;
    uint64_t left; // of the body or chunk
    int n_digits;
    size_t n_ext, n_trailer, trailer_line;
    bool trailer_colon;
};

void kp_http_parser_init(struct kp_http_parser *parser);
void kp_http_parser_finish(struct kp_http_parser *parser);
// Takes bytes from data until something happened; returns how many were taken. A call with len 0 may still
// give KP_PARSE_END.
size_t kp_http_parser_feed(
    struct kp_http_parser *parser, const uint8_t *data, size_t len, enum kp_parse *ret_event);
// After KP_PARSE_END: ready for the next request.
void kp_http_parser_next(struct kp_http_parser *parser);
// Whether bytes of a request have come in.
bool kp_http_parser_started(const struct kp_http_parser *parser);

// Value of a header, the first of several; name in any case; NULL if not there.
const char *kp_http_parser_header(const struct kp_http_parser *parser, const char *name);

// Whether a comma-separated list holds the token (in any case, parameters ignored but ";q=0" means no).
bool kp_http_list_has(const char *list, const char *token);

#endif
