#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/text.h"
#include "cli/gotest.h"
#include "cli/guess.h"
#include "cli/overlap.h"
#include "cli/program_testing.h"
#include "profile/filter.h"
#include "testkit/pprof.h"
#include "base/banned.h"

static struct kp_profile *decode(const void *data, size_t len)
{
    struct kp_profile *ret = NULL;
    assert_int_equal(kp_profile_decode(data, len, NULL, &ret, NULL), 0);
    return ret;
}

static struct kp_profile *make(const struct kp_pprof_recipe *recipe)
{
    size_t len;
    kp_auto_free uint8_t *data = kp_pprof_make(recipe, &len);
    return decode(data, len);
}

static struct kp_profile *load(const char *name)
{
    size_t len;
    kp_auto_free char *path = kp_asprintf(KP_TESTDATA "/../../pkg/%s", name);
    kp_auto_free char *data = kp_test_read_file(path, &len);
    return decode(data, len);
}

// ---- types ----

static void test_types(void **state)
{
    static const struct {
        const char *types[5], *guess;
    } rows[] = {
        {{"samples/count", "cpu/nanoseconds", NULL}, "cpu"},
        {{"alloc_objects/count", "alloc_space/bytes", "inuse_objects/count", "inuse_space/bytes", NULL},
            "heap"},
        {{"samples/count", "time/nanoseconds", NULL}, "fgprof"}, {{"goroutine/count", NULL}, "goroutine"},
        {{"threadcreate/count", NULL}, "threadcreate"}, {{"wall/nanoseconds", NULL}, "wall"},
        {{"off-cpu/nanoseconds", NULL}, "off-cpu"}, {{"Objects/count", NULL}, NULL}, // no name of a type
    };
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        char out[64];
        kp_auto_profile *p = make(&(struct kp_pprof_recipe){.sample_types = rows[i].types, .stacks = 2});
        const char *guess = kp_guess_type(p, out, sizeof out);
        if (!kp_streq(guess, rows[i].guess))
            fail_msg("%s is taken for %s", rows[i].types[0], guess);
    }
}

static void test_traces(void **state)
{
    (void)state;
    assert_true(kp_guess_is_trace("go 1.22 trace\0\0\0", 16));
    assert_true(kp_guess_is_trace("go 1.5 trace\0\0\0\0", 16));
    assert_false(kp_guess_is_trace("go 1.22 trace", 13));
    assert_false(kp_guess_is_trace("goroutine profile: total 4", 26));
    assert_false(kp_guess_is_trace("", 0));
}

static void test_what_somebody_says(void **state)
{
    (void)state;
    assert_true(kp_guess_contradicts("cpu", "heap"));
    assert_true(kp_guess_contradicts("heap", "trace"));
    assert_true(kp_guess_contradicts("trace", "goroutine"));
    assert_false(kp_guess_contradicts("heap", "allocs"));
    assert_false(kp_guess_contradicts("block", "mutex"));
    assert_false(kp_guess_contradicts("cpu", "cpu"));
    assert_false(kp_guess_contradicts("cpu", "render"));
    assert_false(kp_guess_contradicts("wall", "cpu"));
}

// ---- go test ----

// A profile of a test program with these functions.
static void read_functions(const char *const *names, const char *binary, struct kp_go_test *ret)
{
    unsigned n = 0;
    while (names[n])
        n++;
    kp_auto_profile *p = make(&(struct kp_pprof_recipe){.stacks = n, .binary = binary});
    assert_true(p->n_functions >= n);
    for (unsigned i = 0; i < n; i++) // the first functions get these names
        p->strings[p->functions[i].name] = (struct kp_str){names[i], (uint32_t)strlen(names[i])};
    *ret = (struct kp_go_test){0};
    kp_go_test_read(p, ret);
}

static void test_one_benchmark(void **state)
{
    (void)state;
    struct kp_go_test t;
    read_functions((const char *const[]){"example.com/mod.v2/hash.BenchmarkSum", "testing.(*B).runN",
                       "example.com/mod.v2/hash.BenchmarkSum.func1", NULL},
        "/tmp/go-build1/b001/hash.test", &t);
    assert_string_equal(t.package, "example.com/mod.v2/hash");
    assert_string_equal(t.benchmark, "BenchmarkSum");
    assert_string_equal(t.binary, "hash");
    kp_go_test_finish(&t);
    read_functions((const char *const[]){"hash_test.BenchmarkSum", NULL}, "/x/hash.test", &t);
    assert_string_equal(t.package, "hash");
    kp_go_test_finish(&t);
}

