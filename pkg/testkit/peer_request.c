#include "testkit/peer_request.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/banned.h"

#define CHUNK 16384

// Reads on; false at the end or past the limit.
static bool more(struct kp_peer_input *input, size_t limit)
{
    if (input->len >= limit)
        return false;
    if (input->cap - input->len < CHUNK + 1) {
        input->cap = (input->len + CHUNK + 1) * 2;
        input->data = kp_realloc(input->data, input->cap);
    }
    size_t n;
    if (!input->fill(input->user, input->data + input->len, CHUNK, &n))
        return false;
    input->len += n;
    input->data[input->len] = '\0';
    return true;
}

static void use_up(struct kp_peer_input *input, size_t n)
{
    memmove(input->data, input->data + n, input->len - n + 1);
    input->len -= n;
}

// The first n bytes, moved out of the input; NULL if they do not come.
static char *take_bytes(struct kp_peer_input *input, size_t n)
{
    while (input->len < n)
        if (!more(input, n))
            return NULL;
    char *bytes = kp_alloc(n + 1);
    if (n > 0) {
        memcpy(bytes, input->data, n);
        use_up(input, n);
    }
    bytes[n] = '\0';
    return bytes;
}

// What comes before and with `end`; NULL if it does not come.
static char *take_until(struct kp_peer_input *input, const char *end, size_t limit)
{
    for (;;) {
        const char *at = input->len > 0 ? memmem(input->data, input->len, end, strlen(end)) : NULL;
        if (at != NULL)
            return take_bytes(input, (size_t)(at - input->data) + strlen(end));
        if (!more(input, limit))
            return NULL;
    }
}

static char *take_chunked(struct kp_peer_input *input, size_t *ret_len)
{
    kp_auto_strbuf body;
    kp_strbuf_init(&body, KP_PEER_MAX_BODY);
    for (;;) {
        kp_auto_free char *line = take_until(input, "\r\n", CHUNK);
        if (line == NULL)
            return NULL;
        size_t n = strtoul(line, NULL, 16);
        if (n > KP_PEER_MAX_BODY)
            return NULL;
        kp_auto_free char *bytes = take_bytes(input, n + 2);
        if (bytes == NULL)
            return NULL;
        if (n == 0) // no trailers: what we test sends none
            return body.overflow ? NULL : kp_strbuf_take(&body, ret_len);
        kp_strbuf_add(&body, bytes, n);
    }
}

bool kp_peer_header(const struct kp_peer_request *request, const char *name, char *out, size_t size)
{
    size_t n = strlen(name);
    for (const char *line = strchr(request->head, '\n'); line != NULL; line = strchr(line, '\n')) {
        line++;
        if (strncasecmp(line, name, n) != 0 || line[n] != ':')
            continue;
        const char *value = line + n + 1 + strspn(line + n + 1, " \t");
        kp_auto_free char *copy = kp_strndup(value, strcspn(value, "\r\n"));
        kp_copy(out, size, copy);
        return true;
    }
    return false;
}

static bool read_body(struct kp_peer_input *input, struct kp_peer_message *message)
{
    struct kp_peer_request *request = &message->request;
    char value[64];
    int64_t length = 0;
    if (kp_peer_header(request, "Expect", value, sizeof value) && !input->go_on(input->user))
        return false;
    if (kp_peer_header(request, "Transfer-Encoding", value, sizeof value))
        message->body = take_chunked(input, &request->body_len);
    else {
        if (kp_peer_header(request, "Content-Length", value, sizeof value) &&
            kp_parse_int(value, 0, KP_PEER_MAX_BODY, &length, NULL) != 0)
            return false;
        message->body = take_bytes(input, (size_t)length);
        request->body_len = (size_t)length;
    }
    request->body = message->body;
    return message->body != NULL;
}

static bool read_message(struct kp_peer_input *input, struct kp_peer_message *message)
{
    message->head = take_until(input, "\r\n\r\n", KP_PEER_MAX_HEAD);
    if (message->head == NULL)
        return false;
    message->line = kp_strndup(message->head, strcspn(message->head, "\r\n"));
    char *rest = message->line;
    message->request.head = message->head;
    message->request.method = strsep(&rest, " ");
    message->request.target = strsep(&rest, " ");
    return message->request.target != NULL && read_body(input, message);
}

struct kp_peer_message *kp_peer_message_read(struct kp_peer_input *input)
{
    struct kp_peer_message *message = KP_NEW(struct kp_peer_message);
    if (read_message(input, message))
        return message;
    kp_peer_message_destroy(message);
    return NULL;
}

void kp_peer_message_destroy(struct kp_peer_message *message)
{
    kp_free(message->line);
    kp_free(message->head);
    kp_free(message->body);
    kp_free(message);
}

void kp_peer_input_finish(struct kp_peer_input *input)
{
    kp_free(input->data);
    input->data = NULL;
}
