// One HTTP request to the API server and its answer, as kubectl shows them with -v=6..9.
#ifndef KP_KUBE_EXCHANGE_H
#define KP_KUBE_EXCHANGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

// Masked already: what Authorization and cookies say (but the scheme is kept), and the whole bodies of
// requests about Secrets and tokens. Everything is borrowed for the call.
struct kp_kube_exchange {
    const char *method, *url;
    int status;        // 0 = no answer
    const char *error; // why there is none, or why it broke off; NULL = came in whole
    int64_t total_ms;
    const char *const *request_headers; // "Name: value", NULL-terminated
    const char *const *response_headers;
    const char *request_body, *response_body;   // its beginning; NULL = none, not kept, or not text
    size_t request_body_len, response_body_len; // of the whole body
};

// One or more lines, each with its newline, for kubectl's verbosity: 6 "GET URL 200 OK in 12 milliseconds", 7
// the headers of the request, 8 those of the answer and the bodies cut at 1024 bytes, 9 and more the bodies
// as far as they were kept and the request as a curl command. Less than 6: nothing.
void kp_kube_exchange_write(const struct kp_kube_exchange *exchange, int verbosity, struct kp_strbuf *out);

#endif
