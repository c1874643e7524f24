#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "cli/program_testing.h"
#include "cli/source.h"
#include "base/banned.h"

static void test_ids(void **state)
{
    (void)state;
    assert_true(kp_source_is_id("01kd2p9v7q3m8x5tz4c6r1w0e"));  // ours
    assert_true(kp_source_is_id("9bsv0s3ipt32jfck6kt0"));       // profefe's
    assert_false(kp_source_is_id("01kd2p9v7q3m8x5tz4c6r1w0"));  // too short
    assert_false(kp_source_is_id("01kd2p9v7q3m8x5tz4c6r1w0i")); // no letter of the alphabet
    assert_false(kp_source_is_id("1kd2p9v7q3m8x5tz4c6r1w0e0")); // of the year 3084
    assert_false(kp_source_is_id("kubernetesdashboards"));      // letters of profefe's alphabet only
    assert_false(kp_source_is_id(""));
}

static void test_kinds(void **state)
{
    static const struct {
        const char *arg, *kind, *name;
    } rows[] = {
        {"deploy/checkout", "Deployment", "checkout"},
        {"Deployment/checkout", "Deployment", "checkout"},
        {"deployments.apps/checkout", "Deployment", "checkout"},
        {"sts/db", "StatefulSet", "db"},
        {"ds/agent", "DaemonSet", "agent"},
        {"job/nightly", "Job", "nightly"},
        {"cj/nightly", "CronJob", "nightly"},
        {"po/checkout-7d9f-x2", "Pod", "checkout-7d9f-x2"},
        {"rollout/checkout", "Rollout", "checkout"},
        {"svc/checkout", NULL, NULL},
        {"deploy/", NULL, NULL},
        {"deploy/a/b", NULL, NULL},
        {"checkout", NULL, NULL},
        {"dep/checkout", NULL, NULL},
        {"/checkout", NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        const char *name = NULL;
        const char *kind = kp_source_workload_kind(rows[i].arg, &name);
        if (rows[i].kind == NULL) {
            assert_null(kind);
            continue;
        }
        assert_non_null(kind);
        assert_string_equal(kind, rows[i].kind);
        assert_string_equal(name, rows[i].name);
    }
}

static void write_file(const char *dir, const char *name, const char *text, size_t len)
{
    kp_auto_free char *path = kp_asprintf("%s/%s", dir, name);
    assert_int_equal(kp_file_write_atomic(path, text, len, 0600, NULL), 0);
}

static void test_what_an_argument_is(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    char here[4096];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(dir), 0);
    write_file(dir, "saved", "x", 1);
    write_file(dir, "checkout",
        "\x7f"
        "ELF..",
        6); // what go build leaves
    write_file(dir, "01kd2p9v7q3m8x5tz4c6r1w0e", "x", 1);
    assert_int_equal(kp_dir_create("folder", 0700, NULL), 0);
    static const struct {
        const char *arg;
        enum kp_source_kind kind;
    } rows[] = {
        {"-", KP_SOURCE_FILES},
        {"saved", KP_SOURCE_FILES},
        {"01kd2p9v7q3m8x5tz4c6r1w0e", KP_SOURCE_FILES}, // it is there
        {"01kd2p9v7q3m8x5tz4c6r1w0f", KP_SOURCE_IDS},
        {"checkout", KP_SOURCE_WORKLOAD},
        {"./checkout", KP_SOURCE_FILES},
        {"folder", KP_SOURCE_WORKLOAD},
        {"absent", KP_SOURCE_WORKLOAD},
        {"absent.pb.gz", KP_SOURCE_FILES},
        {"../absent", KP_SOURCE_FILES},
        {"/absent", KP_SOURCE_FILES},
        {"cpu.out", KP_SOURCE_FILES},
        {"deploy/checkout", KP_SOURCE_WORKLOAD},
    };
    for (size_t i = 0; i < KP_COUNT(rows); i++)
        if (kp_source_kind_of(rows[i].arg) != rows[i].kind)
            fail_msg("%s is %d", rows[i].arg, kp_source_kind_of(rows[i].arg));
    assert_int_equal(chdir(here), 0);
    kp_test_rmdir(dir);
}

static void check_usage(const char *const *words, const char *says)
{
    struct kp_ran ran = {0};
    kp_run_program(words, NULL, NULL, &ran);
    if (ran.status != 2 || strstr(ran.err, says) == NULL)
        fail_msg("status %d, and it says %s", ran.status, ran.err);
    assert_string_equal(ran.out, "");
    kp_ran_finish(&ran);
}

static void test_arguments_that_make_no_sense(void **state)
{
    (void)state;
#define WRONG(says, ...) check_usage((const char *const[]){__VA_ARGS__, NULL}, says)
    WRONG("say of what", "top");
    WRONG("one workload at a time", "top", "a", "b");
    WRONG("they are not added up", "top", "a.pb.gz", "b");
    WRONG("choose profiles of a workload", "top", "a.pb.gz", "--from", "-1h");
    WRONG("choose profiles of a workload", "merge", "01kd2p9v7q3m8x5tz4c6r1w0e", "-t", "heap");
    WRONG("says --sample-type", "top", "a.pb.gz", "-t", "heap");
    WRONG("one type at a time", "top", "a", "-t", "cpu,heap");
    WRONG("no KIND/NAME", "top", "svc/a");
    WRONG("--by 'x'", "top", "a.pb.gz", "--by", "x");
    WRONG("--focus", "top", "a.pb.gz", "--focus", "(");
    WRONG("-o 'yaml'", "top", "a.pb.gz", "-o", "yaml");
    WRONG("--format 'png'", "flame", "a.pb.gz", "--format", "png");
    WRONG("say what to compare with", "diff", "a");
    WRONG("the first is the base", "diff", "a.pb.gz", "b.pb.gz", "c.pb.gz");
    WRONG("of files and ids name both", "diff", "a.pb.gz", "--base-from", "-1h");
    WRONG("--service", "load", "a.pb.gz");
    WRONG("KEY=VALUE", "load", "a.pb.gz", "--service", "s", "--label", "x");
    WRONG("no id", "download", "checkout");
    WRONG("one file cannot hold", "download", "-O", "x", "01kd2p9v7q3m8x5tz4c6r1w0e",
        "01kd2p9v7q3m8x5tz4c6r1w0f");
    WRONG("the registry makes the file", "pgo", "a.pb.gz");
#undef WRONG
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_what_an_argument_is),
        cmocka_unit_test(test_arguments_that_make_no_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
