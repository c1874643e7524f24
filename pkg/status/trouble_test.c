// That status cannot be written is said while it is so, by the replica it concerns.
#include "status/status.h"

#include "status/writer_fixture.h"
#include "base/banned.h"

#define FORBIDDEN                                                                                            \
    {                                                                                                        \
        APPLY, 403, NULL, "{\"kind\":\"Status\",\"message\":\"forbidden\",\"reason\":\"Forbidden\"}", 0, 0,  \
            PEER_WHOLE                                                                                       \
    }

static void test_who_lost_the_lead_has_no_trouble(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {FORBIDDEN};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), false);
    add(&f, "{}");
    struct kp_policy_summary summary = fixture_summary();
    kp_statuses_update(f.statuses, "shop/p", &summary, kp_now_ms());
    run_until(&f, 1);
    assert_string_equal(kp_statuses_trouble(f.statuses), "forbidden");
    kp_statuses_set_writing(f.statuses, false);
    assert_null(kp_statuses_trouble(f.statuses));
    kp_statuses_set_writing(f.statuses, true);
    assert_null(kp_statuses_trouble(f.statuses)); // it was not tried yet
    end(&f);
}

static void test_a_write_that_fails_after_the_lead_is_lost(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {FORBIDDEN};
    struct fixture f;
    begin(&f, steps, KP_COUNT(steps), false);
    add(&f, "{}");
    struct kp_policy_summary summary = fixture_summary();
    kp_statuses_update(f.statuses, "shop/p", &summary, kp_now_ms());
    kp_statuses_set_writing(f.statuses, false); // while it is under way
    run_until(&f, 1);
    assert_null(kp_statuses_trouble(f.statuses));
    end(&f);
}

static void ignore(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    (void)user, (void)http_status, (void)json, (void)err;
}

static void test_a_write_that_cannot_begin(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, NULL, 0, false); // never answers
    add(&f, "{}");
    const struct kp_kube_request request = {.method = "GET", .path = "/version", .on_done = ignore};
    while (kp_kube_start(f.kube, &request, NULL, NULL) == 0)
        continue;
    struct kp_policy_summary summary = fixture_summary();
    kp_statuses_update(f.statuses, "shop/p", &summary, kp_now_ms());
    assert_non_null(kp_statuses_trouble(f.statuses));
    assert_non_null(strstr(kp_statuses_trouble(f.statuses), "are waiting"));
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_lost_the_lead_has_no_trouble),
        cmocka_unit_test(test_a_write_that_fails_after_the_lead_is_lost),
        cmocka_unit_test(test_a_write_that_cannot_begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
