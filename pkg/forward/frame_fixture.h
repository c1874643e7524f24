// Reads frames in pieces and writes down what came of them, for the test and the fuzzer. Only tests include
// it.
#ifndef KP_FORWARD_FRAME_FIXTURE_H
#define KP_FORWARD_FRAME_FIXTURE_H

#include <string.h>

#include "base/alloc.h"
#include "base/strbuf.h"
#include "forward/channel.h"
#include "forward/frame.h"

struct fixture {
    struct kp_frames frames;
    struct kp_channels channels;
    struct kp_strbuf *out;
    bool over;
};

static inline void fixture_take(struct fixture *f, enum kp_frame_event event)
{
    const uint8_t *data = NULL;
    size_t len = 0;
    struct kp_error err = {0};
    const struct kp_frames *frames = &f->frames;
    if (event == KP_FRAME_DATA) {
        if (kp_channels_take(&f->channels, frames->first, frames->last, frames->data, frames->data_len, &data,
                &len, &err) != 0) {
            kp_strbuf_addf(f->out, "!%s", err.text);
            f->over = true;
        }
        kp_strbuf_add(f->out, data, len);
    } else if (event == KP_FRAME_CONTROL) {
        kp_strbuf_addf(f->out, "<%d %s>", (int)frames->opcode, (const char *)frames->control);
    } else if (event == KP_FRAME_CLOSE) {
        kp_strbuf_addf(f->out, "<close %u %s>", frames->close_code, (const char *)frames->control);
        f->over = true;
    } else if (event == KP_FRAME_FAILED) {
        kp_strbuf_addf(f->out, "!%s", frames->why);
        f->over = true;
    }
}

// Data of the pod, "<9 text>" for control frames, "!why", and what the error channel said.
static inline void fixture_frames(struct kp_strbuf *out, const uint8_t *data, size_t len, size_t piece)
{
    struct fixture f = {.channels.port = 6060, .out = out};
    struct kp_error err = {0};
    for (size_t at = 0; at < len && !f.over;) {
        size_t n = len - at < piece ? len - at : piece, used = 0;
        uint8_t *exact = kp_memdup(data + at, n); // a sanitizer sees what is read behind it
        enum kp_frame_event event = KP_FRAME_DATA;
        while (event != KP_FRAME_MORE && !f.over) {
            used += kp_frames_feed(&f.frames, exact + used, n - used, &event);
            fixture_take(&f, event);
        }
        kp_free(exact);
        at += n;
    }
    kp_channels_failure(&f.channels, &err);
    if (err.code != 0)
        kp_strbuf_addf(out, "?%s", err.text);
}

#endif
