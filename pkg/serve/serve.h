// What both roles serve: /healthz (the loop is alive), /readyz (named checks), /metrics (also as
// /debug/metrics). All on the loop thread.
#ifndef KP_SERVE_SERVE_H
#define KP_SERVE_SERVE_H

#include <stdbool.h>

#include "aio/loop.h"
#include "base/metrics.h"
#include "http/server.h"

struct kp_serve;

// metrics: what /metrics shows, borrowed.
struct kp_serve *kp_serve_create(struct kp_loop *loop, struct kp_metrics *metrics);
void kp_serve_destroy(struct kp_serve *serve); // NULL is fine

// A check of /readyz, asked at every request: must answer at once. name is copied. On false *ret_why_not is a
// sentence (borrowed until the next call). On true it may be one too: ready, but something is wrong.
// /readyz?exclude=NAME leaves one out of account, but tells it.
typedef bool (*kp_serve_check_fn)(void *user, const char **ret_why_not);
void kp_serve_add_check(struct kp_serve *serve, const char *name, kp_serve_check_fn check, void *user);

// The routes as a whole table. Their handlers find the struct kp_serve through the listener's `user`,
// which must be it, when the table is used as it is.
const struct kp_http_route *kp_serve_routes(const struct kp_serve *serve);

// The same for tables of other modules, whose `user` is something else: these rows carry the serve object in
// `tag`, so the handlers find it without `user`. Writes KP_SERVE_ROUTES rows (no row of zeroes) to out; what
// is in them lives as long as serve.
#define KP_SERVE_ROUTES 4
void kp_serve_add_routes(const struct kp_serve *serve, struct kp_http_route out[KP_SERVE_ROUTES]);
// Whether the request is for one of them: a gate lets those through without asking who it is.
bool kp_serve_is_open(const struct kp_http_exchange *x);

#endif
