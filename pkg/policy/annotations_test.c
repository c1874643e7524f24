// What pods say themselves, dialect by dialect.
#include "policy/annotations.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/banned.h"

#define ALL (KP_DIALECTS_DEFAULT | KP_DIALECT_GRAFANA | KP_DIALECT_PYROSCOPE | KP_DIALECT_COROOT)

#define READ(dialects, wishes, ...)                                                                          \
    do {                                                                                                     \
        const struct kp_label notes_[] = {__VA_ARGS__};                                                      \
        kp_annotations_read(notes_, KP_COUNT(notes_), (dialects), (wishes));                                 \
    } while (0)

static void test_nothing_said(void **state)
{
    (void)state;
    static const struct kp_pod_wishes nothing;
    struct kp_pod_wishes w;
    memset(&w, 0xff, sizeof w);
    kp_annotations_read(NULL, 0, ALL, &w);
    assert_memory_equal(&w, &nothing, offsetof(struct kp_pod_wishes, types));
    READ(ALL, &w, {"example.org/enable", "true"}, {"kube-pprof.dev", "true"},
        {"kube-pprof.dev/enabled", "true"});
    assert_memory_equal(&w, &nothing, offsetof(struct kp_pod_wishes, types));
}

static void test_own_keys(void **state)
{
    (void)state;
    struct kp_pod_wishes w;
    READ(KP_DIALECTS_DEFAULT, &w, {"kube-pprof.dev/enable", "true"}, {"kube-pprof.dev/port", "8081"},
        {"kube-pprof.dev/path", "/debug/mine/"}, {"kube-pprof.dev/scheme", "HTTPS"},
        {"kube-pprof.dev/container", "app"}, {"kube-pprof.dev/service", "checkout"},
        {"kube-pprof.dev/types", "cpu, heap,,mutex"}, {"kube-pprof.dev/interval", "2m"},
        {"kube-pprof.dev/duration", "5s"});
    assert_int_equal(w.n_problems, 0);
    assert_true(w.opted_in && !w.opted_out && w.fallback_port);
    assert_int_equal(w.dialects, KP_DIALECT_OWN);
    assert_int_equal(w.port, 8081);
    assert_string_equal(w.path, "/debug/mine");
    assert_true(w.has_scheme && w.https);
    assert_string_equal(w.container, "app");
    assert_string_equal(w.service, "checkout");
    assert_int_equal(w.n_types, 3);
    assert_string_equal(w.types[2].name, "mutex");
    assert_int_equal(w.interval_ms, 120000);
    assert_int_equal(w.duration_ms, 5000);
}

static void test_a_port_may_be_a_name(void **state)
{
    (void)state;
    struct kp_pod_wishes w;
    READ(KP_DIALECTS_DEFAULT, &w, {"kube-pprof.dev/port", "http-debug"});
    assert_int_equal(w.n_problems, 0);
    assert_int_equal(w.port, 0);
    assert_string_equal(w.port_name, "http-debug");
    assert_false(w.opted_in);
}

static void test_profefe(void **state)
{
    (void)state;
    struct kp_pod_wishes w;
    READ(KP_DIALECTS_DEFAULT, &w, {"profefe.com/enable", "true"}, {"profefe.com/port", "9000"},
        {"profefe.com/service", "api"}, {"profefe.com/path", "/debug/pprof"});
    assert_true(w.opted_in && w.fallback_port);
    assert_int_equal(w.dialects, KP_DIALECT_PROFEFE);
    assert_int_equal(w.port, 9000);
    assert_string_equal(w.service, "api");
    READ(KP_DIALECTS_DEFAULT, &w, {"profefe.com/enable", "false"}, {"profefe.com/port", "9000"});
    assert_false(w.opted_in);
    assert_false(w.opted_out); // only our own key says no for everybody
}

static void test_own_before_profefe_before_others(void **state)
{
    (void)state;
    struct kp_pod_wishes w;
    READ(ALL, &w, {"coroot.com/profile-port", "1"}, {"pyroscope.io/port", "2"}, {"profefe.com/port", "3"},
        {"kube-pprof.dev/port", "4"}, {"profefe.com/service", "theirs"}, {"kube-pprof.dev/service", "ours"});
    assert_int_equal(w.port, 4);
    assert_string_equal(w.service, "ours");
    READ(ALL, &w, {"coroot.com/profile-port", "1"}, {"profefe.com/port", "named"});
    assert_string_equal(w.port_name, "named");
    assert_int_equal(w.port, 0); // a name is a port too: the later number does not join it
}

