// Request headers while they are put together. Internal to kube.
#ifndef KP_KUBE_HEADERS_H
#define KP_KUBE_HEADERS_H

#include <stddef.h>

struct kp_headers {
    char **items; // "Name: value", NULL-terminated
    size_t n, cap;
};

void kp_headers_init(struct kp_headers *headers);
void kp_headers_finish(struct kp_headers *headers); // wipes them: one is a secret
void kp_headers_add(struct kp_headers *headers, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
