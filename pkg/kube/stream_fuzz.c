#include "kube/watch_event.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    struct kp_stream *stream;
    size_t n;
    uint64_t hash;
    int code;
};

static bool on_object(void *user, const char *data, size_t len)
{
    struct seen *seen = user;
    struct kp_watch_event event;
    struct kp_bookmark bookmark;
    seen->hash = kp_hash64(data, len, seen->hash + ++seen->n);
    if (kp_watch_event_parse(kp_stream_encoding(seen->stream), data, len, &event, NULL) == KP_OK)
        (void)kp_bookmark_parse(&event, &bookmark, NULL);
    return true;
}

static int feed_copy(struct kp_stream *stream, const uint8_t *p, size_t len)
{
    char *piece = len ? kp_memdup(p, len) : kp_alloc(1);
    int code = kp_stream_feed(stream, piece, len, NULL);
    kp_free(piece);
    return code;
}

static struct seen read_all(enum kp_stream_kind kind, const uint8_t *data, size_t size, size_t piece)
{
    struct seen seen = {0};
    struct kp_stream *stream = seen.stream = kp_stream_create(kind, 4096, on_object, &seen);
    for (size_t at = 0; at < size && seen.code == KP_OK; at += piece)
        seen.code = feed_copy(stream, data + at, size - at < piece ? size - at : piece);
    if (seen.code == KP_OK)
        seen.code = kp_stream_end(stream, NULL);
    kp_stream_destroy(stream);
    return seen;
}

// The first byte chooses the kind and the size of the pieces, the second JSON or protobuf; however it is cut,
// the events are the same.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    enum kp_stream_kind kind = data[0] & 1 ? KP_STREAM_LIST : KP_STREAM_WATCH;
    size_t piece = 1 + (data[0] >> 1);
    struct seen whole = read_all(kind, data + 1, size - 1, size);
    struct seen pieces = read_all(kind, data + 1, size - 1, piece);
    if (whole.n != pieces.n || whole.hash != pieces.hash || whole.code != pieces.code)
        abort();
    return 0;
}
