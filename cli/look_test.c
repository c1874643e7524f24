#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "base/text.h"
#include "cli/program_testing.h"
#include "profile/merge.h"
#include "profile/profile.h"
#include "base/banned.h"

#define CORPUS KP_TESTDATA "/../../pkg/profile/testdata/corpus/"
#define ODD    KP_TESTDATA "/../../pkg/profile/testdata/odd/"

static const char cpu[] = CORPUS "etcd-cpu.pb.gz";
static const char heap[] = CORPUS "prom-heap.pb.gz";
static const char labels[] = ODD "labels-1.pb.gz";
static const char later[] = KP_TESTDATA "/../../pkg/report/testdata/profiles/etcd-cpu-later.pb.gz";

#define ALL_WELL(ran, ...)                                                                                   \
    do {                                                                                                     \
        kp_run(ran, __VA_ARGS__);                                                                            \
        assert_string_equal((ran)->err, "");                                                                 \
        assert_int_equal((ran)->status, 0);                                                                  \
    } while (0)

// What `go tool pprof -top` prints of the same files (testdata/top/make), byte by byte.
static void test_top_is_pprofs(void **state)
{
    static const struct {
        const char *golden, *words[12];
    } rows[] = {
        {"cpu", {cpu}},
        {"cpu-lines-cum", {cpu, "--by", "line", "--cum"}},
        {"cpu-files", {cpu, "--by=file"}},
        {"cpu-focus", {cpu, "--focus", "Range", "--ignore", "Marshal", "--hide", "runtime"}},
        {"cpu-ten", {cpu, "--limit", "10"}},
        {"cpu-two", {cpu, later}},
        {"heap", {heap}},
        {"heap-alloc", {heap, "--sample-type", "alloc_objects"}},
        {"goroutine", {CORPUS "prom-goroutine.pb.gz"}},
        {"mutex", {CORPUS "etcd-mutex.pb.gz"}},
    };
    (void)state;
    struct kp_ran ran = {0};
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        const char *words[16] = {"top"};
        for (size_t k = 0; rows[i].words[k]; k++)
            words[k + 1] = rows[i].words[k];
        kp_auto_free char *path = kp_asprintf(KP_TESTDATA "/top/%s.txt", rows[i].golden);
        kp_run_program(words, NULL, NULL, &ran);
        assert_string_equal(ran.err, "");
        assert_int_equal(ran.status, 0);
        kp_auto_free char *golden = kp_test_read_file(path, NULL);
        assert_string_equal(ran.out, golden);
    }
    kp_ran_finish(&ran);
}

static void test_standard_input(void **state)
{
    (void)state;
    struct kp_ran ran = {0};
    kp_auto_free char *golden = kp_test_read_file(KP_TESTDATA "/top/cpu.txt", NULL);
    kp_run_program((const char *const[]){"top", "-", NULL}, NULL, cpu, &ran);
    assert_string_equal(ran.out, golden);
    kp_run_program((const char *const[]){"top", "-", NULL}, NULL, ODD "goroutine-debug1.txt", &ran);
    assert_int_equal(ran.status, 0); // a legacy text
    assert_non_null(strstr(ran.out, "Type: goroutine"));
    kp_run_program((const char *const[]){"top", "-", NULL}, NULL, ODD "raw.pb", &ran);
    assert_int_equal(ran.status, 0); // not gzip
    kp_run(&ran, "top", "-");
    assert_string_equal(ran.err, "error: standard input: not a pprof profile: there are no bytes\n");
    kp_ran_finish(&ran);
}

static void test_other_forms_of_top(void **state)
{
    (void)state;
    struct kp_ran ran = {0};
    ALL_WELL(&ran, "top", cpu, "-o", "json", "--limit", "2", "--by", "package");
    assert_true(
        kp_starts_with(ran.out, "{\"sampleType\":\"cpu\",\"unit\":\"nanoseconds\",\"by\":\"package\""));
    assert_true(kp_ends_with(ran.out, "]}\n"));
    ALL_WELL(&ran, "top", cpu, "--limit", "1", "--no-headers");
    assert_null(strchr(strchr(ran.out, '\n') + 1, '\n'));
    assert_non_null(strstr(ran.out, "runtime/internal/syscall.Syscall6"));
    ALL_WELL(&ran, "top", labels, "--by", "label=label");
    kp_ran_finish(&ran);
}