static void test_no_always_wins(void **state)
{
    (void)state;
    struct kp_pod_wishes w;
    READ(ALL, &w, {"profefe.com/enable", "true"}, {"pyroscope.io/scrape", "true"},
        {"kube-pprof.dev/enable", "false"});
    assert_true(w.opted_out);
}

static void test_dialects_that_are_off_mean_nothing(void **state)
{
    (void)state;
    struct kp_pod_wishes w;
    READ(KP_DIALECTS_DEFAULT, &w, {"profiles.grafana.com/cpu.scrape", "true"},
        {"pyroscope.io/scrape", "true"}, {"coroot.com/profile-scrape", "true"}, {"pyroscope.io/port", "x y"});
    assert_false(w.opted_in);
    assert_int_equal(w.n_problems, 0);
    READ(KP_DIALECT_OWN, &w, {"profefe.com/enable", "true"});
    assert_false(w.opted_in);
}

static void test_grafana_gives_each_type_its_own_port(void **state)
{
    (void)state;
    struct kp_pod_wishes w;
    READ(ALL, &w, {"profiles.grafana.com/cpu.scrape", "true"}, {"profiles.grafana.com/cpu.port", "8080"},
        {"profiles.grafana.com/memory.scrape", "true"}, {"profiles.grafana.com/memory.port", "1"},
        {"profiles.grafana.com/memory.port_name", "debug"},
        {"profiles.grafana.com/memory.path", "/debug/pprof/allocs"},
        {"profiles.grafana.com/memory.scheme", "https"}, {"profiles.grafana.com/block.scrape", "false"},
        {"profiles.grafana.com/mutex.port", "99"}, {"profiles.grafana.com/service_name", "shop"});
    assert_int_equal(w.n_problems, 0);
    assert_int_equal(w.dialects, KP_DIALECT_GRAFANA);
    assert_false(w.fallback_port);
    assert_int_equal(w.n_types, 2);
    assert_string_equal(w.types[0].name, "cpu");
    assert_int_equal(w.types[0].port, 8080);
    assert_string_equal(w.types[1].name, "heap");
    assert_string_equal(w.types[1].port_name, "debug");
    assert_string_equal(w.types[1].path, "/debug/pprof/allocs");
    assert_true(w.https);
    assert_string_equal(w.service, "shop");
    READ(ALL, &w, {"profiles.grafana.com/cpu.scrape", "yes please"});
    assert_int_equal(w.n_problems, 1);
    assert_false(w.opted_in);
}

static void test_pyroscope_and_coroot(void **state)
{
    (void)state;
    struct kp_pod_wishes w;
    READ(ALL, &w, {"pyroscope.io/scrape", "true"}, {"pyroscope.io/port", "4040"},
        {"pyroscope.io/application-name", "old"}, {"pyroscope.io/profile-cpu-enabled", "true"},
        {"pyroscope.io/profile-mem-enabled", "false"});
    assert_int_equal(w.dialects, KP_DIALECT_PYROSCOPE);
    assert_false(w.fallback_port);
    assert_int_equal(w.port, 4040);
    assert_string_equal(w.service, "old");
    assert_int_equal(w.n_types, 1);
    assert_string_equal(w.types[0].name, "cpu");
    READ(ALL, &w, {"coroot.com/profile-scrape", "true"}, {"coroot.com/profile-port", "7070"});
    assert_int_equal(w.dialects, KP_DIALECT_COROOT);
    assert_int_equal(w.port, 7070);
}

