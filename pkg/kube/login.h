// The exec plugin's credential: got before the first request that needs it, kept until it expires or the API
// server refuses it, and got again then, once for everybody who waits. Internal to kube.
#ifndef KP_KUBE_LOGIN_H
#define KP_KUBE_LOGIN_H

#include "aio/loop.h"
#include "base/list.h"
#include "kube/credentials.h"

struct kp_login;

struct kp_login_wait {
    struct kp_list node;
    // err: NULL = credentials are there. Once; it may start requests.
    void (*on_login)(void *user, const struct kp_error *err);
    void *user;
};

// NULL when no plugin is needed: none is configured, or a token, a certificate or basic authentication is
// beside it, or credentials must not be sent to this server. credentials: told what the plugin gave.
struct kp_login *kp_login_create(struct kp_loop *loop, struct kp_credentials *credentials, bool terminal);
// Tells those who wait KP_CANCELED; a plugin that runs is ended.
void kp_login_destroy(struct kp_login *login);

// NULL is always ready.
bool kp_login_ready(const struct kp_login *login);
// wait is initialised here and lives until on_login or kp_login_leave().
void kp_login_wait(struct kp_login *login, struct kp_login_wait *wait);
// Whether it waits or not, once initialised. With the last one the plugin is ended.
void kp_login_leave(struct kp_login *login, struct kp_login_wait *wait);

// Which credential is in use, and the answer 401 to it: what somebody got meanwhile stays. Returns whether
// there is a new one to be had.
unsigned kp_login_generation(const struct kp_login *login);
bool kp_login_refused(struct kp_login *login, unsigned generation);

#endif
