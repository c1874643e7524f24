#include "controller/targetstate.h"

#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "controller/walk.h"
#include "record/state.h"
#include "base/banned.h"

struct kp_target_states {
    char *namespace;
    struct kp_walk *walk;
    struct kp_state_batch some; // that were not encoded yet
    struct kp_strbuf encoded;
    int64_t now_ms;
    size_t n;
    bool truncated;
};

static struct kp_target_state *add_state(struct kp_target_states *states, const struct kp_pod *pod)
{
    if (states->n >= KP_STATE_MAX_TARGETS) {
        states->truncated = true;
        return NULL;
    }
    states->n++;
    struct kp_target_state *state = kp_array_add(&states->some.targets);
    memset(state, 0, sizeof *state);
    state->pod = kp_strdup(pod->name);
    state->pod_uid = kp_strdup(pod->uid);
    state->node = kp_strdup(pod->node);
    state->workload = kp_asprintf("%s/%s", pod->workload_kind, pod->workload_name);
    return state;
}

// Every policy that wants something of the target, once.
static char *policies_of(const struct kp_target *target)
{
    const struct kp_policy *seen[32];
    size_t n = 0;
    kp_auto_strbuf keys;
    kp_strbuf_init(&keys, 8 * KP_KIB);
    for (size_t i = 0; i < target->n_wanted; i++) {
        for (size_t p = 0; p < target->wanted[i].n_policies; p++) {
            const struct kp_policy *policy = target->wanted[i].policies[p];
            bool known = false;
            for (size_t s = 0; s < n; s++)
                known |= seen[s] == policy;
            if (known || n == KP_COUNT(seen))
                continue;
            seen[n++] = policy;
            if (keys.len > 0)
                kp_strbuf_addc(&keys, ',');
            kp_strbuf_adds(&keys, policy->key);
        }
    }
    return kp_strbuf_take(&keys, NULL);
}

static void add_target(void *user, const struct kp_target *target, const struct kp_plan_profile *profiles)
{
    struct kp_target_state *state = add_state(user, target->pod);
    if (state == NULL)
        return;
    state->container = kp_strdup(target->container->name);
    state->port = target->port;
    state->service = kp_strdup(target->wanted[0].service);
    state->policies = policies_of(target);
    for (size_t i = 0; i < target->n_wanted; i++) {
        const struct kp_plan_profile *profile = &profiles[i];
        state->sampled |= profile->sampled;
        *kp_array_add(&state->profiles) = (struct kp_profile_state){
            .type = kp_strdup(profile->wanted->type),
            .interval_ms = profile->interval_ms,
            .duration_ms = profile->wanted->duration_ms,
            .next_ms = profile->next_ms,
            .last_ms = profile->last_ms,
            .last_success_ms = profile->last_success_ms,
            .last_outcome = profile->last_outcome,
            .message = profile->message[0] != '\0' ? kp_strdup(profile->message) : NULL,
        };
    }
}

static void add_left_out(void *user, const struct kp_pod *pod, const struct kp_pod_match *matches, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct kp_pod_match *match = &matches[i];
        if (match->leftout == KP_LEFTOUT_NONE || match->leftout == KP_LEFTOUT_FINISHED)
            continue;
        struct kp_target_state *state = add_state(user, pod);
        if (state == NULL)
            return;
        state->policies = kp_strdup(match->policy->key);
        state->left_out_reason = kp_strdup(kp_leftout_info(match->leftout)->name);
        state->message = kp_strdup(match->message);
    }
}

// Encodes what was gathered since the last time.
static void encode(struct kp_target_states *states)
{
    kp_state_batch_encode(&states->some, &states->encoded);
    kp_state_batch_finish(&states->some);
    states->some = (struct kp_state_batch){0};
}

struct kp_target_states *kp_target_states_create(
    const struct kp_inventory *inventory, const char *namespace, int64_t now_ms)
{
    struct kp_target_states *states = KP_NEW(struct kp_target_states);
    states->namespace = kp_strdup(namespace);
    states->walk = kp_walk_create(inventory, namespace);
    states->now_ms = now_ms;
    kp_strbuf_init(&states->encoded, KP_STATE_MAX_BYTES);
    states->some = (struct kp_state_batch){.namespace = kp_strdup(namespace), .time_ms = now_ms};
    encode(states);
    return states;
}

bool kp_target_states_step(struct kp_target_states *states, const struct kp_inventory *inventory,
    struct kp_plan *plan, int64_t slice_us)
{
    const struct kp_walk_visit visit = {.pod = add_left_out, .target = add_target, .user = states};
    int64_t end_us = kp_mono_us() + slice_us;
    bool more;
    do {
        more = kp_walk_step(states->walk, inventory, plan, states->now_ms, &visit);
        encode(states);
    } while (more && kp_mono_us() < end_us);
    if (!more) {
        states->some.truncated = states->truncated;
        encode(states);
    }
    return more;
}

const char *kp_target_states_namespace(const struct kp_target_states *states)
{
    return states->namespace;
}

struct kp_blob *kp_target_states_take(struct kp_target_states *states)
{
    size_t len;
    if (states->encoded.overflow)
        return NULL;
    char *data = kp_strbuf_take(&states->encoded, &len);
    return kp_blob_take(data, len);
}

void kp_target_states_destroy(struct kp_target_states *states)
{
    if (states == NULL)
        return;
    kp_walk_destroy(states->walk);
    kp_state_batch_finish(&states->some);
    kp_strbuf_finish(&states->encoded);
    kp_free(states->namespace);
    kp_free(states);
}
