#include "api/told.h"

#include <string.h>

#include "api/state.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_NOTED 50000

// A namespace of which nothing older is kept.
struct noted {
    char *name;
    int64_t created_ms;
    UT_hash_handle hh;
};

struct kp_told {
    struct kp_api *api;
    struct noted *noted;
    bool waits, is_late; // is_late: for longer than it should take
    struct kp_timer *timer;
    char *round; // that is under way; NULL = none
    int64_t next_part;
    struct kp_metric *m_waits;
};

// ---- namespaces ----

static void free_noted(struct kp_told *told)
{
    struct noted *n;
    struct noted *next;
    HASH_ITER (hh, told->noted, n, next) {
        HASH_DEL(told->noted, n);
        kp_free(n->name);
        kp_free(n);
    }
}

static const struct noted *find(const struct kp_told *told, const char *namespace)
{
    struct noted *n;
    HASH_FIND_STR(told->noted, namespace, n);
    return n;
}

bool kp_told_has(const struct kp_told *told, const char *namespace, int64_t created_ms)
{
    const struct noted *n = find(told, namespace);
    return n && n->created_ms >= created_ms;
}

void kp_told_set(struct kp_told *told, const char *namespace, int64_t created_ms)
{
    struct noted *n;
    HASH_FIND_STR(told->noted, namespace, n);
    if (n == NULL) {
        if (HASH_COUNT(told->noted) >= MAX_NOTED)
            free_noted(told); // they are found out again
        n = KP_NEW(struct noted);
        n->name = kp_strdup(namespace);
        HASH_ADD_KEYPTR(hh, told->noted, n->name, strlen(n->name), n);
    }
    if (created_ms > n->created_ms)
        n->created_ms = created_ms;
}

// ---- all of them ----

void kp_told_miss(struct kp_told *told)
{
    kp_free(kp_take(told->round));
}

static void note_all(struct kp_told *told)
{
    kp_told_miss(told);
    if (!told->waits)
        return;
    told->waits = false;
    kp_timer_stop(told->timer);
    kp_metric_set(told->m_waits, 0);
    if (told->api->options.on_namespaces)
        told->api->options.on_namespaces(told->api->options.user, true);
}

bool kp_told_take(struct kp_told *told, const struct kp_told_part *part)
{
    bool fits = part->part == 0 || (kp_streq(told->round, part->round) && part->part == told->next_part);
    if (!fits || !kp_streq(told->round, part->round))
        kp_told_miss(told);
    if (!fits)
        return false;
    if (told->round == NULL)
        told->round = kp_strdup(part->round);
    told->next_part = part->part + 1;
    if (!part->more)
        note_all(told);
    return true;
}

bool kp_told_waits(const struct kp_told *told)
{
    return told->waits;
}

// Who may read everywhere is nobody who made a name anew to read its past: he could have read it before. So
// he does not wait for a controller that does not come.
int kp_told_check(const struct kp_told *told, const char *namespace, struct kp_error *err)
{
    if (!told->waits || (namespace ? find(told, namespace) != NULL : told->is_late))
        return 0;
    kp_fail(err, KP_UNAVAILABLE,
        "the registry has started and waits for the controller to say how old the namespaces are, so that "
        "nothing of a deleted namespace is shown to who made its name anew; ask again%s",
        told->is_late ? " when the controller runs, or, with the right in all namespaces, for all of them"
                      : " in a second");
    if (err)
        err->retry_after_s = KP_TOLD_RETRY_S;
    return KP_UNAVAILABLE;
}

// ---- life ----

static void on_timer(void *user)
{
    struct kp_told *told = user;
    told->is_late = true;
    if (told->api->options.on_namespaces)
        told->api->options.on_namespaces(told->api->options.user, false);
}

struct kp_told *kp_told_create(struct kp_api *api)
{
    struct kp_told *told = KP_NEW(struct kp_told);
    told->api = api;
    told->waits = api->options.await_namespaces_ms > 0;
    told->timer = kp_timer_create(api->options.loop, on_timer, told);
    if (told->waits)
        kp_timer_start(told->timer, api->options.await_namespaces_ms, 0);
    if (api->options.metrics) {
        told->m_waits = kp_gauge(api->options.metrics, "kube_pprof_registry_awaits_namespaces",
            "1 while reads of namespaces are refused because the controller has not told how old they are.");
        kp_metric_set(told->m_waits, told->waits ? 1 : 0);
    }
    return told;
}

void kp_told_destroy(struct kp_told *told)
{
    if (told == NULL)
        return;
    kp_timer_destroy(told->timer);
    free_noted(told);
    kp_free(told->round);
    kp_free(told);
}
