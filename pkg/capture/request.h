// The request of one scrape: URL, headers, TLS. Pure.
#ifndef KP_CAPTURE_REQUEST_H
#define KP_CAPTURE_REQUEST_H

#include "capture/capture.h"

struct kp_scrape_request {
    char *url;              // "http://10.244.1.7:6060/debug/pprof/profile?seconds=10"
    char *where;            // the same for people, without scheme and query
    char **headers;         // NULL-terminated
    struct kp_http_tls tls; // borrows from order and secrets
};

void kp_scrape_request_make(
    const struct kp_order *order, const struct kp_capture_secrets *secrets, struct kp_scrape_request *ret);
void kp_scrape_request_finish(struct kp_scrape_request *request); // wipes what was secret

#endif
