// Policies in files: what is in them, and what is to be said of them.
#include "cli/golden_testing.h"

#include <glob.h>

#include "cli/lint.h"
#include "cli/policyfile.h"
#include "cli/program_testing.h"
#include "base/banned.h"

#define EXAMPLES KP_TESTDATA "/../../crds/examples/"

// "severity field message" of each finding, a line each.
static char *lint_text(const char *text)
{
    struct kp_lint *lint = kp_lint_create();
    struct kp_policyfile files = {0};
    json_t *findings = json_array();
    kp_auto_strbuf out;
    size_t i;
    json_t *finding;
    kp_strbuf_init(&out, 65536);
    kp_policyfile_split(&files, "f", text, strlen(text));
    for (i = 0; i < files.items.n; i++)
        if (files.items.items[i].object != NULL)
            kp_lint_object(lint, files.items.items[i].object, findings);
        else
            kp_strbuf_addf(&out, "unreadable: %s\n", files.items.items[i].problem);
    json_array_foreach(findings, i, finding)
        kp_strbuf_addf(&out, "%s: %s: %s\n", json_string_value(json_object_get(finding, "severity")),
            json_string_value(json_object_get(finding, "field")),
            json_string_value(json_object_get(finding, "message")));
    json_decref(findings);
    kp_policyfile_finish(&files);
    kp_lint_destroy(lint);
    return kp_strbuf_take(&out, NULL);
}

static size_t lint_examples(const char *pattern, bool wrong)
{
    glob_t found;
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        kp_auto_free char *text = NULL;
        assert_int_equal(kp_file_read(found.gl_pathv[i], 1 << 20, &text, NULL, NULL), 0);
        kp_auto_free char *said = lint_text(text);
        if (strstr(said, "unreadable") != NULL || (strstr(said, "error: ") != NULL) != wrong)
            fail_msg("%s:\n%s", found.gl_pathv[i], said);
    }
    size_t n = found.gl_pathc;
    globfree(&found);
    return n;
}

// Every file the API server refuses is refused here as well, without one.
static void test_examples_of_the_crds(void **state)
{
    (void)state;
    assert_true(lint_examples(EXAMPLES "invalid/*.yaml", true) >= 31);
    assert_true(lint_examples(EXAMPLES "*.yaml", false) >= 3);
}

#define HEAD "apiVersion: kube-pprof.dev/v1alpha1\nkind: ProfilingPolicy\nmetadata: {name: a}\n"

static void check_said(const char *text, const char *expected)
{
    kp_auto_free char *said = lint_text(text);
    if (strcmp(said, expected) != 0)
        fail_msg("of\n%s\nis said:\n%s", text, said);
}

static void test_errors(void **state)
{
    (void)state;
    check_said(HEAD "spec: {selector: {}}\n", "");
    check_said(HEAD "spec: {selector: {}, profile: [{type: cpu}]}\n",
        "error: spec.profile: unknown field; did you mean spec.profiles?\n");
    check_said(HEAD "spec: {selector: {}, profiles: [{type: heap, intervall: 5m, every: 1m}]}\n",
        "error: spec.profiles[0].intervall: unknown field; did you mean spec.profiles[0].interval?\n"
        "error: spec.profiles[0].every: unknown field\n");
    check_said(HEAD "spec: {selector: {matchLabels: {app: 1}}, suspend: 'no', priority: 1.5}\n",
        "error: spec.selector.matchLabels.app: must be a text, but is a whole number\n"
        "error: spec.suspend: must be true or false, but is a text\n"
        "error: spec.priority: must be a whole number, but is a number\n");
    check_said(HEAD "spec: {selector: {}, priority: 1000001, annotationPolicy: honour}\n",
        "error: spec.priority: is above 1000000\n"
        "error: spec.annotationPolicy: 'honour' is none of Honor, Require, Ignore\n");
    check_said(HEAD "spec: {selector: {}, profiles: [{type: heap, interval: 170h}]}\n",
        "error: spec.profiles[0].interval: must be at most 168h\n");
    check_said(HEAD "spec: {selector: {}, namespaceSelector: {}}\n",
        "error: spec.namespaceSelector: unknown field\n");
    check_said("apiVersion: kube-pprof.dev/v1\nkind: ProfilingPolicy\nmetadata: {}\n",
        "error: metadata.name: is missing\n"
        "error: apiVersion: there is no version 'v1'; write kube-pprof.dev/v1alpha1\n");
    check_said("apiVersion: v1\nkind: ProfilingPolicy\n",
        "error: : is no policy: apiVersion must be kube-pprof.dev/v1alpha1, kind ProfilingPolicy or "
        "ClusterProfilingPolicy\n");
    check_said(
        "apiVersion: kube-pprof.dev/v1alpha1\nkind: ClusterProfilingPolicy\nmetadata: {name: A_b, namespace: "
        "x}\nspec: {selector: {matchLabels: {a: b}}}\n",
        "error: metadata.name: 'A_b' is no name: lower case letters, digits, '-' and '.'\n"
        "error: metadata.namespace: a ClusterProfilingPolicy is of no namespace; use namespaceSelector\n");
}

