// Inside the parser only: the chunked body.
#ifndef KP_HTTP_CHUNK_H
#define KP_HTTP_CHUNK_H

#include "http/parser.h"

// As kp_http_parser_feed(), for the body.
size_t kp_http_chunks_feed(
    struct kp_http_parser *parser, const uint8_t *data, size_t len, enum kp_parse *ret_event);

bool kp_http_is_token_char(unsigned char c);
// Returns -1.
int kp_http_parser_fail(struct kp_http_parser *parser, int status, const char *why);

#endif
