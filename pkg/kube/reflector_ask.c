// Whether a watch that is silent is in step, in two steps. A list of nothing tells how far the API server is,
// and has it look at etcd, so that its cache is as far: if that is where we stand, all is told. If it is
// ahead, which it is by changes of any kind, a second, short watch from where the first one stands tells: if
// no object of ours changed, what comes is a bookmark (one is sent two seconds before a watch ends), and that
// is as good as one of the first watch. If something comes, the first watch is about to hear of it.
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "kube/reflector_internal.h"
#include "base/banned.h"

#define LASTS_S    4
#define TIMEOUT_MS 8000

static const char bookmark[] = "{\"type\":\"BOOKMARK\"";

static void in_step(struct kp_reflector *r)
{
    if (r->asked_step_ms > r->last_event_ms)
        kp_reflector_saw(r, r->asked_step_ms);
}

static void ask(struct kp_reflector *r, const char *path, bool (*on_data)(void *, const uint8_t *, size_t),
    void (*on_done)(void *, int, json_t *, const struct kp_error *))
{
    const struct kp_kube_request request = {.method = "GET",
        .path = path,
        .timeout_ms = TIMEOUT_MS,
        .max_tries = 1,
        .on_data = on_data,
        .on_done = on_done,
        .user = r};
    if (kp_kube_start(r->kube, &request, &r->asking, NULL) != 0)
        r->asking = NULL; // whoever asked asks again
}

// ---- the short watch ----

static bool on_data(void *user, const uint8_t *data, size_t len)
{
    struct kp_reflector *r = user;
    size_t most = sizeof bookmark - 1 - r->n_asked;
    size_t n = len < most ? len : most;
    if (memcmp(data, bookmark + r->n_asked, n) != 0)
        return false;
    r->n_asked += n;
    if (n < most)
        return true;
    in_step(r);
    return false; // the rest is of no interest
}

static void on_watched(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    (void)http_status;
    (void)json;
    (void)err;
    ((struct kp_reflector *)user)->asking = NULL;
}

static void watch(struct kp_reflector *r)
{
    const char *query = r->kind.query != NULL ? r->kind.query : "";
    kp_auto_free char *path =
        kp_asprintf("%s?watch=1&resourceVersion=%s&allowWatchBookmarks=true&timeoutSeconds=%d%s%s",
            r->kind.path, r->rv, LASTS_S, query[0] != '\0' ? "&" : "", query);
    r->n_asked = 0;
    ask(r, path, on_data, on_watched);
}

// ---- the list ----

static void on_listed(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct kp_reflector *r = user;
    (void)http_status;
    r->asking = NULL;
    if (err != NULL || r->state != KP_REFLECTOR_WATCHING)
        return;
    const json_t *metadata = json_object_get(json, "metadata");
    if (kp_streq(json_string_value(json_object_get(metadata, "resourceVersion")), r->rv))
        in_step(r);
    else
        watch(r);
}

void kp_reflector_ask(struct kp_reflector *r)
{
    if (r->asking != NULL || r->closing || r->state != KP_REFLECTOR_WATCHING || r->rv[0] == '\0')
        return;
    kp_auto_free char *path = kp_asprintf("%s?limit=1&fieldSelector=metadata.name%%3Dnone", r->kind.path);
    r->asked_step_ms = kp_loop_mono_ms(r->kube->loop);
    ask(r, path, NULL, on_listed);
}