// As the API server does: whoever mends one need not ask again for the next.
static void test_all_errors_at_once(void **state)
{
    (void)state;
    check_said(HEAD
        "spec:\n  selector: {}\n  sampling: {replicas: 0}\n"
        "  endpoints: [{name: a, port: 1}, {name: b, port: 2, path: /a/../b}, {name: c, port: '7'}]\n"
        "  profiles: [{type: cpu, interval: 1s}, {type: heap}, {type: mutex, duration: 5s}, {type: "
        "allocs, interval: 200h}]\n",
        "error: spec.sampling: sampling.replicas must be at least 1, or a percentage above 0%\n"
        "error: spec.endpoints[1]: endpoint path '/a/../b' must start with '/' and hold no '..', '//', '?', "
        "'#', '%', '\\' or spaces\n"
        "error: spec.endpoints[2].port: '7' is neither a number from 1 to 65535 nor the name of a container "
        "port (lower case, with a letter)\n"
        "error: spec.profiles[0]: the interval of profile 'cpu' is shorter than 10s\n"
        "error: spec.profiles[2]: profile type 'mutex' takes no duration: it is read at once\n"
        "error: spec.profiles[3].interval: must be at most 168h\n");
    // also beside what the schema refuses, which the API server only says first
    check_said(HEAD
        "spec: {selector: {}, prio: 1, service: {source: Static}, profiles: [{type: cpu, interval: "
        "1s}, {type: [], interval: 1s}]}\n",
        "error: spec.prio: unknown field\n"
        "error: spec.profiles[1].type: must be a text, but is a list\n"
        "error: spec.service: service.value is missing\n"
        "error: spec.profiles[0]: the interval of profile 'cpu' is shorter than 10s\n");
}

static void test_warnings(void **state)
{
    (void)state;
    check_said(HEAD "spec: {selector: {}, profiles: [{type: cpu, interval: 1m, duration: 50s}]}\n",
        "warning: spec.profiles: costs about 2.5% of a process' CPU, budget.overheadPercent is 1: intervals "
        "will be "
        "stretched to about 3 times as long\n");
    check_said(HEAD "spec: {selector: {}, profiles: [{type: trace, interval: 1m}]}\n",
        "warning: spec.profiles[0]: traces every 1m are many and large; once in 10m or less often is "
        "usual\n");
    check_said(HEAD "spec: {selector: {}, profiles: [{type: cpu, interval: 10m, duration: 90s}]}\n",
        "warning: spec.profiles[0]: a duration of 90s is cut to 1m, unless the platform allows more "
        "(--max-duration)\n");
    check_said(HEAD "spec: {selector: {}, sampling: {replicas: 100%}, suspend: true}\n",
        "warning: spec.suspend: nothing is captured while it is true\n"
        "warning: spec.sampling.replicas: 100% of the pods of each revision: a few say as much, and cost "
        "less; 3 if not "
        "set\n");
    check_said(HEAD
        "spec: {selector: {}, endpoints: [{name: a, port: https, scheme: HTTPS, tls: {insecureSkipVerify: "
        "true}}]}\n",
        "warning: spec.endpoints[0]: insecureSkipVerify: whoever can answer at the address is believed; set "
        "tls.ca\n");
    check_said("apiVersion: kube-pprof.dev/v1alpha1\nkind: ClusterProfilingPolicy\nmetadata: {name: "
               "a}\nspec: {selector: "
               "{}, annotationPolicy: Ignore}\n",
        "warning: spec.selector: selects every pod of every namespace, the cluster's own as well; set a "
        "selector, a "
        "namespaceSelector, or annotationPolicy: Require\n"
        "warning: spec.annotationPolicy: Ignore: pods cannot say where pprof is, and there are no endpoints: "
        "only ports "
        "named pprof are found; only kube-pprof.dev/enable: \"false\" counts\n");
}

static void check_split(const char *text, const char *expected)
{
    struct kp_policyfile files = {0};
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 65536);
    kp_policyfile_split(&files, "f", text, strlen(text));
    for (size_t i = 0; i < files.items.n; i++) {
        char *json =
            files.items.items[i].object ? json_dumps(files.items.items[i].object, JSON_COMPACT) : NULL;
        kp_strbuf_addf(&out, "%s|", json ? json : files.items.items[i].problem);
        free(json);
    }
    kp_policyfile_finish(&files);
    assert_string_equal(out.data, expected);
}

