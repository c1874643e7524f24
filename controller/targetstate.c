#include "controller/targetstate.h"

#include <string.h>

#include "base/limits.h"
#include "base/text.h"
#include "base/banned.h"

struct building {
    struct kp_plan *plan;
    struct kp_state_batch *batch;
    int64_t now_ms;
};

static struct kp_target_state *add_state(struct building *b, const struct kp_pod *pod)
{
    if (b->batch->targets.n >= KP_STATE_MAX_TARGETS) {
        b->batch->truncated = true;
        return NULL;
    }
    struct kp_target_state *state = kp_array_add(&b->batch->targets);
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
    struct building *b = user;
    struct kp_target_state *state = add_state(b, target->pod);
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

static void add_workload(void *user, const char *workload)
{
    struct building *b = user;
    kp_plan_each_of_workload(b->plan, workload, b->now_ms, add_target, b);
}

static void add_left_out(void *user, const struct kp_pod *pod, const struct kp_pod_match *matches, size_t n)
{
    struct building *b = user;
    for (size_t i = 0; i < n; i++) {
        const struct kp_pod_match *match = &matches[i];
        if (match->leftout == KP_LEFTOUT_NONE || match->leftout == KP_LEFTOUT_FINISHED)
            continue;
        struct kp_target_state *state = add_state(b, pod);
        if (state == NULL)
            return;
        state->policies = kp_strdup(match->policy->key);
        state->left_out_reason = kp_strdup(kp_leftout_info(match->leftout)->name);
        state->message = kp_strdup(match->message);
    }
}

void kp_target_states(const struct kp_inventory *inventory, struct kp_plan *plan, const char *namespace,
    int64_t now_ms, struct kp_state_batch *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->namespace = kp_strdup(namespace);
    ret->time_ms = now_ms;
    struct building b = {.plan = plan, .batch = ret, .now_ms = now_ms};
    kp_inventory_each_workload(inventory, namespace, add_workload, &b);
    kp_inventory_each_pod(inventory, namespace, add_left_out, &b);
}
