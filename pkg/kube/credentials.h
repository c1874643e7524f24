// Who we are towards the API server: the configuration, the token file read again as it rotates, the CA read
// again, and the rule that an Authorization header goes over https only (or to a server on this machine).
// Internal to kube.
#ifndef KP_KUBE_CREDENTIALS_H
#define KP_KUBE_CREDENTIALS_H

#include <stdbool.h>
#include <stdint.h>

#include "aio/http.h"
#include "kube/config.h"
#include "kube/exec_credential.h"
#include "kube/headers.h"

struct kp_credentials {
    struct kp_kube_config config;
    bool may_authorize;    // server is https, a unix socket or loopback
    char *unix_socket;     // of a server "unix:/path"
    char *base;            // what paths are appended to: "https://10.96.0.1:443"
    char *host;            // "10.96.0.1:443", for metrics
    char *header;          // "Authorization: Bearer ..."; NULL = none
    int64_t token_read_ms; // monotonic; 0 = read at next use
    struct kp_exec_credential from_plugin;
    char *ca_pem; // of config.ca_file
    int64_t ca_read_ms;
    bool ca_due; // it did not fit
};

void kp_credentials_init(struct kp_credentials *c, const struct kp_kube_config *config);
void kp_credentials_finish(struct kp_credentials *c);
// The header to send, borrowed until the next call; NULL = none. Reads the token file when its time has come;
// a failed read keeps the old token.
const char *kp_credentials_header(struct kp_credentials *c, int64_t now_mono_ms);
// That header, or the one for basic authentication, and what says whom to act as.
void kp_credentials_headers(struct kp_credentials *c, int64_t now_mono_ms, struct kp_headers *headers);
// What an exec plugin gave, instead of what it gave before; emptied. New requests get connections of their
// own when the certificate is another: curl uses none again that was made with another one.
void kp_credentials_take(struct kp_credentials *c, struct kp_exec_credential *credential);
// After a 401: the next use reads the token file again.
void kp_credentials_drop(struct kp_credentials *c);
// After the server's certificate was not trusted: the next use reads the CA file again. Returns whether there
// is one, so that it may help.
bool kp_credentials_distrust(struct kp_credentials *c);
void kp_credentials_tls(struct kp_credentials *c, int64_t now_mono_ms, struct kp_http_tls *ret);

#endif
