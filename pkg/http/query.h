// The query part of a target, decoded. Pure.
#ifndef KP_HTTP_QUERY_H
#define KP_HTTP_QUERY_H

#include <stdbool.h>
#include <stddef.h>

#define KP_HTTP_MAX_ARGS 256 // further pairs are left out

struct kp_http_arg {
    const char *name, *value; // into text
};

struct kp_http_query {
    char *text;
    struct kp_http_arg *args;
    size_t n;
    bool is_whole; // nothing was left out
};

// Pairs in order; '+' is a space; a pair that is badly escaped (or holds %00) is left out.
void kp_http_query_parse(struct kp_http_query *query, const char *text);
void kp_http_query_finish(struct kp_http_query *query);
const char *kp_http_query_get(const struct kp_http_query *query, const char *name); // the first, or NULL

#endif
