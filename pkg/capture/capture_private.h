// Inside capture only: the scrapes that run, and what bounds them.
#ifndef KP_CAPTURE_CAPTURE_PRIVATE_H
#define KP_CAPTURE_CAPTURE_PRIVATE_H

#include "base/map.h"
#include "base/share.h"
#include "capture/address.h"
#include "capture/capture.h"

#define KP_FLOW_WATCH_MS   500
#define KP_CAPTURE_CLIENTS 8 // libcurl walks through all connections of a client to take one away

enum kp_scrape_state {
    KP_SCRAPE_REFUSED, // never sent: told at the next turn
    KP_SCRAPE_ASKING,  // connecting, waiting, reading
    KP_SCRAPE_PAUSED,  // reading stands still: too many bytes are in flight
    KP_SCRAPE_OVER,
};

struct kp_scrape {
    uint64_t id; // of the order
    enum kp_scrape_state state;
    struct kp_capturer *owner;
    struct kp_share *space; // of its namespace
    struct kp_order order;
    struct kp_http_call *call;
    char *where;
    bool is_go, too_large, stalled;
    enum kp_outcome cancelled;
    char refusal[240];
    uint8_t *body;
    size_t len, cap;
    int64_t led_ms; // when it was the leader last
    int64_t started_ms, started_mono_ms;
    kp_capture_done_fn on_done;
    void *user;
    UT_hash_handle hh;
};

struct kp_capturer {
    struct kp_loop *loop;
    struct kp_http *clients[KP_CAPTURE_CLIENTS]; // each order its own
    struct kp_denylist *denied;
    struct kp_capture_options options;
    struct kp_scrape *scrapes;
    struct kp_share *spaces;
    struct kp_timer *turn, *watch;
    int64_t watch_ms;
    size_t bytes;
    int n_paused;
    struct kp_scrape *leader; // reads on while the budget is spent, NULL = nobody yet
    size_t leader_had;        // when it was last looked at
    int leader_idle;          // looks without enough since then
    bool closing;
    struct kp_metric *running, *in_flight;
};

// flow.c: the scrape counts for its namespace, or not any more; those who may read on do; whether this one
// may, else it is to be paused; called every watch_ms while anybody is paused.
void kp_flow_enter(struct kp_scrape *scrape);
void kp_flow_leave(struct kp_scrape *scrape);
void kp_flow_resume_some(struct kp_capturer *capturer);
bool kp_flow_may_read_on(struct kp_capturer *capturer, struct kp_scrape *scrape);
void kp_flow_on_watch(void *capturer);

#endif
