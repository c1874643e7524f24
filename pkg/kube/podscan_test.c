#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "kube/reflector.h"
#include "record/pod.h"
#include "testkit/testkit.h"

#include "base/banned.h"

static struct kp_pod *decode(const char *json, size_t len, struct kp_error *err)
{
    char key[512] = "";
    char rv[64] = "";
    struct kp_pod *pod = kp_decode_pod(NULL, json, len, key, rv, err);
    if (pod) {
        char expected[512];
        snprintf(expected, sizeof expected, "%s/%s", pod->namespace, pod->name);
        assert_string_equal(key, expected);
        assert_string_equal(rv, pod->resource_version);
    }
    return pod;
}

static struct kp_pod *decode_text(const char *json)
{
    struct kp_error err = {0};
    struct kp_pod *pod = decode(json, strlen(json), &err);
    if (!pod)
        print_error("%s\n", err.text);
    assert_non_null(pod);
    return pod;
}

// ---- against a tree ----

static const char *text(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

static int64_t time_of(const json_t *object, const char *key)
{
    int64_t ms = 0;
    if (*text(object, key))
        assert_int_equal(kp_time_parse(text(object, key), &ms, NULL), KP_OK);
    return ms;
}

static const json_t *by_name(const json_t *array, const char *name)
{
    size_t i;
    json_t *item;
    json_array_foreach(array, i, item)
    {
        if (strcmp(text(item, "name"), name) == 0)
            return item;
    }
    return NULL;
}

static void compare_containers(
    const struct kp_pod *pod, const json_t *spec, const json_t *statuses, size_t *at, bool sidecars_only)
{
    size_t i;
    json_t *item;
    json_array_foreach(spec, i, item)
    {
        if (sidecars_only && strcmp(text(item, "restartPolicy"), "Always") != 0)
            continue;
        assert_true(*at < pod->n_containers);
        const struct kp_container *c = &pod->containers[(*at)++];
        const json_t *status = by_name(statuses, c->name);
        assert_string_equal(c->name, text(item, "name"));
        assert_string_equal(c->image, text(item, "image"));
        assert_string_equal(c->image_id, text(status, "imageID"));
        assert_string_equal(c->container_id, text(status, "containerID"));
        assert_int_equal(c->ready, json_is_true(json_object_get(status, "ready")));
        assert_int_equal(c->restarts, json_integer_value(json_object_get(status, "restartCount")));
        assert_int_equal(c->started_ms,
            time_of(json_object_get(json_object_get(status, "state"), "running"), "startedAt"));
        const json_t *ports = json_object_get(item, "ports");
        assert_int_equal(c->n_ports, json_array_size(ports));
        for (size_t j = 0; j < c->n_ports; j++) {
            const json_t *port = json_array_get(ports, j);
            assert_string_equal(c->ports[j].name, text(port, "name"));
            assert_int_equal(c->ports[j].number, json_integer_value(json_object_get(port, "containerPort")));
            assert_int_equal(c->ports[j].tcp, strcmp(text(port, "protocol"), "TCP") == 0);
        }
    }
}

static void compare(const struct kp_pod *pod, const json_t *tree)
{
    const json_t *metadata = json_object_get(tree, "metadata");
    const json_t *spec = json_object_get(tree, "spec");
    const json_t *status = json_object_get(tree, "status");
    const json_t *labels = json_object_get(metadata, "labels");
    const char *key;
    json_t *value;
    size_t at = 0;
    size_t n = 0;
    assert_string_equal(pod->name, text(metadata, "name"));
    assert_string_equal(pod->namespace, text(metadata, "namespace"));
    assert_string_equal(pod->uid, text(metadata, "uid"));
    assert_string_equal(pod->resource_version, text(metadata, "resourceVersion"));
    assert_int_equal(pod->created_ms, time_of(metadata, "creationTimestamp"));
    assert_int_equal(pod->deleting, json_object_get(metadata, "deletionTimestamp") != NULL);
    assert_int_equal(pod->n_labels, json_object_size(labels));
    // the casts undo nothing: jansson's iteration macro wants a pointer that is not const
    json_object_foreach((json_t *)(uintptr_t)labels, key, value)
        assert_string_equal(kp_pod_label(pod, key), json_string_value(value));
    json_object_foreach(json_object_get(metadata, "annotations"), key, value)
    {
        const char *got = kp_pod_annotation(pod, key);
        if (kp_pod_keeps_annotation(key, strlen(key))) {
            assert_string_equal(got, json_string_value(value));
            n++;
        } else {
            assert_null(got);
        }
    }
    assert_int_equal(pod->n_annotations, n);
    assert_string_equal(pod->node, text(spec, "nodeName"));
    assert_string_equal(pod->ip, text(status, "podIP"));
    assert_string_equal(pod->host_ip, text(status, "hostIP"));
    assert_string_equal(pod->other_ip, text(json_array_get(json_object_get(status, "podIPs"), 1), "ip"));
    assert_string_equal(
        pod->other_host_ip, text(json_array_get(json_object_get(status, "hostIPs"), 1), "ip"));
    compare_containers(
        pod, json_object_get(spec, "containers"), json_object_get(status, "containerStatuses"), &at, false);
    compare_containers(pod, json_object_get(spec, "initContainers"),
        json_object_get(status, "initContainerStatuses"), &at, true);
    assert_int_equal(pod->n_containers, at);
}

// Every pod of the recorded files, each with keys in two orders.
static void each_recorded(void (*check)(const char *json, size_t len, const json_t *tree))
{
    size_t len = 0;
    kp_auto_free char *file = kp_test_read_file(KP_TESTDATA "/watchlist.pods.json", &len);
    size_t n = 0;
    for (char *line = file; *line;) {
        size_t line_len = strcspn(line, "\n");
        json_t *event = json_loadb(line, line_len, 0, NULL);
        assert_non_null(event);
        json_t *object = json_object_get(event, "object");
        if (strcmp(text(event, "type"), "BOOKMARK") != 0) {
            for (int sorted = 0; sorted <= 1; sorted++) {
                char *dump = json_dumps(object, sorted ? JSON_SORT_KEYS | JSON_INDENT(2) : JSON_ENSURE_ASCII);
                check(dump, strlen(dump), object);
                free(dump);
            }
            n++;
        }
        json_decref(event);
        line += line_len + (line[line_len] == '\n');
    }
    assert_true(n >= 5);
}

static void check_same(const char *json, size_t len, const json_t *tree)
{
    struct kp_error err = {0};
    struct kp_pod *pod = decode(json, len, &err);
    assert_int_equal(err.code, KP_OK);
    assert_non_null(pod);
    compare(pod, tree);
    kp_pod_unref(pod);
}

static void test_recorded_pods_as_by_a_tree(void **state)
{
    (void)state;
    each_recorded(check_same);
}

static void check_cut(const char *json, size_t len, const json_t *tree)
{
    (void)tree;
    for (size_t cut = 0; cut < len; cut += 7) {
        // exactly as large as the text, so that a byte too far is seen by the sanitizer
        char *piece = cut ? kp_memdup(json, cut) : kp_alloc(1);
        struct kp_error err = {0};
        struct kp_pod *pod = decode(piece, cut, &err);
        assert_null(pod);
        assert_int_equal(err.code, KP_INVALID);
        kp_free(piece);
    }
}

static void test_cut_anywhere(void **state)
{
    (void)state;
    each_recorded(check_cut);
}

// ---- single points ----

static void test_recorded_pod_in_full(void **state)
{
    (void)state;
    size_t len = 0;
    kp_auto_free char *file = kp_test_read_file(KP_TESTDATA "/list.page1.json", &len);
    json_t *list = json_loadb(file, len, 0, NULL);
    char *json = json_dumps(json_array_get(json_object_get(list, "items"), 0), JSON_COMPACT);
    struct kp_pod *pod = decode_text(json);
    assert_string_equal(pod->workload_kind, "Deployment");
    assert_string_equal(pod->workload_name, "checkout");
    assert_string_equal(pod->owner_kind, "ReplicaSet");
    assert_string_equal(pod->version, "1.4.2");
    assert_true(*pod->revision);
    assert_true(pod->ready);
    assert_true(pod->ready_since_ms > 0);
    assert_int_equal(pod->phase, KP_POD_RUNNING);
    assert_int_equal(pod->n_annotations, 2);
    assert_int_equal(pod->n_containers, 2);
    assert_string_equal(pod->containers[0].name, "app");
    assert_string_equal(pod->containers[0].ports[0].name, "pprof");
    assert_false(pod->containers[0].ports[1].tcp);
    assert_true(kp_starts_with(pod->containers[0].container_id, "containerd://"));
    assert_string_equal(pod->containers[1].name, "setup");
    assert_int_equal(pod->containers[1].ports[0].number, 7070);
    assert_true(pod->containers[1].started_ms > 0);
    kp_pod_unref(pod);
    free(json);
    json_decref(list);
}

static void test_escapes(void **state)
{
    (void)state;
    struct kp_pod *pod =
        decode_text("{\"meta\\u0064ata\":{\"name\":\"a\",\"namespace\":\"b\",\"labels\":{"
                    "\"e\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\",\"u\":\"\\u00e9\\u20ac\\uD83D\\uDE00\","
                    "\"nul\":\"a\\u0000b\",\"lone\":\"\\ud83d!\",\"low\":\"\\ude00\",\"k\\u0065y\":\"\","
                    "\"pair\":\"\\ud83d\\u0041\"},"
                    "\"annotations\":{\"profefe.com\\/port\":\"1\",\"x\":\"\\\"}{\"}}}");
    assert_string_equal(kp_pod_label(pod, "e"), "\"\\/\b\f\n\r\t");
    assert_string_equal(kp_pod_label(pod, "u"), "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
    assert_string_equal(kp_pod_label(pod, "nul"), "a\xEF\xBF\xBD"
                                                  "b");
    assert_string_equal(kp_pod_label(pod, "lone"), "\xEF\xBF\xBD!");
    assert_string_equal(kp_pod_label(pod, "low"), "\xEF\xBF\xBD");
    assert_string_equal(kp_pod_label(pod, "pair"), "\xEF\xBF\xBD"
                                                   "A");
    assert_string_equal(kp_pod_label(pod, "key"), "");
    assert_string_equal(kp_pod_annotation(pod, "profefe.com/port"), "1");
    assert_int_equal(pod->n_annotations, 1);
    kp_pod_unref(pod);
}

static void test_odd_types_read_as_nothing(void **state)
{
    (void)state;
    struct kp_pod *pod = decode_text(
        "{\"metadata\":{\"name\":\"a\",\"namespace\":\"b\",\"uid\":7,\"labels\":null,\"annotations\":[1,{}],"
        "\"ownerReferences\":{\"a\":[]},\"deletionTimestamp\":null,\"creationTimestamp\":\"never\"},"
        "\"spec\":{\"hostNetwork\":\"true\",\"nodeName\":null,\"containers\":[null,1,\"x\",[],"
        "{\"name\":\"c\",\"ports\":[null,{\"containerPort\":70000},{\"containerPort\":-1},"
        "{\"containerPort\":\"80\"},{\"containerPort\":8e1}]}]},"
        "\"status\":{\"phase\":\"Odd\",\"conditions\":[{\"type\":\"Ready\",\"status\":true},7],"
        "\"containerStatuses\":[{\"name\":\"c\",\"restartCount\":99999999999999999999,\"state\":\"running\"},"
        "5]}}");
    assert_string_equal(pod->uid, "");
    assert_int_equal(pod->n_labels, 0);
    assert_int_equal(pod->n_annotations, 0);
    assert_false(pod->deleting);
    assert_false(pod->host_network);
    assert_false(pod->ready);
    assert_int_equal(pod->phase, KP_POD_UNKNOWN);
    assert_int_equal(pod->created_ms, 0);
    assert_int_equal(pod->n_containers, 1);
    assert_int_equal(pod->containers[0].n_ports, 1);
    assert_int_equal(pod->containers[0].ports[0].number, 8);
    assert_int_equal(pod->containers[0].restarts, UINT32_MAX);
    assert_string_equal(pod->workload_kind, "Pod");
    kp_pod_unref(pod);
}

static void test_owner_is_the_controller(void **state)
{
    (void)state;
    struct kp_pod *pod = decode_text(
        "{\"metadata\":{\"name\":\"a\",\"namespace\":\"b\",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\","
        "\"ownerReferences\":[{\"kind\":\"Tenant\",\"name\":\"t\"},"
        "{\"controller\":true,\"name\":\"db\",\"kind\":\"StatefulSet\"},"
        "{\"kind\":\"Other\",\"name\":\"o\",\"controller\":false}]}}");
    assert_string_equal(pod->owner_kind, "StatefulSet");
    assert_string_equal(pod->workload_name, "db");
    assert_true(pod->deleting);
    kp_pod_unref(pod);
}

static void expect_refused(const char *json, int code, const char *part)
{
    struct kp_error err = {0};
    assert_null(decode(json, strlen(json), &err));
    assert_int_equal(err.code, code);
    if (!strstr(err.text, part))
        fail_msg("'%s' does not hold '%s'", err.text, part);
}

static void test_refused(void **state)
{
    (void)state;
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, 1 << 20);
    expect_refused("", KP_INVALID, "ends");
    expect_refused("[]", KP_INVALID, "no name");
    expect_refused("{}", KP_INVALID, "no name");
    expect_refused("{\"metadata\":{\"name\":\"a\"}}", KP_INVALID, "no name or namespace");
    expect_refused("{\"metadata\":{\"name\":\"\\x\"}}", KP_INVALID, "escape");
    expect_refused("{\"metadata\":{\"name\":\"\\u12\"}}", KP_INVALID, "escape");
    expect_refused("{\"metadata\" {}}", KP_INVALID, "colon");
    expect_refused("{1:2}", KP_INVALID, "key");
    for (int i = 0; i < 1000; i++)
        kp_strbuf_adds(&buf, "{\"a\":[");
    expect_refused(buf.data, KP_INVALID, "deep");
    kp_strbuf_clear(&buf);
    kp_strbuf_adds(&buf, "{\"metadata\":{\"name\":\"a\",\"namespace\":\"b\"},\"spec\":{\"containers\":[");
    for (int i = 0; i < 129; i++)
        kp_strbuf_addf(&buf, "%s{\"name\":\"c%d\"}", i ? "," : "", i);
    kp_strbuf_adds(&buf, "]}}");
    expect_refused(buf.data, KP_LIMIT, "'b/a': it has more than 128 containers");
    kp_strbuf_clear(&buf);
    kp_strbuf_adds(&buf, "{\"metadata\":{\"namespace\":\"b\",\"name\":\"");
    for (int i = 0; i < 600; i++)
        kp_strbuf_addc(&buf, 'x');
    kp_strbuf_adds(&buf, "\"}}");
    expect_refused(buf.data, KP_INVALID, "too long");
}

static void test_long_strings_outlive_the_scan(void **state)
{
    (void)state;
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, 1 << 20);
    kp_strbuf_adds(&buf, "{\"metadata\":{\"name\":\"a\",\"namespace\":\"b\",\"labels\":{");
    for (int i = 0; i < 300; i++)
        kp_strbuf_addf(&buf, "%s\"key%03d\":\"%0*d\"", i ? "," : "", i, i == 7 ? 40000 : 100, i);
    kp_strbuf_adds(&buf, "}}}");
    struct kp_pod *pod = decode_text(buf.data);
    assert_int_equal(pod->n_labels, 300);
    assert_int_equal(strlen(kp_pod_label(pod, "key007")), 40000);
    assert_string_equal(kp_pod_label(pod, "key299") + 97, "299");
    kp_pod_unref(pod);
}

static void test_addresses_of_both_families(void **state)
{
    (void)state;
    struct kp_pod *pod = decode_text(
        "{\"metadata\":{\"namespace\":\"a\",\"name\":\"b\",\"uid\":\"u\",\"resourceVersion\":\"1\"},"
        "\"spec\":{\"containers\":[]},\"status\":{\"podIPs\":[{\"ip\":\"10.0.0.1\"},{\"x\":1,\"ip\":\"fd00::"
        "1\"}],"
        "\"podIP\":\"10.0.0.1\",\"hostIP\":\"10.9.0.1\",\"hostIPs\":[{\"ip\":\"10.9.0.1\"}]}}");
    assert_string_equal(pod->ip, "10.0.0.1");
    assert_string_equal(pod->other_ip, "fd00::1");
    assert_string_equal(pod->host_ip, "10.9.0.1");
    assert_string_equal(pod->other_host_ip, "");
    kp_pod_unref(pod);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded_pods_as_by_a_tree),
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_recorded_pod_in_full),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_odd_types_read_as_nothing),
        cmocka_unit_test(test_owner_is_the_controller),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_long_strings_outlive_the_scan),
        cmocka_unit_test(test_addresses_of_both_families),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
