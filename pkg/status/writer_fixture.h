// A status writer against an API server of which every request is expected, for the tests beside it.
#ifndef KP_STATUS_WRITER_FIXTURE_H
#define KP_STATUS_WRITER_FIXTURE_H

#include "kube/api_peer.h"
#include "kube/config.h"
#include "status/status.h"
#include "status/status_fixture.h"

#define APPLY "PATCH /apis/kube-pprof.dev/v1alpha1/namespaces/shop/profilingpolicies/p/status?"
#define OK(path)                                                                                             \
    {                                                                                                        \
        path, 200, NULL, "{}", 0, 0, PEER_WHOLE                                                              \
    }

struct fixture {
    struct peer *peer;
    struct kp_loop *loop;
    struct kp_kube *kube;
    struct kp_events *events;
    struct kp_statuses *statuses;
    struct kp_policy *policy;
    size_t want_seen;
    bool done;
};

static inline void begin(struct fixture *f, const struct peer_step *steps, size_t n, bool with_events)
{
    memset(f, 0, sizeof *f);
    f->peer = peer_start(steps, n);
    kp_auto_free char *server = kp_asprintf("http://127.0.0.1:%d", f->peer->port);
    struct kp_kube_config config = {.server = server};
    f->loop = kp_loop_create();
    f->kube = kp_kube_create(f->loop, &config, &(struct kp_kube_options){.writes_per_second = 1000});
    f->events = with_events ? kp_events_create(f->kube, "kube-pprof.dev/controller", "pod-1") : NULL;
    f->statuses = kp_statuses_create(f->loop, f->kube, f->events, "kube-pprof-controller", NULL);
    f->policy = fixture_policy("shop", "p", FIXTURE_SPEC);
    kp_statuses_set_writing(f->statuses, true);
}

static inline void add(struct fixture *f, const char *object)
{
    json_t *json = fixture_json(object);
    kp_statuses_set_policy(f->statuses, f->policy, json);
    json_decref(json);
}

static inline void check(void *user)
{
    struct fixture *f = user;
    f->done = peer_seen(f->peer) >= f->want_seen;
}

// Until as many requests were seen, and a little longer, so that their answers are in and nothing more came.
static inline void run_until(struct fixture *f, size_t seen)
{
    struct kp_timer *timer = kp_timer_create(f->loop, check, f);
    bool never = false;
    f->want_seen = seen;
    f->done = false;
    kp_timer_start(timer, 0, 1);
    bool done = kp_loop_run_until(f->loop, &f->done, 20000);
    kp_timer_destroy(timer);
    if (!done)
        fail_msg("%zu of %zu requests", peer_seen(f->peer), seen);
    (void)kp_loop_run_until(f->loop, &never, 50);
    assert_int_equal(peer_seen(f->peer), seen);
}

static inline void end(struct fixture *f)
{
    kp_events_destroy(f->events);
    kp_statuses_set_writing(f->statuses, false);
    kp_kube_destroy(f->kube);
    kp_statuses_destroy(f->statuses);
    kp_loop_destroy(f->loop);
    kp_policy_unref(f->policy);
    kp_auto_free char *failure = peer_stop(f->peer);
    if (failure != NULL)
        fail_msg("%s", failure);
}

static inline bool has(struct fixture *f, size_t request, const char *part)
{
    return strstr(f->peer->seen[request], part) != NULL;
}

#endif
