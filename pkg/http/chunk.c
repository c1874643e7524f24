#include "http/chunk.h"

#include <string.h>

#include "base/banned.h"

enum { // parser->chunk
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER,
    CHUNK_TRAILER_LF,
    CHUNK_OVER,
};

static int digit_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int take_size(struct kp_http_parser *parser, uint8_t c)
{
    int digit = digit_of(c);
    if (digit >= 0) {
        if (++parser->n_digits > 15)
            return kp_http_parser_fail(parser, 413, "a chunk is larger than any limit");
        parser->left = parser->left * 16 + (uint64_t)digit;
        return 0;
    }
    if (parser->n_digits == 0 || (c != ';' && c != '\r'))
        return kp_http_parser_fail(parser, 400, "the size of a chunk is not a hexadecimal number");
    parser->chunk = c == ';' ? CHUNK_EXTENSION : CHUNK_SIZE_LF;
    return 0;
}

static int take_extension(struct kp_http_parser *parser, uint8_t c)
{
    if (c == '\r') {
        parser->chunk = CHUNK_SIZE_LF;
        return 0;
    }
    if ((c < ' ' && c != '\t') || c == 0x7f)
        return kp_http_parser_fail(parser, 400, "a control character in a chunk extension");
    if (++parser->n_ext > KP_HTTP_MAX_EXT)
        return kp_http_parser_fail(parser, 400, "the chunk extensions are too long");
    return 0;
}

static int take_trailer(struct kp_http_parser *parser, uint8_t c)
{
    if (++parser->n_trailer > KP_HTTP_MAX_TRAILERS)
        return kp_http_parser_fail(parser, 431, "the trailers are too large");
    if (c == '\r') {
        if (parser->trailer_line > 0 && !parser->trailer_colon)
            return kp_http_parser_fail(parser, 400, "a trailer is not of the form 'Name: value'");
        parser->chunk = CHUNK_TRAILER_LF;
        return 0;
    }
    if ((c < ' ' && c != '\t') || c == 0x7f)
        return kp_http_parser_fail(parser, 400, "a control character in the trailers");
    if (!parser->trailer_colon && !kp_http_is_token_char(c)) {
        if (c != ':' || parser->trailer_line == 0)
            return kp_http_parser_fail(parser, 400, "a trailer is not of the form 'Name: value'");
        parser->trailer_colon = true;
    }
    parser->trailer_line++;
    return 0;
}

static void end_trailer_line(struct kp_http_parser *parser)
{
    parser->chunk = parser->trailer_line == 0 ? CHUNK_OVER : CHUNK_TRAILER;
    parser->trailer_line = 0;
    parser->trailer_colon = false;
}

static int expect_byte(struct kp_http_parser *parser, uint8_t c, uint8_t wanted)
{
    return c == wanted ? 0 : kp_http_parser_fail(parser, 400, "a chunk does not end where its size says");
}

// One byte of the framing.
static int take_byte(struct kp_http_parser *parser, uint8_t c)
{
    switch (parser->chunk) {
    case CHUNK_SIZE:
        return take_size(parser, c);
    case CHUNK_EXTENSION:
        return take_extension(parser, c);
    case CHUNK_SIZE_LF:
        parser->n_digits = 0;
        parser->chunk = parser->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
        return expect_byte(parser, c, '\n');
    case CHUNK_DATA_CR:
        parser->chunk = CHUNK_DATA_LF;
        return expect_byte(parser, c, '\r');
    case CHUNK_DATA_LF:
        parser->chunk = CHUNK_SIZE;
        return expect_byte(parser, c, '\n');
    case CHUNK_TRAILER:
        return take_trailer(parser, c);
    case CHUNK_TRAILER_LF:
        end_trailer_line(parser);
        return expect_byte(parser, c, '\n');
    }
    return -1;
}

size_t kp_http_chunks_feed(
    struct kp_http_parser *parser, const uint8_t *data, size_t len, enum kp_parse *ret_event)
{
    size_t i = 0;
    while (i < len && parser->chunk != CHUNK_OVER) {
        if (parser->chunk == CHUNK_DATA) {
            size_t n = len - i < parser->left ? len - i : (size_t)parser->left;
            parser->data = data + i;
            parser->data_len = n;
            parser->left -= n;
            if (parser->left == 0)
                parser->chunk = CHUNK_DATA_CR;
            *ret_event = KP_PARSE_DATA;
            return i + n;
        }
        if (take_byte(parser, data[i++]) != 0) {
            *ret_event = KP_PARSE_FAILED;
            return i;
        }
    }
    *ret_event = parser->chunk == CHUNK_OVER ? KP_PARSE_END : KP_PARSE_MORE;
    return i;
}
