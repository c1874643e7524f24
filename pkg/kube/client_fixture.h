// A client and the scripted API server it talks to, for the tests beside it.
#ifndef KP_KUBE_CLIENT_FIXTURE_H
#define KP_KUBE_CLIENT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kube/api_peer.h"
#include "kube/client.h"
#include "kube/config.h"

struct fixture {
    struct peer *peer;
    struct kp_loop *loop;
    struct kp_metrics *metrics;
    struct kp_kube *kube;
    int wanted, answers, status;
    struct kp_error error; // of the last answer
    char *json;
    bool done;
};

static inline void begin_as(
    struct fixture *f, const struct peer_step *steps, size_t n, struct kp_kube_config config, double rate)
{
    memset(f, 0, sizeof *f);
    f->peer = peer_start(steps, n);
    kp_auto_free char *server = kp_asprintf("http://127.0.0.1:%d", f->peer->port);
    config.server = server;
    f->loop = kp_loop_create();
    f->metrics = kp_metrics_create();
    f->kube = kp_kube_create(f->loop, &config,
        &(struct kp_kube_options){
            .user_agent = "kube-pprof/9 (test)", .metrics = f->metrics, .writes_per_second = rate});
}

static inline void begin(struct fixture *f, const struct peer_step *steps, size_t n)
{
    begin_as(f, steps, n, (struct kp_kube_config){.token = (char[]){"secret"}}, 0);
}

static inline void end(struct fixture *f)
{
    kp_kube_destroy(f->kube);
    kp_loop_destroy(f->loop);
    kp_metrics_destroy(f->metrics);
    free(f->json);
    kp_auto_free char *failure = peer_stop(f->peer);
    if (failure)
        fail_msg("%s", failure);
}

static inline void on_done(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct fixture *f = user;
    f->status = http_status;
    f->answers++;
    kp_error_clear(&f->error);
    if (err)
        f->error = *err;
    free(f->json);
    f->json = json ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    f->done = f->answers >= f->wanted;
}

static inline struct kp_kube_call *start(struct fixture *f, struct kp_kube_request request)
{
    struct kp_kube_call *call = NULL;
    struct kp_error err = {0};
    request.on_done = on_done;
    request.user = f;
    f->wanted++;
    if (kp_kube_start(f->kube, &request, &call, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(f->answers, 0); // never from inside start
    return call;
}

static inline void wait(struct fixture *f)
{
    f->done = f->answers >= f->wanted;
    if (!kp_loop_run_until(f->loop, &f->done, 20000))
        fail_msg("%d of %d answers", f->answers, f->wanted);
}

#define STATUS(code, reason)                                                                                 \
    "{\"kind\":\"Status\",\"message\":\"because " reason "\",\"reason\":\"" reason "\",\"code\":" #code "}"

#endif