static void test_several_and_none(void **state)
{
    (void)state;
    struct kp_go_test t;
    read_functions((const char *const[]){"a/b.BenchmarkX", "a/b.BenchmarkY", NULL}, "/x/b.test", &t);
    assert_null(t.benchmark);
    assert_int_equal(t.n_benchmarks, 2);
    assert_string_equal(t.package, "a/b");
    kp_go_test_finish(&t);
    read_functions(
        (const char *const[]){"a/b.Benchmarks", "a/b.(*T).BenchmarkX", "BenchmarkX", "a.b/c", NULL},
        "/bin/server", &t);
    assert_null(t.benchmark);
    assert_null(t.package);
    assert_null(t.binary);
    kp_go_test_finish(&t);
}

static void run_git(const char *dir, const char *words)
{
    kp_auto_free char *line =
        kp_asprintf("git -C '%s' -c user.name=a -c user.email=a@b -c init.defaultBranch=m %s", dir, words);
    pid_t pid;
    int status = -1;
    char shell[] = "sh";
    char option[] = "-c";
    char *argv[] = {shell, option, line, NULL};
    assert_int_equal(posix_spawnp(&pid, "sh", NULL, NULL, argv, environ), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void check_commit(const char *path, const struct kp_profile *p, const char *end, bool is_dirty)
{
    struct kp_go_test t;
    kp_go_test_find(path, p, &t);
    assert_non_null(t.commit);
    assert_int_equal(strspn(t.commit, "0123456789abcdef"), 40);
    assert_string_equal(t.commit + 40, end);
    assert_int_equal(is_dirty, kp_ends_with(t.commit, "-dirty"));
    kp_go_test_finish(&t);
}

static void test_commit(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    kp_auto_free char *path = kp_asprintf("%s/cpu.out", dir);
    kp_auto_free char *source = kp_asprintf("%s/a.go", dir);
    kp_auto_profile *p = make(&(struct kp_pprof_recipe){.stacks = 1});
    assert_int_equal(kp_file_write_atomic(source, "a", 1, 0600, NULL), 0);
    run_git(dir, "init -q");
    run_git(dir, "add a.go");
    run_git(dir, "commit -q -m a");
    check_commit(path, p, "", false);
    assert_int_equal(kp_file_write_atomic(path, "x", 1, 0600, NULL), 0); // it is no part of the program
    check_commit(path, p, "", false);
    assert_int_equal(kp_file_write_atomic(source, "b", 1, 0600, NULL), 0);
    check_commit(path, p, "-dirty", true);
    kp_test_rmdir(dir);
}

// ---- overlap ----

static void test_overlap(void **state)
{
    (void)state;
    kp_auto_profile *cpu = load("profile/testdata/corpus/etcd-cpu.pb.gz");
    kp_auto_profile *later = load("report/testdata/profiles/etcd-cpu-later.pb.gz");
    kp_auto_profile *other = load("profile/testdata/corpus/prom-cpu.pb.gz");
    kp_auto_profile *doubled = load("profile/testdata/corpus/etcd-cpu.pb.gz");
    kp_profile_scale(doubled, (const double[]){2, 2});
    assert_true(kp_overlap(cpu, cpu) > 0.999999 && kp_overlap(cpu, cpu) < 1.000001);
    double same = kp_overlap(cpu, doubled);
    assert_true(same > 0.999999 && same < 1.000001); // of shares
    double near = kp_overlap(cpu, later);
    double far = kp_overlap(cpu, other);
    assert_true(near > 0.1 && near < 0.95);
    assert_true(far > 0 && far < near); // both have the runtime
    double back = kp_overlap(later, cpu);
    assert_true(near - back < 1e-9 && back - near < 1e-9);
    kp_auto_profile *empty = kp_profile_new();
    assert_true(kp_overlap(cpu, empty) == 0);
}

// Half the weight in the same call, the other half in another: shares of 1/2 and 1/2.
static void test_overlap_by_hand(void **state)
{
    (void)state;
    kp_auto_profile *a = make(&(struct kp_pprof_recipe){.stacks = 2, .depth = 2});
    kp_auto_profile *b = make(&(struct kp_pprof_recipe){.stacks = 2, .depth = 2});
    uint32_t types = a->n_sample_types;
    for (uint32_t s = 0; s < 2; s++)
        for (uint32_t t = 0; t < types; t++) {
            a->values[s * types + t] = 10;
            b->values[s * types + t] = s == 0 ? 3 : 1; // shares of 3/4 and 1/4
        }
    double overlap = kp_overlap(a, b);
    assert_true(overlap > 0.7499 && overlap < 0.7501);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_traces),
        cmocka_unit_test(test_what_somebody_says),
        cmocka_unit_test(test_one_benchmark),
        cmocka_unit_test(test_several_and_none),
        cmocka_unit_test(test_commit),
        cmocka_unit_test(test_overlap),
        cmocka_unit_test(test_overlap_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
