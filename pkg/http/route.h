// Which row of a routes table answers a path. Pure.
#ifndef KP_HTTP_ROUTE_H
#define KP_HTTP_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "http/server.h"

#define KP_HTTP_MAX_PARAMS 8

struct kp_http_param {
    const char *name; // into the route's path, not terminated
    size_t name_len;
    char *value;
};

struct kp_http_match {
    const struct kp_http_route *route;
    struct kp_http_param params[KP_HTTP_MAX_PARAMS];
    size_t n_params;
};

// The first row whose path and method fit. 0, or the status to answer: 400 (bad escape, "." or ".." as a
// segment), 404, 405 (allow then holds the methods).
int kp_http_route_find(const struct kp_http_route *routes, const char *method, const char *path,
    struct kp_http_match *match, char *allow, size_t allow_size);
void kp_http_match_finish(struct kp_http_match *match);
const char *kp_http_match_param(const struct kp_http_match *match, const char *name);

#endif
