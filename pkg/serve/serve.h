// What a process tells about itself: /healthz (the loop turns), /readyz (named checks), /metrics. ?verbose
// lists the checks as Kubernetes does: "[+]caches ok", "[-]caches failed: why".
#ifndef KP_SERVE_SERVE_H
#define KP_SERVE_SERVE_H

#include <stdbool.h>

#include "base/metrics.h"
#include "http/server.h"

struct kp_serve;

struct kp_serve *kp_serve_create(struct kp_metrics *metrics);
void kp_serve_destroy(struct kp_serve *serve); // NULL is fine; not while a server uses its routes

// One thing that has to hold for readiness. check runs on the loop thread and returns at once; where it says
// false the sentence must live until the next turn of the loop.
typedef bool (*kp_check_fn)(void *user, const char **ret_why_not);
void kp_serve_add_check(struct kp_serve *serve, const char *name, kp_check_fn check, void *user);

// For kp_http_server_listen(), whose user is the kp_serve.
const struct kp_http_route *kp_serve_routes(void);

#endif
