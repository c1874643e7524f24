// Reads an answer in pieces and writes down what came of it, for the test and the fuzzer. Only tests include
// it.
#ifndef KP_AIO_ANSWER_FIXTURE_H
#define KP_AIO_ANSWER_FIXTURE_H

#include <string.h>

#include "aio/answer.h"
#include "base/alloc.h"
#include "base/strbuf.h"

// "name: value|" for each header, "<200>" for the head, then the body, then "." or "!why".
static inline void fixture_answer(struct kp_strbuf *out, const uint8_t *data, size_t len, size_t piece)
{
    struct kp_answer *answer = KP_NEW(struct kp_answer);
    enum kp_answer_event event = KP_ANSWER_MORE;
    size_t at = 0;
    while (event != KP_ANSWER_FAILED && event != KP_ANSWER_END && (at < len || event != KP_ANSWER_MORE)) {
        size_t n = len - at < piece ? len - at : piece;
        uint8_t *exact = kp_alloc(n > 0 ? n : 1); // a sanitizer sees what is read behind it
        if (n > 0)
            memcpy(exact, data + at, n);
        at += kp_answer_feed(answer, exact, n, &event);
        if (event == KP_ANSWER_HEADER)
            kp_strbuf_addf(out, "%s|", answer->line);
        if (event == KP_ANSWER_HEAD)
            kp_strbuf_addf(out, "<%d>", answer->status);
        if (event == KP_ANSWER_DATA)
            kp_strbuf_add(out, answer->data, answer->data_len);
        kp_free(exact);
    }
    if (event == KP_ANSWER_MORE)
        event = kp_answer_eof(answer);
    if (event == KP_ANSWER_END)
        kp_strbuf_addf(out, ".%zu", at);
    else
        kp_strbuf_addf(out, "!%s", answer->why);
    kp_free(answer);
}

#endif
