// Bytes in flight: who may read on. A namespace may take three times what it leaves free; beyond it reading
// stands still, but for one capture that reads on alone.
#include "base/clock.h"
#include "base/limits.h"
#include "capture/capture_private.h"
#include "base/banned.h"

#define WATCH_TIMES 2             // looks without enough until a leader is cut off
#define WATCH_BYTES (64 * KP_KIB) // that a leader gets between two

void kp_flow_enter(struct kp_scrape *scrape)
{
    scrape->space = kp_share_enter(&scrape->owner->spaces, scrape->order.target->pod->namespace, 0);
}

void kp_flow_leave(struct kp_scrape *scrape)
{
    kp_share_leave(&scrape->owner->spaces, scrape->space, scrape->len);
}

static void resume(struct kp_scrape *scrape)
{
    scrape->state = KP_SCRAPE_ASKING;
    scrape->owner->n_paused--;
    kp_http_pause(scrape->call, false);
}

// What is held on the way to the registry is room that bodies do not have, but for a quarter: else nothing
// would be read while the registry is away.
static size_t budget(const struct kp_capturer *capturer)
{
    size_t most = capturer->options.max_bytes_in_flight;
    size_t held = capturer->options.held != NULL ? capturer->options.held(capturer->options.held_user) : 0;
    return held < most / 4 * 3 ? most - held : most / 4;
}

// The leader's bytes come on top: they are not at the expense of others.
static bool has_room(const struct kp_scrape *scrape, size_t room)
{
    const struct kp_scrape *leader = scrape->owner->leader;
    size_t has = scrape->space->bytes, used = scrape->owner->bytes;
    if (leader != NULL && leader->space == scrape->space)
        has -= leader->len;
    if (leader != NULL)
        used -= leader->len;
    return leader != scrape && kp_share_fits(has, 0, used, room);
}

static void lead(struct kp_capturer *capturer, struct kp_scrape *scrape)
{
    capturer->leader = scrape;
    capturer->leader_had = scrape->len;
    capturer->leader_idle = 0;
    scrape->led_ms = kp_mono_ms();
}

// Those go on whose namespace has room again. Of the others one, the leader, reads on alone, so that
// something ends: of those that were it longest ago the one that has least, since it is over soonest.
void kp_flow_resume_some(struct kp_capturer *capturer)
{
    struct kp_scrape *scrape, *next, *first = NULL;
    if (capturer->n_paused == 0 || capturer->closing)
        return;
    size_t room = budget(capturer) / 8 * 7; // less than where reading stops
    HASH_ITER (hh, capturer->scrapes, scrape, next) {
        if (scrape->state != KP_SCRAPE_PAUSED)
            continue;
        if (has_room(scrape, room))
            resume(scrape);
        else if (first == NULL || scrape->led_ms < first->led_ms ||
                 (scrape->led_ms == first->led_ms && scrape->len < first->len))
            first = scrape;
    }
    if (capturer->leader != NULL || first == NULL)
        return;
    lead(capturer, first);
    resume(first);
}

bool kp_flow_may_read_on(struct kp_capturer *capturer, struct kp_scrape *scrape)
{
    if (has_room(scrape, budget(capturer)))
        return true;
    if (capturer->leader == NULL)
        lead(capturer, scrape);
    return capturer->leader == scrape;
}

// A leader who gets little must not hold up the others, nor keep what it got on top of the budget: it is cut
// off.
void kp_flow_on_watch(void *user)
{
    struct kp_capturer *capturer = user;
    struct kp_scrape *leader = capturer->leader;
    if (capturer->n_paused == 0) {
        kp_timer_stop(capturer->watch);
        return;
    }
    if (leader != NULL && leader->len >= capturer->leader_had + WATCH_BYTES) {
        capturer->leader_had = leader->len;
        capturer->leader_idle = 0;
        return;
    }
    if (leader != NULL && ++capturer->leader_idle < WATCH_TIMES)
        return;
    capturer->leader = NULL;
    if (leader != NULL && leader->call != NULL && !has_room(leader, budget(capturer))) {
        leader->stalled = true;
        kp_http_cancel(leader->call);
    }
    kp_flow_resume_some(capturer);
}
