// What an answer of a pprof endpoint means. Pure.
#ifndef KP_CAPTURE_ANSWER_H
#define KP_CAPTURE_ANSWER_H

#include "aio/http.h"
#include "plan/plan.h"
#include "record/result.h"

// Whether the first bytes can be pprof: gzip, or a field of profile.proto.
bool kp_looks_like_pprof(const uint8_t *data, size_t len);

struct kp_scrape_facts {
    const struct kp_order *order;
    const char *where;    // "10.244.1.7:6060/debug/pprof/profile"
    bool is_go;           // header X-Go-Pprof was there
    bool paused;          // when it ended it was not read, for want of room
    bool stalled;         // cut off since it gave nothing while others waited for room
    bool ended_too_large; // we stopped it at the cap
    int64_t cap;
    enum kp_outcome cancelled; // NONE, or why we stopped it
};

// Judges a finished call; body is the whole of it (NULL if there is none). Fills message (240 bytes).
enum kp_outcome kp_scrape_judge(const struct kp_scrape_facts *facts, const struct kp_http_result *answer,
    const struct kp_blob *body, char message[240]);

#endif
