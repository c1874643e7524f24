// A request answered by a job: work fills body or error; the answer is sent on the loop unless the client has
// left. Private to this module.
#ifndef KP_API_CALL_H
#define KP_API_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/error.h"
#include "base/selector.h"
#include "base/stop.h"
#include "base/strbuf.h"
#include "http/server.h"

struct kp_api;
struct kp_tenant;

// How an answer is worded: ours, or profefe's.
enum kp_api_dialect { KP_API_NATIVE, KP_API_PROFEFE };

#define KP_CALL_HEADERS 12

struct kp_call {
    struct kp_api *api;
    struct kp_http_exchange *x;
    void (*work)(struct kp_call *call);   // in a job
    void (*finish)(struct kp_call *call); // frees what input and output hold; on the loop; may be NULL
    void *data;
    enum kp_api_dialect dialect;
    bool by_id;               // set by work: what is not found may be where the caller may not look
    bool is_limit;            // the error is that of a namespace that has what it may
    struct kp_tenant *tenant; // whose place it has, of heavy work
    bool heavy;               // of a bounded number; see kp_call_start_heavy()
    int cancelled;            // atomic: the client has left
    struct kp_stop stop;      // of cancelled and, for heavy work, a deadline
    // the answer
    int status;               // 0 = 200
    struct kp_blob *body;     // NULL with 204, 304 or an error
    const char *content_type; // NULL = application/json
    char *file_name;          // NULL = none
    struct {
        const char *name;
        char *value;
    } headers[KP_CALL_HEADERS];
    int n_headers;
    struct kp_error error;
};

void kp_call_start(struct kp_api *api, struct kp_http_exchange *x, enum kp_api_dialect dialect,
    void (*work)(struct kp_call *call), void (*finish)(struct kp_call *call), void *data);
// For work that takes time and memory: answered with 429 when options.max_merges of them are under way, given
// up when the client leaves (see cancelled) or after timeout_ms, 0 = 60 s.
void kp_call_start_heavy(struct kp_api *api, struct kp_http_exchange *x, enum kp_api_dialect dialect,
    int64_t timeout_ms, void (*work)(struct kp_call *call), void (*finish)(struct kp_call *call), void *data);
// Heavy where the selector (may be NULL) has regular expressions, which may take long; else not.
void kp_call_start_search(struct kp_api *api, struct kp_http_exchange *x, const struct kp_selector *selector,
    void (*work)(struct kp_call *call), void (*finish)(struct kp_call *call), void *data);

void kp_call_body(struct kp_call *call, struct kp_strbuf *buf); // takes the text; overflow becomes an error
void kp_call_header(struct kp_call *call, const char *name, const char *fmt, ...) KP_PRINTF(3, 4);

#define KP_API_MAX_ANSWER ((size_t)128 << 20)

#endif
