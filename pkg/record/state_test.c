#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/wire.h"
#include "record/state.h"
#include "base/banned.h"

static void fill(struct kp_state_batch *batch)
{
    *batch =
        (struct kp_state_batch){.namespace = kp_strdup("shop"), .time_ms = 1764000000000, .truncated = true};
    struct kp_target_state *t = kp_array_add(&batch->targets);
    *t = (struct kp_target_state){.pod = kp_strdup("checkout-1"),
        .pod_uid = kp_strdup("u1"),
        .node = kp_strdup("n1"),
        .container = kp_strdup("app"),
        .workload = kp_strdup("Deployment/checkout"),
        .service = kp_strdup("checkout"),
        .policies = kp_strdup("shop/checkout"),
        .port = 6060,
        .sampled = true};
    struct kp_profile_state *p = kp_array_add(&t->profiles);
    *p = (struct kp_profile_state){.type = kp_strdup("cpu"),
        .interval_ms = 60000,
        .duration_ms = 10000,
        .next_ms = 1764000060000,
        .last_ms = 1764000000000,
        .last_success_ms = 1763999940000,
        .last_outcome = KP_OUTCOME_BUSY,
        .message = kp_strdup("another profiler holds the CPU profile")};
    t = kp_array_add(&batch->targets);
    *t = (struct kp_target_state){.pod = kp_strdup("cart-1"),
        .left_out_reason = kp_strdup("NoEndpoint"),
        .message = kp_strdup("no container port is named pprof")};
}

static void test_round_trip(void **state)
{
    (void)state;
    struct kp_state_batch a;
    struct kp_state_batch b;
    fill(&a);
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, KP_MIB);
    kp_state_batch_encode(&a, &buf);
    struct kp_error err = {0};
    assert_int_equal(kp_state_batch_decode(buf.data, buf.len, &b, &err), 0);
    assert_string_equal(b.namespace, "shop");
    assert_true(b.truncated);
    assert_int_equal(b.time_ms, a.time_ms);
    assert_int_equal(b.targets.n, 2);
    const struct kp_target_state *t = &b.targets.items[0];
    assert_string_equal(t->pod, "checkout-1");
    assert_string_equal(t->workload, "Deployment/checkout");
    assert_null(t->left_out_reason);
    assert_true(t->sampled);
    assert_int_equal(t->port, 6060);
    assert_int_equal(t->profiles.n, 1);
    assert_int_equal(t->profiles.items[0].last_outcome, KP_OUTCOME_BUSY);
    assert_string_equal(t->profiles.items[0].message, "another profiler holds the CPU profile");
    assert_int_equal(t->profiles.items[0].last_success_ms, 1763999940000);
    assert_string_equal(b.targets.items[1].left_out_reason, "NoEndpoint");

    // the same bytes again
    kp_auto_strbuf again;
    kp_strbuf_init(&again, KP_MIB);
    kp_state_batch_encode(&b, &again);
    assert_int_equal(buf.len, again.len);
    assert_memory_equal(buf.data, again.data, buf.len);

    for (size_t len = 0; len < buf.len; len++) { // every cut: an error, or fewer things
        struct kp_state_batch c;
        if (kp_state_batch_decode(buf.data, len, &c, NULL) == 0)
            kp_state_batch_finish(&c);
    }
    kp_state_batch_finish(&a);
    kp_state_batch_finish(&b);
}

static void test_bounds(void **state)
{
    (void)state;
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, 8 * KP_MIB);
    for (int i = 0; i <= KP_STATE_MAX_TARGETS; i++)
        kp_wire_put_bytes(&buf, 20, "", 0);
    struct kp_state_batch batch;
    struct kp_error err = {0};
    assert_int_equal(kp_state_batch_decode(buf.data, buf.len, &batch, &err), KP_CORRUPT);
    assert_non_null(strstr(err.text, "20000"));

    kp_strbuf_clear(&buf);
    kp_auto_strbuf target;
    kp_strbuf_init(&target, KP_MIB);
    for (int i = 0; i <= KP_MAX_PROFILES; i++)
        kp_wire_put_bytes(&target, 20, "", 0);
    kp_wire_put_bytes(&buf, 20, target.data, target.len);
    assert_int_equal(kp_state_batch_decode(buf.data, buf.len, &batch, NULL), KP_CORRUPT);

    kp_strbuf_clear(&buf);
    kp_strbuf_clear(&target);
    kp_auto_strbuf profile;
    kp_strbuf_init(&profile, KP_MIB);
    kp_wire_put_uint(&profile, 7, KP_OUTCOME_COUNT); // not an outcome
    kp_wire_put_bytes(&target, 20, profile.data, profile.len);
    kp_wire_put_bytes(&buf, 20, target.data, target.len);
    assert_int_equal(kp_state_batch_decode(buf.data, buf.len, &batch, NULL), KP_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
