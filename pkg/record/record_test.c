#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/wire.h"
#include "record/record.h"
#include "base/banned.h"

static void fill(struct kp_record *r)
{
    kp_record_init(r);
    char **strings[] = {&r->service, &r->type, &r->format, &r->namespace, &r->pod, &r->pod_uid, &r->container,
        &r->container_id, &r->node, &r->workload_kind, &r->workload_name, &r->revision, &r->version,
        &r->image, &r->image_digest, &r->architecture, &r->path, &r->policies, &r->id};
    for (size_t i = 0; i < KP_COUNT(strings); i++)
        *strings[i] = kp_asprintf("text-%zu", i);
    kp_free(r->format);
    r->format = kp_strdup("pprof");
    r->key = kp_strdup("0123456789abcdef0123456789abcdef");
    r->port = 6060;
    r->restarts = 3;
    r->container_started_ms = 1764000000000;
    r->slot_ms = 1764000001000;
    r->start_ms = 1764000002000;
    r->end_ms = 1764000003000;
    r->interval_ms = 60000;
    r->duration_ms = 10000;
    r->sample_k = 2;
    r->sample_n = 12;
    r->retention_ms = 86400000;
    r->received_ms = 1764000004000;
    r->size_bytes = 12345;
    r->labels = kp_labels_create((struct kp_label[]){{"team", "shop"}, {"empty", ""}, {"a", "\xc3\xa9"}}, 3);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct kp_record a;
    struct kp_record b;
    fill(&a);
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, KP_MAX_RECORD_BYTES);
    kp_record_encode(&a, &buf);
    assert_false(buf.overflow);
    struct kp_error err = {0};
    assert_int_equal(kp_record_decode(buf.data, buf.len, &b, &err), 0);
    assert_true(kp_record_equal(&a, &b));
    assert_string_equal(kp_labels_get(b.labels, "team"), "shop");
    assert_string_equal(kp_labels_get(b.labels, "empty"), "");

    struct kp_record c;
    kp_record_copy(&c, &b);
    assert_true(kp_record_equal(&a, &c));
    c.port++;
    assert_false(kp_record_equal(&a, &c));
    c.port--;
    kp_free(c.node);
    c.node = NULL;
    assert_false(kp_record_equal(&a, &c));
    kp_record_finish(&a);
    kp_record_finish(&b);
    kp_record_finish(&c);
}

static void test_every_cut_is_refused_or_shorter(void **state)
{
    (void)state;
    struct kp_record a;
    fill(&a);
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, KP_MAX_RECORD_BYTES);
    kp_record_encode(&a, &buf);
    for (size_t len = 0; len < buf.len; len++) {
        struct kp_record b;
        struct kp_error err = {0};
        if (kp_record_decode(buf.data, len, &b, &err) == 0) { // a cut between two fields
            assert_false(kp_record_equal(&a, &b));
            kp_record_finish(&b);
        } else {
            assert_int_equal(err.code, KP_CORRUPT);
        }
    }
    kp_record_finish(&a);
}

static void test_unknown_fields_are_skipped(void **state)
{
    (void)state;
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, KP_MAX_RECORD_BYTES);
    kp_wire_put_str(&buf, 999, "from the future");
    kp_wire_put_str(&buf, 1, "svc");
    kp_wire_put_uint(&buf, 998, 7);
    struct kp_record r;
    assert_int_equal(kp_record_decode(buf.data, buf.len, &r, NULL), 0);
    assert_string_equal(r.service, "svc");
    assert_non_null(r.labels);
    assert_int_equal(r.labels->n, 0);
    kp_record_finish(&r);
}

static void refused(uint32_t number, const void *data, size_t len)
{
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, 2 * KP_MAX_RECORD_BYTES);
    kp_wire_put_str(&buf, 2, "cpu"); // so that something has to be freed
    kp_wire_put_bytes(&buf, number, data, len);
    struct kp_record r;
    struct kp_error err = {0};
    assert_int_equal(kp_record_decode(buf.data, buf.len, &r, &err), KP_CORRUPT);
    assert_true(err.text[0] != '\0');
}

static void test_hostile_fields(void **state)
{
    (void)state;
    static char big[KP_MAX_RECORD_BYTES + 1];
    memset(big, 'x', sizeof big);
    refused(1, big, KP_MAX_SERVICE_NAME + 1);
    refused(1, "a\0b", 3);
    refused(1, big, sizeof big);
    refused(18, "text for a number", 17);
    refused(40, "\x07", 1); // a label cut short
    refused(40, "", 0);     // a label without a key
    refused(40, "\x03", 1);
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, KP_MAX_RECORD_BYTES);
    kp_wire_put_uint(&buf, 18, UINT64_C(1) << 32); // a port past 32 bits
    struct kp_record r;
    assert_int_equal(kp_record_decode(buf.data, buf.len, &r, NULL), KP_CORRUPT);
    kp_strbuf_clear(&buf);
    for (int i = 0; i <= KP_MAX_LABELS; i++)
        kp_wire_put_bytes(&buf, 40, "\x03\x01k", 3);
    assert_int_equal(kp_record_decode(buf.data, buf.len, &r, NULL), KP_CORRUPT);
}