static void test_documents(void **state)
{
    (void)state;
    check_split("", "");
    check_split("# only a comment\n", "");
    check_split("a: 1\n", "{\"a\":1}|");
    check_split("a: 1\n---\nb: 2", "{\"a\":1}|{\"b\":2}|");
    check_split("---\na: 1\n--- # next\nb: 2\n---\n# none\n---\n", "{\"a\":1}|{\"b\":2}|");
    check_split("%YAML 1.1\n# c\n---\na: 1\n", "{\"a\":1}|");
    check_split("--- {a: 1}\n--- {b: 2}\n", "{\"a\":1}|{\"b\":2}|");
    check_split("a: |\n  x\n  ---\n  y\n----: 1\n", "{\"a\":\"x\\n---\\ny\\n\",\"----\":1}|");
    check_split("{\"a\": 1}", "{\"a\":1}|");
    check_split("kind: List\nitems: [{a: 1}, {b: 2}]\n", "{\"a\":1}|{\"b\":2}|");
    check_split("- 1\n", "a document is no object; it begins with apiVersion and kind|");
    check_split("a: 1\r\n---\r\nb: 2\r\n", "{\"a\":1}|{\"b\":2}|");
}

static void test_where_it_is_wrong(void **state)
{
    struct kp_policyfile files = {0};
    static const char text[] = "a: 1\n---\nb: 2\nc: [\n---\nd: 4\n";
    (void)state;
    kp_policyfile_split(&files, "f", text, strlen(text));
    assert_int_equal(files.items.n, 3);
    assert_non_null(files.items.items[1].problem);
    assert_non_null(strstr(files.items.items[1].problem, "line 5")); // of the file
    assert_null(files.items.items[2].problem);
    kp_policyfile_finish(&files);
}

static void check_run(
    const char *const *words, const char *input, int status, const char *out, const char *err)
{
    struct kp_ran ran = {0};
    kp_run_program(words, NULL, input, &ran);
    if (ran.status != status || strcmp(ran.out, out) != 0 || strcmp(ran.err, err) != 0)
        fail_msg("status %d, out:\n%serr:\n%s", ran.status, ran.out, ran.err);
    kp_ran_finish(&ran);
}

static void test_the_command(void **state)
{
    (void)state;
    static const char fine[] = EXAMPLES "minimal.yaml";
    static const char wrong[] = EXAMPLES "invalid/scheme-grpc.yaml";
    static const char said[] =
        ": profilingpolicy/scheme-grpc: error: spec.endpoints[0].scheme: 'GRPC' is none of HTTP, HTTPS\n";
    kp_auto_free char *of_file = kp_asprintf("%s%s", wrong, said);
    kp_auto_free char *of_stdin = kp_asprintf("standard input%s", said);
    check_run(
        (const char *const[]){"policy", "lint", fine, NULL}, NULL, 0, "", "1 policy, 0 errors, 0 warnings\n");
    check_run((const char *const[]){"policy", "lint", fine, "-f", wrong, NULL}, NULL, 1, of_file,
        "2 policies, 1 error, 0 warnings\n");
    check_run((const char *const[]){"policy", "lint", "-", NULL}, wrong, 1, of_stdin,
        "1 policy, 1 error, 0 warnings\n");
    check_run((const char *const[]){"policy", "lint", wrong, "-o", "jsonpath={.items[*].field}", NULL}, NULL,
        1, "spec.endpoints[0].scheme", "");
    check_run((const char *const[]){"policy", "lint", "/nowhere/a.yaml", NULL}, NULL, 1,
        "/nowhere/a.yaml: error: cannot read '/nowhere/a.yaml': No such file or directory\n",
        "0 policies, 1 error, 0 warnings\n");
    check_run((const char *const[]){"policy", "lint", fine, fine, NULL}, NULL, 0,
        EXAMPLES "minimal.yaml: profilingpolicy/checkout: warning: is there before; the last one applied is "
                 "the one that counts\n",
        "2 policies, 0 errors, 1 warning\n");
}

static void test_what_init_prints_is_fine(void **state)
{
    struct kp_ran ran = {0};
    (void)state;
    kp_run(&ran, "policy", "init", "-t", "cpu,trace,heap,lock-waits", "-n", "shop");
    assert_int_equal(ran.status, 0);
    check_golden("init/plain.yaml", ran.out);
    check_said(ran.out, "");
    kp_ran_finish(&ran);
    kp_run(&ran, "policy", "init");
    check_said(ran.out, "");
    kp_ran_finish(&ran);
    kp_run(&ran, "policy", "init", "checkout");
    assert_int_equal(ran.status, 2);
    kp_ran_finish(&ran);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples_of_the_crds),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_all_errors_at_once),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_where_it_is_wrong),
        cmocka_unit_test(test_the_command),
        cmocka_unit_test(test_what_init_prints_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