static void test_what_cannot_be_read_is_reported(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *message;
    } rows[] = {
        {"kube-pprof.dev/enable", "flase", "'flase' is neither true nor false"},
        {"kube-pprof.dev/port", "60x60!", "'60x60!' is not a port"},
        {"kube-pprof.dev/port", "0", "is not a port"},
        {"kube-pprof.dev/port", "65536", "is not a port"},
        {"kube-pprof.dev/port", "-1", "is not a port"},
        {"kube-pprof.dev/port", "", "is not a port"},
        {"kube-pprof.dev/path", "debug", "is not a path"},
        {"kube-pprof.dev/path", "/debug/../etc", "is not a path"},
        {"kube-pprof.dev/path", "/debug?seconds=3600", "is not a path"},
        {"kube-pprof.dev/scheme", "ftp", "use http or https"},
        {"kube-pprof.dev/container", "", "is not the name of a container"},
        {"kube-pprof.dev/service", "a/b", "is not a service name"},
        {"kube-pprof.dev/service", "\xff\xfe", "is not a service name"},
        {"kube-pprof.dev/types", "cpu,everything", "'everything' is not a known profile type"},
        {"kube-pprof.dev/interval", "often", "is not a duration"},
        {"kube-pprof.dev/interval", "1ms", "of at least 1s"},
        {"kube-pprof.dev/duration", "1 week", "is not a duration"},
        {"profefe.com/port", "60\n60", "is not a port"},
    };
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        struct kp_pod_wishes w;
        const struct kp_label note = {rows[i].key, rows[i].value};
        kp_annotations_read(&note, 1, ALL, &w);
        assert_int_equal(w.n_problems, 1);
        assert_ptr_equal(w.problems[0].key, rows[i].key);
        if (strstr(w.problems[0].message, rows[i].message) == NULL)
            fail_msg("'%s' is not in '%s'", rows[i].message, w.problems[0].message);
        assert_true(strncmp(w.problems[0].message, rows[i].key, strlen(rows[i].key)) == 0);
        assert_null(strpbrk(w.problems[0].message, "\n\xff"));
    }
}

static void test_problems_and_values_are_bounded(void **state)
{
    (void)state;
    char longish[4096];
    memset(longish, 'x', sizeof longish);
    longish[sizeof longish - 1] = '\0';
    struct kp_pod_wishes w;
    READ(ALL, &w, {"kube-pprof.dev/enable", longish}, {"kube-pprof.dev/port", longish},
        {"kube-pprof.dev/path", longish}, {"kube-pprof.dev/scheme", longish},
        {"kube-pprof.dev/container", longish}, {"kube-pprof.dev/service", longish},
        {"kube-pprof.dev/types", longish}, {"kube-pprof.dev/interval", longish},
        {"kube-pprof.dev/duration", longish}, {"profefe.com/enable", longish}, {"profefe.com/port", longish});
    assert_int_equal(w.n_problems, KP_COUNT(w.problems));
    for (size_t i = 0; i < w.n_problems; i++)
        assert_true(strlen(w.problems[i].message) < sizeof w.problems[i].message);
}

static void test_what_keys_mean(void **state)
{
    struct kp_annotation_info info;
    (void)state;
    assert_true(kp_annotation_info("kube-pprof.dev/port", &info));
    assert_int_equal(info.dialect, KP_DIALECT_OWN);
    assert_string_equal(info.dialect_name, "kube-pprof");
    assert_string_equal(info.meaning, "port of pprof, number or name");
    assert_true(kp_annotation_info("profiles.grafana.com/memory.port_name", &info));
    assert_int_equal(info.dialect, KP_DIALECT_GRAFANA);
    assert_true(kp_annotation_info("coroot.com/profile-port", &info));
    assert_string_equal(info.dialect_name, "coroot");
    assert_false(kp_annotation_info("kube-pprof.dev/prot", &info));
    assert_false(kp_annotation_info("profiles.grafana.com/disk.port", &info));
    assert_string_equal(kp_annotation_nearest("kube-pprof.dev/prot"), "kube-pprof.dev/port");
    assert_null(kp_annotation_nearest("kube-pprof.dev/something-else"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_said),
        cmocka_unit_test(test_own_keys),
        cmocka_unit_test(test_a_port_may_be_a_name),
        cmocka_unit_test(test_profefe),
        cmocka_unit_test(test_own_before_profefe_before_others),
        cmocka_unit_test(test_no_always_wins),
        cmocka_unit_test(test_dialects_that_are_off_mean_nothing),
        cmocka_unit_test(test_grafana_gives_each_type_its_own_port),
        cmocka_unit_test(test_pyroscope_and_coroot),
        cmocka_unit_test(test_what_cannot_be_read_is_reported),
        cmocka_unit_test(test_problems_and_values_are_bounded),
        cmocka_unit_test(test_what_keys_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