static void test_frame(void **state)
{
    (void)state;
    struct kp_record a;
    struct kp_record b;
    fill(&a);
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, KP_MAX_PROFILE_BYTES);
    kp_capture_frame(&buf, &a, "profile", 7);
    const uint8_t *profile;
    size_t len;
    assert_int_equal(kp_capture_unframe(buf.data, buf.len, &b, &profile, &len, NULL), 0);
    assert_true(kp_record_equal(&a, &b));
    assert_int_equal(len, 7);
    assert_memory_equal(profile, "profile", 7);
    assert_int_equal(kp_capture_unframe(buf.data, 3, &b, &profile, &len, NULL), KP_CORRUPT);
    struct kp_error err = {0};
    assert_int_equal(kp_capture_unframe(buf.data, 20, &b, &profile, &len, &err), KP_CORRUPT);
    assert_non_null(strstr(err.text, "but only 16 follow"));
    kp_record_finish(&a);
    kp_record_finish(&b);
}

static void test_key(void **state)
{
    (void)state;
    char a[KP_CAPTURE_KEY_TEXT];
    char b[KP_CAPTURE_KEY_TEXT];
    kp_capture_key(a, "uid", "app", 6060, "/debug/pprof/heap", "heap", 1764000000000);
    assert_int_equal(strlen(a), 32);
    assert_string_equal(a, "a4cc446283ccd0b35cea75be65cb9c04"); // spools and logs of older versions hold it
    kp_capture_key(b, "uid", "app", 6060, "/debug/pprof/heap", "heap", 1764000000000);
    assert_string_equal(a, b);
    kp_capture_key(b, "uida", "pp", 6060, "/debug/pprof/heap", "heap", 1764000000000);
    assert_string_not_equal(a, b);
    kp_capture_key(b, "uid", "app", 6061, "/debug/pprof/heap", "heap", 1764000000000);
    assert_string_not_equal(a, b);
    kp_capture_key(b, "uid", "app", 6060, "/debug/pprof/heap", "heap", 1764000000001);
    assert_string_not_equal(a, b);
    kp_capture_key(b, NULL, NULL, 0, NULL, NULL, 0);
    assert_int_equal(strlen(b), 32);
}

static void check_says(void (*change)(struct kp_record *), const char *words)
{
    struct kp_record r;
    fill(&r);
    change(&r);
    struct kp_error err = {0};
    int rc = kp_record_check(&r, &err);
    if (words == NULL) {
        assert_int_equal(rc, 0);
    } else {
        assert_int_equal(rc, KP_INVALID);
        if (strstr(err.text, words) == NULL)
            fail_msg("'%s' does not say '%s'", err.text, words);
    }
    kp_record_finish(&r);
}

static void replace(char **s, const char *text)
{
    kp_free(*s);
    *s = kp_strdup(text);
}

static void nothing(struct kp_record *r)
{
    (void)r;
}
static void no_service(struct kp_record *r)
{
    replace(&r->service, NULL);
}
static void odd_service(struct kp_record *r)
{
    replace(&r->service, "a\nb");
}

static void odd_service_above(struct kp_record *r)
{
    replace(&r->service, "a\xc2\x9b[31m"); // as ESC [
}

static void no_type(struct kp_record *r)
{
    replace(&r->type, "");
}
static void odd_type(struct kp_record *r)
{
    replace(&r->type, "c/pu");
}
static void odd_format(struct kp_record *r)
{
    replace(&r->format, "jfr");
}
static void odd_namespace(struct kp_record *r)
{
    replace(&r->namespace, "a/b");
}
static void odd_key(struct kp_record *r)
{
    replace(&r->key, "zz");
}
static void odd_port(struct kp_record *r)
{
    r->port = 70000;
}
static void early(struct kp_record *r)
{
    r->start_ms = 5;
}
static void backwards(struct kp_record *r)
{
    r->end_ms = r->start_ms - 1;
}
static void more_than_all(struct kp_record *r)
{
    r->sample_k = 13;
}
static void long_label(struct kp_record *r)
{
    char value[KP_MAX_LABEL_VALUE + 2];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    kp_labels_destroy(r->labels);
    r->labels = kp_labels_create((struct kp_label[]){{"team", value}}, 1);
}
static void push(struct kp_record *r)
{
    kp_record_finish(r);
    kp_record_init(r);
    r->service = kp_strdup("svc");
    r->type = kp_strdup("cpu");
    r->format = kp_strdup("pprof");
}

static void test_check(void **state)
{
    (void)state;
    check_says(nothing, NULL);
    check_says(push, NULL);
    check_says(no_service, "service is missing");
    check_says(odd_service, "control characters");
    check_says(odd_service_above, "control characters");
    check_says(no_type, "type is missing");
    check_says(odd_type, "letters, digits");
    check_says(odd_format, "pprof, trace or text");
    check_says(odd_namespace, "namespace");
    check_says(odd_key, "32 lower-case hex");
    check_says(odd_port, "70000");
    check_says(early, "start time");
    check_says(backwards, "before the start");
    check_says(more_than_all, "13 pods sampled of 12");
    check_says(long_label, "label 'team'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_every_cut_is_refused_or_shorter),
        cmocka_unit_test(test_unknown_fields_are_skipped),
        cmocka_unit_test(test_hostile_fields),
        cmocka_unit_test(test_frame),
        cmocka_unit_test(test_key),
        cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
