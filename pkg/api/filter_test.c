// focus, ignore and hide in what is answered as pprof: as `go tool pprof -proto` would write it. The golden
// files come from testdata/filter/make.
#include "api/api_fixture.h"

#include <stdio.h>

#include "base/text.h"
#include "profile/profile.h"
#include "report/report.h"
#include "base/banned.h"

static struct bench_answer answer;

static void push(struct bench *b, const char *pod, const char *file)
{
    size_t len;
    kp_auto_free char *path = kp_asprintf("%s/profefe/corpus/etcd/%s", KP_TESTDATA, file);
    kp_auto_free char *url = kp_asprintf("/api/v1/profiles?service=etcd&type=cpu&labels=pod=%s", pod);
    kp_auto_free char *bytes = kp_test_read_file(path, &len);
    bench_request(b, "POST", url, NULL, bytes, len, &answer);
    assert_int_equal(answer.status, 201);
}

static void add_param(struct kp_strbuf *url, const char *name, const char *value)
{
    if (kp_streq(value, "-"))
        return;
    kp_strbuf_addf(url, "&%s=", name);
    for (const char *p = value; *p; p++)
        kp_strbuf_addf(url, "%%%02x", (unsigned char)*p);
}

static void add_time(struct kp_strbuf *out, int64_t ns)
{
    kp_strbuf_addf(out, ns != 0 ? "%lldns" : "%lld", (long long)ns);
}

// As make has it.
static char *say(bool with_total)
{
    struct kp_profile *p;
    struct kp_top *top = NULL;
    struct kp_strbuf out;
    const struct kp_report_options options = {.sample_type = "cpu", .limit = 40};
    struct kp_error err = {0};
    if (kp_profile_decode(answer.body, answer.len, NULL, &p, &err) != 0 ||
        kp_report_top(p, &options, &top, &err) != 0)
        fail_msg("%s", err.text);
    kp_strbuf_init(&out, 65536);
    if (with_total) {
        add_time(&out, top->total);
        kp_strbuf_addc(&out, '\n');
    }
    for (size_t i = 0; i < top->n; i++) {
        const struct kp_top_row *row = &top->rows[i];
        add_time(&out, row->flat);
        kp_strbuf_addc(&out, ' ');
        add_time(&out, row->cum);
        kp_strbuf_addf(&out, " %s%s\n", row->name,
            row->inlined  ? " (inline)"
            : row->partly ? " (partial-inline)"
                          : "");
    }
    kp_top_free(top);
    kp_profile_free(p);
    return kp_strbuf_take(&out, NULL);
}

static void check(struct bench *b, const char *url, const char *golden_name, bool with_total)
{
    kp_auto_free char *path = kp_asprintf("%s/filter/%s.txt", KP_TESTDATA, golden_name);
    kp_auto_free char *golden = kp_test_read_file(path, NULL);
    bench_get(b, url, 200, &answer);
    kp_auto_free char *got = say(with_total);
    size_t same = 0;
    while (got[same] == golden[same] && got[same] != '\0')
        same++;
    while (same > 0 && got[same - 1] != '\n')
        same--;
    if (!kp_streq(got, golden))
        fail_msg("%s: '%.200s' instead of '%.200s'", golden_name, got + same, golden + same);
}

static void check_case(struct bench *b, const char *name, const char *const filters[3])
{
    static const char *const names[] = {"focus", "ignore", "hide"};
    struct kp_strbuf url;
    kp_strbuf_init(&url, 4096);
    kp_strbuf_adds(&url, "/api/v1/merge?service=etcd&type=cpu");
    for (int i = 0; i < 3; i++)
        add_param(&url, names[i], filters[i]);
    check(b, url.data, name, true);
    kp_strbuf_clear(&url);
    kp_strbuf_adds(
        &url, "/api/v1/diff?service=etcd&type=cpu&format=pprof&selector=pod%3Da&baseSelector=pod%3Db");
    for (int i = 0; i < 3; i++)
        add_param(&url, names[i], filters[i]);
    kp_auto_free char *diff = kp_asprintf("%s.diff", name);
    check(b, url.data, diff, false);
    kp_strbuf_finish(&url);
}

static void test_as_go_tool_pprof_writes_it(void **state)
{
    (void)state;
    struct bench *b = bench_start((struct kp_api_options){0});
    kp_auto_free char *cases = kp_test_read_file(KP_TESTDATA "/filter/cases.txt", NULL);
    int n = 0;
    char *save = NULL;
    push(b, "a", "cpu.01.pb.gz");
    push(b, "b", "cpu.02.pb.gz");
    push(b, "c", "cpu.03.pb.gz");
    for (char *line = strtok_r(cases, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char name[64], focus[64], ignore[64], hide[64];
        if (line[0] == '#')
            continue;
        assert_int_equal(sscanf(line, "%63s %63s %63s %63s", name, focus, ignore, hide), 4); // NOLINT
        check_case(b, name, (const char *const[]){focus, ignore, hide});
        n++;
    }
    assert_int_equal(n, 8);
    bench_answer_clear(&answer);
    bench_stop(b);
}

// The base is scaled to the profile before it is taken away: of two halves of a thing nothing is left.
static void test_a_difference_is_normalized(void **state)
{
    (void)state;
    struct bench *b = bench_start((struct kp_api_options){0});
    push(b, "a", "cpu.01.pb.gz");
    push(b, "b", "cpu.02.pb.gz");
    bench_get(b,
        "/api/v1/"
        "diff?service=etcd&type=cpu&format=pprof&normalize=true&selector=pod%3Da&baseSelector=pod%3Db",
        200, &answer);
    struct kp_profile *p;
    assert_int_equal(kp_profile_decode(answer.body, answer.len, NULL, &p, NULL), 0);
    int cpu = kp_profile_type_index(p, "cpu");
    int64_t total = kp_profile_total(p, (uint32_t)cpu);
    assert_true(total > -10000 && total < 10000); // what rounding leaves of 5 s
    kp_profile_free(p);
    bench_answer_clear(&answer);
    bench_stop(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_go_tool_pprof_writes_it),
        cmocka_unit_test(test_a_difference_is_normalized),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
