#include "aio/answer.h"

#include <string.h>
#include <strings.h>

#include "base/banned.h"

enum { // answer->state
    AT_STATUS,
    AT_HEADERS,
    AT_BODY_LENGTH,
    AT_BODY_CLOSE,
    AT_CHUNK_SIZE,
    AT_CHUNK_DATA,
    AT_CHUNK_END,
    AT_TRAILERS,
    AT_OVER,
    AT_FAILED,
};

static enum kp_answer_event fail(struct kp_answer *answer, const char *why)
{
    answer->state = AT_FAILED;
    answer->why = why;
    return KP_ANSWER_FAILED;
}

// ---- lines ----

static bool is_token(const char *s, size_t len)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < len; i++) {
        char c = s[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!plain && (c == '\0' || strchr(marks, c) == NULL))
            return false;
    }
    return len > 0;
}

// "HTTP/1.1 101 Switching Protocols"
static enum kp_answer_event take_status(struct kp_answer *answer)
{
    const char *line = answer->line;
    if (answer->line_len < 12 || (strncmp(line, "HTTP/1.1 ", 9) != 0 && strncmp(line, "HTTP/1.0 ", 9) != 0) ||
        (line[12] != ' ' && line[12] != '\0'))
        return fail(answer, "this is not HTTP/1.1");
    answer->status = 0;
    for (int i = 9; i < 12; i++) {
        if (line[i] < '0' || line[i] > '9')
            return fail(answer, "the status is not a number");
        answer->status = answer->status * 10 + (line[i] - '0');
    }
    if (answer->status < 100)
        return fail(answer, "the status is not a number of three digits");
    answer->state = AT_HEADERS;
    return KP_ANSWER_MORE;
}

static enum kp_answer_event take_length(struct kp_answer *answer, const char *value)
{
    uint64_t length = 0;
    size_t digits = strspn(value, "0123456789");
    if (digits == 0 || digits > 15 || value[digits] != '\0')
        return fail(answer, "Content-Length is not a number");
    for (size_t i = 0; i < digits; i++)
        length = length * 10 + (uint64_t)(value[i] - '0');
    if (answer->has_length && length != answer->left)
        return fail(answer, "two lengths contradict each other");
    answer->has_length = true;
    answer->left = length;
    return KP_ANSWER_HEADER;
}

static enum kp_answer_event take_header(struct kp_answer *answer)
{
    const char *colon = memchr(answer->line, ':', answer->line_len);
    if (colon == NULL || !is_token(answer->line, (size_t)(colon - answer->line)))
        return fail(answer, "a header is not of the form 'Name: value'");
    const char *value = colon + 1 + strspn(colon + 1, " \t");
    while (answer->line_len > 0 && strchr(" \t", answer->line[answer->line_len - 1]) != NULL)
        answer->line[--answer->line_len] = '\0';
    size_t name = (size_t)(colon - answer->line);
    if (name == 14 && strncasecmp(answer->line, "Content-Length", name) == 0)
        return take_length(answer, value);
    if (name == 17 && strncasecmp(answer->line, "Transfer-Encoding", name) == 0) {
        if (strcasecmp(value, "chunked") != 0 || answer->chunked)
            return fail(answer, "the transfer encoding is not known");
        answer->chunked = true;
    }
    return KP_ANSWER_HEADER;
}

static enum kp_answer_event end_of_head(struct kp_answer *answer)
{
    if (answer->status < 200 && answer->status != 101) {
        answer->state = AT_STATUS;
        answer->chunked = answer->has_length = false;
        return KP_ANSWER_MORE;
    }
    if (answer->chunked && answer->has_length)
        return fail(answer, "it has a length and is chunked");
    if (answer->status == 101 || answer->status == 204 || answer->status == 304 ||
        (answer->has_length && answer->left == 0))
        answer->state = AT_OVER;
    else if (answer->chunked)
        answer->state = AT_CHUNK_SIZE;
    else
        answer->state = answer->has_length ? AT_BODY_LENGTH : AT_BODY_CLOSE;
    return KP_ANSWER_HEAD;
}

