// When the APIService is made and when it is withdrawn.
#include "controller/apiservice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/banned.h"

static void the_api_service_follows_the_registry(void **state)
{
    static const struct {
        struct kp_apiservice_facts facts;
        int64_t now_ms;
        enum kp_apiservice_step step;
    } rows[] = {
        // wanted, switched on, bundle, answered at, answers, found, available at, not before
        {{true, true, true, 0, false, KP_APISERVICE_ABSENT, 1000, 0}, 1000, KP_APISERVICE_LEAVE},
        {{true, true, true, 1000, true, KP_APISERVICE_ABSENT, 1000, 0}, 1000, KP_APISERVICE_APPLY},
        {{true, true, false, 1000, true, KP_APISERVICE_ABSENT, 1000, 0}, 1000, KP_APISERVICE_LEAVE},
        {{true, true, true, 1000, true, KP_APISERVICE_GOOD, 1000, 0}, 1000, KP_APISERVICE_LEAVE},
        {{true, true, true, 1000, true, KP_APISERVICE_STALE, 1000, 0}, 1000, KP_APISERVICE_APPLY},
        {{true, true, true, 1000, false, KP_APISERVICE_STALE, 9000, 0}, 9000, KP_APISERVICE_APPLY},
        {{true, true, true, 1000, false, KP_APISERVICE_GOOD, 60999, 0}, 60999, KP_APISERVICE_LEAVE},
        {{true, true, true, 1000, false, KP_APISERVICE_GOOD, 61000, 0}, 61000, KP_APISERVICE_WITHDRAW},
        {{true, true, true, 1000, false, KP_APISERVICE_STALE, 61000, 0}, 61000, KP_APISERVICE_WITHDRAW},
        {{true, true, true, 1000, true, KP_APISERVICE_GOOD, 99000, 0}, 99000,
            KP_APISERVICE_LEAVE}, // a slow probe
        {{true, false, true, 1000, true, KP_APISERVICE_GOOD, 1000, 0}, 1000, KP_APISERVICE_WITHDRAW},
        {{true, false, true, 1000, true, KP_APISERVICE_ABSENT, 1000, 0}, 1000, KP_APISERVICE_LEAVE},
        {{false, true, true, 1000, true, KP_APISERVICE_GOOD, 1000, 0}, 1000, KP_APISERVICE_WITHDRAW},
        {{false, true, true, 1000, true, KP_APISERVICE_ABSENT, 1000, 0}, 1000, KP_APISERVICE_LEAVE},
        {{true, false, true, 0, false, KP_APISERVICE_OTHERS, 99000, 0}, 99000, KP_APISERVICE_LEAVE},
        {{true, true, true, 1000, true, KP_APISERVICE_OTHERS, 1000, 0}, 1000, KP_APISERVICE_LEAVE},
        // it answers us, but not the API server
        {{true, true, true, 61000, true, KP_APISERVICE_GOOD, 1001, 0}, 61000, KP_APISERVICE_LEAVE},
        {{true, true, true, 61000, true, KP_APISERVICE_GOOD, 1000, 0}, 61000, KP_APISERVICE_WITHDRAW},
        {{true, true, true, 61000, true, KP_APISERVICE_STALE, 1000, 0}, 61000, KP_APISERVICE_WITHDRAW},
        {{true, true, true, 61000, true, KP_APISERVICE_ABSENT, 61000, 61001}, 61000, KP_APISERVICE_LEAVE},
        {{true, true, true, 61000, true, KP_APISERVICE_ABSENT, 61000, 61000}, 61000, KP_APISERVICE_APPLY},
    };
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        const char *why;
        if (kp_apiservice_decide(&rows[i].facts, rows[i].now_ms, &why) != rows[i].step)
            fail_msg("row %zu", i);
        assert_int_equal(why[0] != '\0',
            rows[i].step != KP_APISERVICE_LEAVE || ((!rows[i].facts.wanted || !rows[i].facts.switched_on) &&
                                                       rows[i].facts.found != KP_APISERVICE_OTHERS));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_api_service_follows_the_registry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