static void test_tree(void **state)
{
    (void)state;
    struct kp_ran ran = {0};
    ALL_WELL(&ran, "tree", cpu, "--limit", "20", "--focus", "Range");
    assert_non_null(strstr(ran.out, "google.golang.org/grpc.(*Server).serveStreams.func1.2"));
    assert_true(kp_starts_with(ran.out, "cpu, 5.67s in all"));
    ALL_WELL(&ran, "tree", cpu, "-o", "json");
    assert_true(kp_starts_with(ran.out, "{\"sampleType\""));
    kp_ran_finish(&ran);
}

static mode_t mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode;
}

static void test_flame(void **state)
{
    (void)state;
    struct kp_ran ran = {0};
    char *dir = kp_test_tmpdir();
    kp_auto_free char *path = kp_asprintf("%s/graph.html", dir);
    ALL_WELL(&ran, "flame", cpu);
    assert_true(kp_starts_with(ran.out, "cpu, 5.67s in all"));
    ALL_WELL(&ran, "flame", cpu, "--format", "folded");
    assert_non_null(strstr(ran.out, "net/http.(*conn).serve;net/http.serverHandler.ServeHTTP;"));
    ALL_WELL(&ran, "flame", cpu, "--format", "svg", "--base", later);
    assert_non_null(strstr(ran.out, "<svg"));
    ALL_WELL(&ran, "flame", cpu, "--format", "html", "-O", path);
    assert_string_equal(ran.out, "");
    kp_auto_free char *html = kp_test_read_file(path, NULL);
    assert_non_null(strstr(html, "<html"));
    kp_run(&ran, "flame", cpu, "--format", "html", "-O", path); // not twice
    assert_int_equal(ran.status, 1);
    assert_non_null(strstr(ran.err, "--force"));
    ALL_WELL(&ran, "flame", cpu, "--format", "json", "-O", path, "--force");
    ALL_WELL(&ran, "flame", cpu, "--format", "json", "-O", "/dev/null"); // nothing is put in its place
    assert_true(S_ISCHR(mode_of("/dev/null")));
    kp_ran_finish(&ran);
    kp_test_rmdir(dir);
}

static void test_a_files_suffix_says_the_format(void **state)
{
    static const struct {
        const char *suffix, *holds;
    } cases[] = {{"svg", "<svg"}, {"html", "<!doctype html>"}, {"folded", ";"}, {"json", "{\"sampleType\""}};
    char *dir = kp_test_tmpdir();
    struct kp_ran ran = {0};
    (void)state;
    for (size_t i = 0; i < KP_COUNT(cases); i++) {
        kp_auto_free char *path = kp_asprintf("%s/graph.%s", dir, cases[i].suffix);
        ALL_WELL(&ran, "flame", cpu, "-O", path);
        kp_auto_free char *text = kp_test_read_file(path, NULL);
        assert_non_null(strcasestr(text, cases[i].holds));
        assert_null(strstr(text, "in all;")); // the table
    }
    kp_ran_finish(&ran);
    kp_test_rmdir(dir);
}

static void test_a_base_of_another_length_is_told(void **state)
{
    char *sum = kp_test_tmpdir();
    kp_auto_free char *path = kp_asprintf("%s/sum.pb.gz", sum);
    struct kp_ran ran = {0};
    (void)state;
    ALL_WELL(&ran, "merge", cpu, later, "-O", path);
    kp_run(&ran, "diff", cpu, path);
    assert_int_equal(ran.status, 0);
    assert_non_null(strstr(ran.err, "values differ for that alone; --normalize"));
    ALL_WELL(&ran, "diff", cpu, path, "--normalize");
    kp_ran_finish(&ran);
    kp_test_rmdir(sum);
}

