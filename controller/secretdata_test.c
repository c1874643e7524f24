// Secrets as they are written.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <jansson.h>

#include "controller/secretdata.h"
#include "base/banned.h"

static json_t *written(const char *read)
{
    const struct kp_secretdata_item items[] = {{"ca.crt", "new"}, {"left.out", NULL}, {0}};
    json_t *before = json_loads(read, 0, NULL), *same = json_loads(read, 0, NULL);
    struct kp_blob *blob = kp_secretdata_object(before, items);
    json_t *object = json_loadb((const char *)blob->data, blob->len, 0, NULL);
    assert_non_null(object);
    assert_true(json_equal(before, same));
    kp_blob_unref(blob);
    json_decref(before);
    json_decref(same);
    return object;
}

static void assert_written(const char *read, const char *want)
{
    json_t *object = written(read), *wanted = json_loads(want, 0, NULL);
    assert_non_null(wanted);
    assert_true(json_equal(object, wanted));
    json_decref(object);
    json_decref(wanted);
}

static void test_what_others_say_of_it_stays(void **state)
{
    (void)state;
    assert_written("{\"metadata\":{\"name\":\"s\",\"resourceVersion\":\"7\",\"managedFields\":[1],"
                   "\"labels\":{\"a\":\"b\"},\"annotations\":{\"meta.helm.sh/release-name\":\"r\"}},"
                   "\"type\":\"Opaque\",\"data\":{\"old\":\"b2xk\"}}",
        "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"type\":\"Opaque\",\"data\":{\"ca.crt\":\"bmV3\"},"
        "\"metadata\":{\"name\":\"s\",\"resourceVersion\":\"7\",\"labels\":{\"a\":\"b\"},"
        "\"annotations\":{\"meta.helm.sh/release-name\":\"r\",\"helm.sh/resource-policy\":\"keep\"}}}");
}

// Made by hand after the chart's was deleted: an upgrade would take it for one that the chart has no more.
static void test_one_made_by_hand_is_kept(void **state)
{
    (void)state;
    assert_written("{\"metadata\":{\"name\":\"s\"},\"type\":\"Opaque\"}",
        "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"type\":\"Opaque\",\"data\":{\"ca.crt\":\"bmV3\"},"
        "\"metadata\":{\"name\":\"s\",\"annotations\":{\"helm.sh/resource-policy\":\"keep\"}}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_others_say_of_it_stays),
        cmocka_unit_test(test_one_made_by_hand_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
