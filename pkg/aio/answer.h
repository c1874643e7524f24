// An HTTP/1.1 answer, read strictly as it comes in: for connections curl does not read. Pure.
#ifndef KP_AIO_ANSWER_H
#define KP_AIO_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KP_ANSWER_MAX_LINE 8192
#define KP_ANSWER_MAX_HEAD 65536 // all lines together, those of interim answers and of chunks as well

enum kp_answer_event {
    KP_ANSWER_MORE,   // all bytes are used up
    KP_ANSWER_HEADER, // line, line_len: "Name: value", a NUL behind it; valid until the next feed
    KP_ANSWER_HEAD,   // status is known and all headers have been told
    KP_ANSWER_DATA,   // data, data_len: of the body
    KP_ANSWER_END,    // what follows belongs to nobody; after a 101 to the other protocol
    KP_ANSWER_FAILED, // why
};

struct kp_answer {
    int state;
    int status; // 101, 200 and up; other interim answers are left out
    bool chunked, has_length;
    uint64_t left; // of the body or the chunk
    size_t head_bytes;
    char line[KP_ANSWER_MAX_LINE + 1];
    size_t line_len;
    bool line_told, cr;  // the line is complete; a CR came
    const uint8_t *data; // borrowed from what was fed
    size_t data_len;
    const char *why;
};

// Starts from zeroes. Reads up to the next event and returns how many bytes it used.
size_t kp_answer_feed(
    struct kp_answer *answer, const uint8_t *data, size_t len, enum kp_answer_event *ret_event);
// The other side closed: KP_ANSWER_END if the answer may end so, else KP_ANSWER_FAILED.
enum kp_answer_event kp_answer_eof(struct kp_answer *answer);

#endif