static void test_diff(void **state)
{
    (void)state;
    struct kp_ran ran = {0};
    ALL_WELL(&ran, "diff", cpu, later, "--limit", "3");
    assert_non_null(strstr(ran.out, "  base flat   base cum"));
    assert_non_null(strstr(ran.out, "-360ms  6.35%  6.35%     -360ms  6.35%      730ms      730ms"));
    kp_auto_free char *plain = kp_strdup(ran.out);
    ALL_WELL(&ran, "diff", later, "--base", cpu, "--limit", "3");
    assert_string_equal(ran.out, plain);
    ALL_WELL(&ran, "diff", cpu, later, "-o", "json", "--normalize");
    assert_non_null(strstr(ran.out, "\"baseTotal\":"));
    ALL_WELL(&ran, "diff", cpu, later, "--format", "folded");
    assert_non_null(strstr(ran.out, "net/http.(*conn).serve;"));
    kp_run(&ran, "diff", cpu, heap);
    assert_int_equal(ran.status, 1);
    assert_non_null(strstr(ran.err, "cannot be compared"));
    kp_ran_finish(&ran);
}

static struct kp_profile *decode(const struct kp_ran *ran)
{
    struct kp_profile *ret = NULL;
    assert_int_equal(kp_profile_decode(ran->out, ran->out_len, NULL, &ret, NULL), 0);
    return ret;
}

static void test_merge(void **state)
{
    (void)state;
    struct kp_ran ran = {0};
    ALL_WELL(&ran, "merge", cpu, later);
    kp_auto_profile *both = decode(&ran);
    assert_int_equal(kp_profile_total(both, 1), 10190000000);
    ALL_WELL(&ran, "merge", cpu, "--focus", "Range");
    kp_auto_profile *some = decode(&ran);
    assert_true(kp_profile_total(some, 1) > 0 && kp_profile_total(some, 1) < 5670000000);
    kp_run(&ran, "merge", cpu, "--focus", "no such function");
    assert_int_equal(ran.status, 1);
    assert_string_equal(ran.out, "");
    ALL_WELL(&ran, "diff", cpu, later, "--format", "pprof"); // of which totals are differences
    kp_auto_profile *difference = decode(&ran);
    assert_int_equal(kp_profile_total(difference, 1), 4520000000 - 5670000000);
    ALL_WELL(&ran, "diff", cpu, later, "--format", "pprof", "--normalize");
    kp_auto_profile *shares = decode(&ran);
    assert_true(llabs(kp_profile_total(shares, 1)) < 100000); // rounded sample by sample
    kp_ran_finish(&ran);
}

// Exit status and answer are as of an idle program; that it is the flag's doing is said.
static void test_a_filter_that_leaves_nothing(void **state)
{
    static const char *const commands[] = {"top", "tree", "flame"};
    struct kp_ran ran = {0};
    (void)state;
    for (size_t i = 0; i < KP_COUNT(commands); i++) {
        kp_run(&ran, commands[i], cpu, "--focus", "no such function", "--hide", "x");
        assert_int_equal(ran.status, 0);
        assert_non_null(strstr(ran.err, "nothing is left by --focus 'no such function', --hide 'x'\n"));
        ALL_WELL(&ran, commands[i], cpu, "--focus", "Range");
    }
    kp_ran_finish(&ran);
}

static void test_failures_are_named(void **state)
{
    (void)state;
    struct kp_ran ran = {0};
    static const struct {
        const char *path, *says;
    } rows[] = {
        {"/nonexistent/a.pb.gz", "error: cannot read '/nonexistent/a.pb.gz': No such file or directory\n"},
        {ODD "cut.pb.gz", "cut.pb.gz: "},
        {ODD "not-a-profile.txt", "not-a-profile.txt: "},
    };
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        kp_run(&ran, "top", rows[i].path);
        assert_int_equal(ran.status, 1);
        assert_non_null(strstr(ran.err, rows[i].says));
        assert_string_equal(ran.out, "");
    }
    kp_run(&ran, "top", cpu, "--sample-type", "inuse_space");
    assert_int_equal(ran.status, 1);
    kp_ran_finish(&ran);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_top_is_pprofs),
        cmocka_unit_test(test_standard_input),
        cmocka_unit_test(test_other_forms_of_top),
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_flame),
        cmocka_unit_test(test_diff),
        cmocka_unit_test(test_a_base_of_another_length_is_told),
        cmocka_unit_test(test_a_files_suffix_says_the_format),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_a_filter_that_leaves_nothing),
        cmocka_unit_test(test_failures_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
