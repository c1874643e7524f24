// What the two halves of the reflector share: reflector.c keeps the cache and tells the owner,
// reflector_step.c asks the API server and decides what comes next. Internal to kube.
#ifndef KP_KUBE_REFLECTOR_INTERNAL_H
#define KP_KUBE_REFLECTOR_INTERNAL_H

#include "base/backoff.h"
#include "kube/cache.h"
#include "kube/client_internal.h"
#include "kube/reflector.h"
#include "kube/stream.h"
#include "kube/watch_event.h"

enum step { STEP_LIST, STEP_WATCH_LIST, STEP_WATCH };

struct counters { // cells may be NULL
    struct kp_metric_family *relists, *events;
    struct kp_metric *event[KP_WATCH_ERROR + 1]; // by type, of those that came
    struct kp_metric *unreadable, *objects, *last_event;
};

struct kp_reflector {
    struct kp_kube *kube;
    struct kp_reflector_kind kind;
    char *texts[3]; // the kind's strings
    struct kp_reflector_events events;
    struct kp_reflector_tuning tuning;
    struct counters counters;
    struct kp_cache *cache;
    struct kp_timer *timer;
    struct kp_backoff backoff;
    uint64_t random;
    enum kp_reflector_state state;
    bool synced;
    struct kp_error trouble; // code 0 = well
    bool closing;
    int busy; // depth of our callbacks: what a callback destroys is freed when the outermost returns

    // where we stand
    bool listed;          // the cache is complete up to rv: go on by watching
    char rv[64];          // "" = none yet
    bool rv_unusable;     // the API server does not have rv any more: ask for the newest
    bool no_watch_list;   // for the next list only
    bool unpaged;         // a page's token expired: the next list goes without pages
    bool out_of_reach;    // at the last try nobody answered, or what we ask for was not there or forbidden
    bool renewed;         // a refusal was answered with a second try, and no good answer came since
    bool error_event;     // the last watch ended by an ERROR event and nothing good came since
    uint32_t round;       // number of the list that is coming in
    const char *reason;   // why we list
    int short_watches;    // in a row
    size_t counted;       // objects in the metric
    char *continue_token; // of the next page
    int64_t last_event_ms, expired_ms;

    // the request that is out
    enum step step;
    struct kp_kube_stream *call;
    struct kp_stream *stream;
    struct kp_error error; // that we found in what came
    bool began, initial, got_event, got_error_event, asked_newest;
    int64_t asked_ms;

    // reflector_ask.c
    struct kp_kube_call *asking;
    int64_t asked_step_ms;
    size_t n_asked; // bytes of a bookmark that came
};

// ---- reflector.c ----

// Around whatever may call the owner back, who may destroy the reflector then: it is freed in leave.
void kp_reflector_enter(struct kp_reflector *r);
void kp_reflector_leave(struct kp_reflector *r);
void kp_reflector_set_state(struct kp_reflector *r, enum kp_reflector_state state);
void kp_reflector_tell_trouble(struct kp_reflector *r, const struct kp_error *err);
void kp_reflector_tell_well(struct kp_reflector *r);
void kp_reflector_saw(struct kp_reflector *r, int64_t mono_ms); // in step then
void kp_reflector_list_complete(struct kp_reflector *r, const char *rv);
// kp_stream_object_fn for lists and for watches; a watch's ERROR event ends up in r->error.
bool kp_reflector_on_item(void *user, const char *data, size_t len);
bool kp_reflector_on_event(void *user, const char *data, size_t len);

// ---- reflector_step.c ----

void kp_reflector_request(struct kp_reflector *r); // sends what comes next

#endif
