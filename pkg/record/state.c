#include "record/state.h"

#include <string.h>

#include "base/limits.h"
#include "base/wire.h"
#include "record/member.h"
#include "base/banned.h"

// clang-format off
static const struct kp_member profile_members[] = {
    KP_MEMBER(struct kp_profile_state, 1, KP_MEMBER_STR, type, KP_MAX_TYPE_NAME),
    KP_MEMBER(struct kp_profile_state, 2, KP_MEMBER_I64, interval_ms, 0),
    KP_MEMBER(struct kp_profile_state, 3, KP_MEMBER_I64, duration_ms, 0),
    KP_MEMBER(struct kp_profile_state, 4, KP_MEMBER_I64, next_ms, 0),
    KP_MEMBER(struct kp_profile_state, 5, KP_MEMBER_I64, last_ms, 0),
    KP_MEMBER(struct kp_profile_state, 6, KP_MEMBER_I64, last_success_ms, 0),
    KP_MEMBER(struct kp_profile_state, 7, KP_MEMBER_OUTCOME, last_outcome, 0),
    KP_MEMBER(struct kp_profile_state, 8, KP_MEMBER_STR, message, 512),
};

static const struct kp_member target_members[] = {
    KP_MEMBER(struct kp_target_state, 1, KP_MEMBER_STR, pod, 253),
    KP_MEMBER(struct kp_target_state, 2, KP_MEMBER_STR, pod_uid, 63),
    KP_MEMBER(struct kp_target_state, 3, KP_MEMBER_STR, node, 253),
    KP_MEMBER(struct kp_target_state, 4, KP_MEMBER_STR, container, 63),
    KP_MEMBER(struct kp_target_state, 5, KP_MEMBER_STR, workload, 320),
    KP_MEMBER(struct kp_target_state, 6, KP_MEMBER_STR, service, KP_MAX_SERVICE_NAME),
    KP_MEMBER(struct kp_target_state, 7, KP_MEMBER_STR, policies, 4096),
    KP_MEMBER(struct kp_target_state, 8, KP_MEMBER_U32, port, 0),
    KP_MEMBER(struct kp_target_state, 9, KP_MEMBER_BOOL, sampled, 0),
    KP_MEMBER(struct kp_target_state, 10, KP_MEMBER_STR, left_out_reason, 63),
    KP_MEMBER(struct kp_target_state, 11, KP_MEMBER_STR, message, 512),
};
#define NUMBER_PROFILE 20

static const struct kp_member batch_members[] = {
    KP_MEMBER(struct kp_state_batch, 1, KP_MEMBER_STR, namespace, 63),
    KP_MEMBER(struct kp_state_batch, 2, KP_MEMBER_I64, time_ms, 0),
    KP_MEMBER(struct kp_state_batch, 3, KP_MEMBER_BOOL, truncated, 0),
};
#define NUMBER_TARGET 20
// clang-format on
#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

#define MAX_TARGET_BYTES (64 * KP_KIB)

static void target_finish(struct kp_target_state *target)
{
    kp_members_free(target_members, COUNT(target_members), target);
    for (size_t i = 0; i < target->profiles.n; i++)
        kp_members_free(profile_members, COUNT(profile_members), &target->profiles.items[i]);
    kp_array_free(&target->profiles);
}

void kp_state_batch_finish(struct kp_state_batch *batch)
{
    kp_members_free(batch_members, COUNT(batch_members), batch);
    for (size_t i = 0; i < batch->targets.n; i++)
        target_finish(&batch->targets.items[i]);
    kp_array_free(&batch->targets);
}

static void encode_target(
    const struct kp_target_state *target, struct kp_strbuf *one, struct kp_strbuf *nested)
{
    kp_strbuf_clear(one);
    kp_members_encode(target_members, COUNT(target_members), target, one);
    for (size_t i = 0; i < target->profiles.n && i < KP_MAX_PROFILES; i++) {
        kp_strbuf_clear(nested);
        kp_members_encode(profile_members, COUNT(profile_members), &target->profiles.items[i], nested);
        kp_wire_put_bytes(one, NUMBER_PROFILE, nested->data, nested->len);
    }
}

void kp_state_batch_encode(const struct kp_state_batch *batch, struct kp_strbuf *out)
{
    kp_auto_strbuf one;
    kp_auto_strbuf nested;
    kp_strbuf_init(&one, MAX_TARGET_BYTES);
    kp_strbuf_init(&nested, MAX_TARGET_BYTES);
    kp_members_encode(batch_members, COUNT(batch_members), batch, out);
    for (size_t i = 0; i < batch->targets.n && i < KP_STATE_MAX_TARGETS; i++) {
        encode_target(&batch->targets.items[i], &one, &nested);
        kp_wire_put_bytes(out, NUMBER_TARGET, one.data, one.len);
    }
}

static int decode_profile(const struct kp_wire *field, struct kp_target_state *target, struct kp_error *err)
{
    if (!field->is_bytes || target->profiles.n == KP_MAX_PROFILES)
        return kp_fail(err, KP_CORRUPT, "a target has more than %d profiles", KP_MAX_PROFILES);
    struct kp_profile_state *profile = kp_array_add(&target->profiles);
    *profile = (struct kp_profile_state){0};
    struct kp_wire w;
    kp_wire_start(&w, field->data, field->len);
    while (kp_wire_next(&w)) {
        bool known;
        int rc = kp_members_take(profile_members, COUNT(profile_members), &w, profile, &known, err);
        if (rc != 0)
            return rc;
    }
    return w.bad ? kp_fail(err, KP_CORRUPT, "a profile's state is cut short") : 0;
}

static int decode_target(const struct kp_wire *field, struct kp_state_batch *batch, struct kp_error *err)
{
    if (!field->is_bytes || batch->targets.n == KP_STATE_MAX_TARGETS)
        return kp_fail(err, KP_CORRUPT, "more than %d targets", KP_STATE_MAX_TARGETS);
    struct kp_target_state *target = kp_array_add(&batch->targets);
    *target = (struct kp_target_state){0};
    struct kp_wire w;
    kp_wire_start(&w, field->data, field->len);
    while (kp_wire_next(&w)) {
        bool known;
        int rc = w.number == NUMBER_PROFILE
                     ? decode_profile(&w, target, err)
                     : kp_members_take(target_members, COUNT(target_members), &w, target, &known, err);
        if (rc != 0)
            return rc;
    }
    return w.bad ? kp_fail(err, KP_CORRUPT, "a target's state is cut short") : 0;
}

static int decode_batch(const void *data, size_t len, struct kp_state_batch *batch, struct kp_error *err)
{
    struct kp_wire w;
    kp_wire_start(&w, data, len);
    while (kp_wire_next(&w)) {
        bool known;
        int rc = w.number == NUMBER_TARGET
                     ? decode_target(&w, batch, err)
                     : kp_members_take(batch_members, COUNT(batch_members), &w, batch, &known, err);
        if (rc != 0)
            return rc;
    }
    return w.bad ? kp_fail(err, KP_CORRUPT, "a batch of target states is cut short") : 0;
}

int kp_state_batch_decode(const void *data, size_t len, struct kp_state_batch *ret, struct kp_error *err)
{
    struct kp_state_batch batch = {0};
    int rc = decode_batch(data, len, &batch, err);
    if (rc == 0)
        *ret = batch;
    else
        kp_state_batch_finish(&batch);
    return rc;
}