static enum kp_answer_event take_chunk_size(struct kp_answer *answer)
{
    size_t digits = strspn(answer->line, "0123456789abcdefABCDEF");
    if (digits == 0 || digits > 15 || (answer->line[digits] != '\0' && answer->line[digits] != ';'))
        return fail(answer, "the size of a chunk is not a hexadecimal number");
    answer->left = 0;
    for (size_t i = 0; i < digits; i++) {
        char c = answer->line[i];
        answer->left = answer->left * 16 + (uint64_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    answer->state = answer->left > 0 ? AT_CHUNK_DATA : AT_TRAILERS;
    return KP_ANSWER_MORE;
}

static enum kp_answer_event take_line(struct kp_answer *answer)
{
    switch (answer->state) {
    case AT_STATUS:
        return take_status(answer);
    case AT_HEADERS:
        return answer->line_len > 0 ? take_header(answer) : end_of_head(answer);
    case AT_CHUNK_SIZE:
        return take_chunk_size(answer);
    case AT_CHUNK_END:
        if (answer->line_len > 0)
            return fail(answer, "a chunk does not end where its size says");
        answer->state = AT_CHUNK_SIZE;
        return KP_ANSWER_MORE;
    default: // trailers are not looked at
        if (answer->line_len == 0)
            answer->state = AT_OVER;
        return KP_ANSWER_MORE;
    }
}

static enum kp_answer_event take_byte(struct kp_answer *answer, uint8_t c)
{
    if (++answer->head_bytes > KP_ANSWER_MAX_HEAD)
        return fail(answer, "the head is too large");
    if (answer->cr) {
        answer->cr = false;
        answer->line_told = true;
        return c == '\n' ? take_line(answer) : fail(answer, "a line does not end with CR LF");
    }
    if (answer->line_told) {
        answer->line_told = false;
        answer->line_len = 0;
        answer->line[0] = '\0';
    }
    if (c == '\r') {
        answer->cr = true;
        return KP_ANSWER_MORE;
    }
    if ((c < ' ' && c != '\t') || c == 0x7f)
        return fail(answer, "there is a control character in the head");
    if (answer->line_len >= KP_ANSWER_MAX_LINE)
        return fail(answer, "a line is too long");
    answer->line[answer->line_len++] = (char)c;
    answer->line[answer->line_len] = '\0';
    return KP_ANSWER_MORE;
}

// ---- body ----

static size_t take_data(struct kp_answer *answer, const uint8_t *data, size_t len)
{
    size_t n = len;
    if (answer->state != AT_BODY_CLOSE) {
        n = len < answer->left ? len : (size_t)answer->left;
        answer->left -= n;
    }
    if (answer->state == AT_BODY_LENGTH && answer->left == 0)
        answer->state = AT_OVER;
    if (answer->state == AT_CHUNK_DATA && answer->left == 0)
        answer->state = AT_CHUNK_END;
    answer->data = data;
    answer->data_len = n;
    return n;
}

size_t kp_answer_feed(
    struct kp_answer *answer, const uint8_t *data, size_t len, enum kp_answer_event *ret_event)
{
    size_t i = 0;
    *ret_event = KP_ANSWER_MORE;
    while (
        i < len && *ret_event == KP_ANSWER_MORE && answer->state != AT_OVER && answer->state != AT_FAILED) {
        if (answer->state == AT_BODY_LENGTH || answer->state == AT_BODY_CLOSE ||
            answer->state == AT_CHUNK_DATA) {
            *ret_event = KP_ANSWER_DATA;
            return i + take_data(answer, data + i, len - i);
        }
        *ret_event = take_byte(answer, data[i++]);
    }
    if (*ret_event == KP_ANSWER_MORE && answer->state == AT_OVER)
        *ret_event = KP_ANSWER_END;
    if (answer->state == AT_FAILED)
        *ret_event = KP_ANSWER_FAILED;
    return i;
}

enum kp_answer_event kp_answer_eof(struct kp_answer *answer)
{
    if (answer->state == AT_OVER || answer->state == AT_BODY_CLOSE)
        return KP_ANSWER_END;
    return answer->state == AT_FAILED ? KP_ANSWER_FAILED : fail(answer, "the connection broke in the middle");
}
