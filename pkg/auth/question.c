// Questions under way and who waits for them. Who is answered may do anything from inside: cancel another,
// ask the next thing.
#include <string.h>

#include "auth/auth_private.h"
#include "base/hash.h"
#include "base/text.h"
#include "base/log.h"
#include "base/banned.h"

#define MAX_RETRY_AFTER_S 30

void kp_question_init(struct kp_question *question)
{
    kp_list_init(&question->node);
    kp_list_init(&question->waiters);
}

bool kp_question_is_open(const struct kp_question *question)
{
    return !kp_list_empty(&question->node);
}

uint64_t kp_question_by_user(const struct kp_identity *who)
{
    return kp_hash64_str(who->name, 1);
}

uint64_t kp_question_by_peer(const char *peer)
{
    return kp_hash64_str(peer, 2);
}

static size_t count_by(const struct kp_auth *auth, uint64_t by)
{
    size_t n = 0;
    kp_list_foreach (node, &auth->questions) {
        const struct kp_question *question = kp_container_of(node, struct kp_question, node);
        n += question->by == by && question->review != NULL;
    }
    return n;
}

// Whoever asks for one namespace after the other, or makes tokens up, leaves room for others.
bool kp_question_may_begin(struct kp_auth *auth, uint64_t by, bool is_unknown, struct kp_error *err)
{
    size_t max = auth->options.max_questions;
    size_t of_one = max >= 4 ? max / 4 : 1;
    bool is_full = auth->n_questions >= (is_unknown && max >= 4 ? max - max / 4 : max);
    if (!is_full && count_by(auth, by) < of_one)
        return true;
    kp_metric_inc(auth->throttled);
    kp_fail(err, KP_THROTTLED,
        is_full ? "too many questions wait at the API server; try again"
                : "too many questions about the same client wait at the API server; try again");
    err->retry_after_s = 1;
    return false;
}

void kp_question_begin(struct kp_auth *auth, struct kp_question *question, uint64_t by)
{
    question->asked_ms = kp_auth_now(auth);
    question->by = by;
    kp_list_append(&auth->questions, &question->node);
    kp_metric_set(auth->running, (double)++auth->n_questions);
}

void kp_question_wait(struct kp_question *question, const struct kp_waiter *waiter)
{
    struct kp_waiter *copy = kp_memdup(waiter, sizeof *waiter);
    kp_list_append(&question->waiters, &copy->node);
}

void kp_question_answered(struct kp_auth *auth, struct kp_question *question)
{
    question->review = NULL;
    kp_metric_set(auth->running, (double)--auth->n_questions);
}

struct kp_waiter *kp_question_next(struct kp_question *question)
{
    if (kp_list_empty(&question->waiters)) {
        kp_list_remove(&question->node);
        return NULL;
    }
    struct kp_waiter *waiter = kp_container_of(question->waiters.next, struct kp_waiter, node);
    kp_list_remove(&waiter->node);
    return waiter;
}

void kp_question_drop(struct kp_question *question)
{
    kp_review_forget(kp_take(question->review));
    kp_list_foreach_safe (node, &question->waiters) {
        kp_list_remove(node);
        kp_free(kp_container_of(node, struct kp_waiter, node));
    }
    kp_list_remove(&question->node);
}

// The question goes on: its answer will be asked for again soon.
void kp_questions_cancel(struct kp_auth *auth, const void *user)
{
    kp_list_foreach (open, &auth->questions) {
        struct kp_question *question = kp_container_of(open, struct kp_question, node);
        kp_list_foreach_safe (node, &question->waiters) {
            struct kp_waiter *waiter = kp_container_of(node, struct kp_waiter, node);
            if (waiter->user != user)
                continue;
            kp_list_remove(node);
            kp_free(waiter);
        }
    }
}

// ---- trouble ----

void kp_question_failed(
    struct kp_auth *auth, const char *what, const struct kp_error *err, struct kp_error *ret)
{
    bool is_busy = err->code == KP_THROTTLED;
    KP_DEBUG("a review failed", KP_S("what", what), KP_E(err));
    // why is for who runs this, not for who asks
    kp_fail(
        ret, is_busy ? KP_THROTTLED : KP_UNAVAILABLE, "the API server cannot be asked %s; try again", what);
    ret->retry_after_s = err->retry_after_s < 1                   ? 1
                         : err->retry_after_s > MAX_RETRY_AFTER_S ? MAX_RETRY_AFTER_S
                                                                  : err->retry_after_s;
    if (auth->reviews_in_trouble)
        return;
    auth->reviews_in_trouble = true;
    if (auth->options.on_trouble != NULL)
        auth->options.on_trouble(auth->options.user, "reviews", err);
}

void kp_question_went_well(struct kp_auth *auth)
{
    if (!auth->reviews_in_trouble)
        return;
    auth->reviews_in_trouble = false;
    if (auth->options.on_trouble != NULL)
        auth->options.on_trouble(auth->options.user, "reviews", NULL);
}
