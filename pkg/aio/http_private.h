// Inside aio only: a call and the client it belongs to.
#ifndef KP_AIO_HTTP_PRIVATE_H
#define KP_AIO_HTTP_PRIVATE_H

#include <curl/curl.h>

#include "aio/answer.h"
#include "aio/http.h"
#include "aio/loop_private.h"
#include "aio/watch.h"
#include "base/list.h"
#include "base/strbuf.h"

enum kp_call_state {
    CALL_PENDING, // waits for the next turn to be given to curl
    CALL_RUNNING, // curl has it
    CALL_ENDING,  // ended by us (cancel, idle, limit); waits for the next turn
};

enum kp_upgrade_state {
    UPGRADE_CONNECTING, // curl makes the connection
    UPGRADE_ASKING,     // the request goes out, an answer is read
    UPGRADE_DONE,       // the connection is the caller's
    UPGRADE_OVER,       // the answer was another, and is whole
};

struct kp_http_upgrade {
    enum kp_upgrade_state state;
    struct kp_strbuf ask; // the request, and how much of it is out
    size_t asked;
    struct kp_answer answer;
    uint8_t *early; // what came behind the answer
    size_t early_len, early_at;
    struct kp_watch *watch;
    struct kp_timer *deadline;
};

struct kp_http_call {
    struct kp_http *http;
    enum kp_call_state state;
    struct kp_list in_all;  // every call of the client
    struct kp_list in_turn; // pending and ending ones
    CURL *easy;
    struct curl_slist *headers, *connect_to;
    char curl_error[CURL_ERROR_SIZE];
    char *what; // "GET http://10.0.0.7:6060/debug/pprof/heap" for sentences
    struct kp_blob *request_body;
    struct kp_http_request request; // callbacks and limits; strings are not kept
    struct kp_error why;            // set when we ended it
    struct kp_timer *idle;
    // the answer
    int status;
    bool head_over, has_length, head_too_large;
    size_t head_len; // of all headers, those of interim answers and trailers too
    char content_type[128], peer_ip[46];
    int retry_after_s;
    uint8_t *body;
    size_t body_len, body_cap, received;
    bool paused;
    int64_t gap_ms;                  // between readings
    struct kp_list in_yielded;       // while what was read waits for the next turn
    struct kp_http_upgrade *upgrade; // NULL = an ordinary call
};

struct watched; // http.c

struct kp_http {
    struct kp_loop *loop;
    CURLM *multi;
    struct kp_timer *curl_timer, *turn;
    struct kp_list all, in_turn, yielded;
    int64_t slice_end_us;   // what is read until then is taken in this turn
    struct watched *acting; // curl reads from or writes to this socket now; NULL: none, or it was closed
    int64_t gap_ms;         // of the call that took what was read
    int n;
    bool reuse, destroying;
};

// http_setup.c: everything that is set before the start. KP_INVALID for a bad URL or header.
int kp_http_call_setup(
    struct kp_http_call *call, const struct kp_http_request *request, struct kp_error *err);
// http_answer.c: curl's callbacks, the result.
void kp_http_call_hook(struct kp_http_call *call);
void kp_http_call_result(struct kp_http_call *call, CURLcode code, struct kp_http_result *ret);
// Ends a call at the next turn for our own reason; the first reason wins.
void kp_http_call_end(struct kp_http_call *call, int code, const char *fmt, ...) KP_PRINTF(3, 4);
void kp_http_call_head(struct kp_http_call *call, int status); // a status line: headers begin
void kp_http_call_header(struct kp_http_call *call, const char *line, size_t len);
bool kp_http_call_head_end(struct kp_http_call *call);
bool kp_http_call_keep(struct kp_http_call *call, const uint8_t *data, size_t len); // of the body
// http.c: the end of a call, at once; not from inside a callback of curl.
void kp_http_call_finish(struct kp_http_call *call, CURLcode code);
// Whether enough was read in this turn: it goes on with the next. From inside curl's write callback, which
// then pauses.
bool kp_http_call_yields(struct kp_http_call *call);
// http_upgrade.c
void kp_http_upgrade_setup(struct kp_http_call *call, const struct kp_http_request *request);
void kp_http_upgrade_start(struct kp_http_call *call);  // the clock runs
void kp_http_upgrade_begin(struct kp_http_call *call);  // curl has made the connection
void kp_http_upgrade_let_go(struct kp_http_call *call); // before curl closes the connection
void kp_http_upgrade_free(struct kp_http_upgrade *upgrade);
// http_address.c
bool kp_http_address_allowed(struct kp_http_call *call, const struct sockaddr *addr);
bool kp_http_address_parse(const char *ip, struct sockaddr_storage *ret);

#endif
