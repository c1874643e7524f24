// Export, import and their lines of JSON.
#include "controller/registry_tools.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <glob.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "testkit/peer.h"
#include "testkit/pprof.h"
#include "testkit/testkit.h"
#include "base/banned.h"

#define START_MS INT64_C(1795000000123)

static void make_record(struct kp_record *r, const char *pod)
{
    static const struct kp_label labels[] = {{"team", "pay \"roll\""}, {"k", "1" KP_LABEL_JOIN "2"}};
    kp_record_init(r);
    r->service = kp_strdup("check/out");
    r->type = kp_strdup("cpu");
    r->format = kp_strdup("pprof");
    r->namespace = kp_strdup("shop");
    r->pod = kp_strdup(pod);
    r->pod_uid = kp_strdup("0b6f-1");
    r->container = kp_strdup("app");
    r->container_id = kp_strdup("containerd://12");
    r->node = kp_strdup("node-1");
    r->workload_kind = kp_strdup("Deployment");
    r->workload_name = kp_strdup("checkout");
    r->revision = kp_strdup("7d9");
    r->version = kp_strdup("v1.2");
    r->image = kp_strdup("reg/checkout:1");
    r->image_digest = kp_strdup("sha256:12");
    r->architecture = kp_strdup("amd64");
    r->path = kp_strdup("/debug/pprof/profile");
    r->port = 6060;
    r->restarts = 2;
    r->container_started_ms = START_MS - 3600001;
    r->slot_ms = START_MS - 1000;
    r->start_ms = START_MS;
    r->end_ms = START_MS + 10005;
    r->interval_ms = 60000;
    r->duration_ms = 10000;
    r->sample_k = 3;
    r->sample_n = 12;
    r->policies = kp_strdup("shop/checkout,/all");
    r->retention_ms = 3600000;
    r->key = kp_strdup("0123456789abcdef0123456789abcdef");
    r->labels = kp_labels_create(labels, KP_COUNT(labels));
}

static void test_a_description_comes_back(void **state)
{
    (void)state;
    struct kp_record record;
    struct kp_record back;
    struct kp_strbuf line;
    struct kp_error err = {0};
    kp_auto_free char *file = NULL;
    make_record(&record, "checkout-1");
    kp_strbuf_init(&line, 65536);
    kp_tool_write_record(&line, &record, "a b.pb.gz");
    assert_true(kp_ends_with(line.data, "}\n"));
    if (kp_tool_read_record(line.data, &back, &file, &err) != 0)
        fail_msg("%s: %s", err.text, line.data);
    assert_string_equal(file, "a b.pb.gz");
    assert_true(kp_record_equal(&record, &back));
    kp_strbuf_finish(&line);
    kp_record_finish(&record);
    kp_record_finish(&back);
}

static void test_lines_that_are_wrong(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "[]",
        "{\"file\":\"a\"}",
        "{\"file\":\"a\",\"service\":1,\"type\":\"cpu\"}",
        "{\"service\":\"a\",\"type\":\"cpu\"}",
        "{\"file\":\"../a\",\"service\":\"a\",\"type\":\"cpu\"}",
        "{\"file\":\"a\",\"service\":\"a\",\"type\":\"cpu\",\"startTime\":\"soon\"}",
        "{\"file\":\"a\",\"service\":\"a\",\"type\":\"cpu\",\"port\":-1}",
        "{\"file\":\"a\",\"service\":\"a\",\"type\":\"cpu\",\"port\":70000}",
        "{\"file\":\"a\",\"service\":\"a\",\"type\":\"c p u\"}",
        "{\"file\":\"a\",\"service\":\"a\",\"service\":\"b\",\"type\":\"cpu\"}",
    };
    for (size_t i = 0; i < KP_COUNT(lines); i++) {
        struct kp_record record;
        struct kp_error err = {0};
        kp_auto_free char *file = NULL;
        if (kp_tool_read_record(lines[i], &record, &file, &err) == 0)
            fail_msg("taken: %s", lines[i]);
        assert_true(err.text[0] != '\0');
        kp_record_finish(&record);
    }
}

// ---- folders ----

static struct kp_intake_counts fill_after(const char *dir, const char *forgotten)
{
    struct kp_store *store;
    struct kp_intake *intake;
    assert_int_equal(kp_tool_open(dir, &store, NULL), 0);
    if (forgotten)
        assert_int_equal(kp_store_forget_namespace(store, forgotten, kp_now_ms(), NULL), 0);
    assert_int_equal(kp_intake_create(store, &intake, NULL), 0);
    for (int i = 0; i < 3; i++) {
        struct kp_record record;
        size_t len;
        kp_auto_free uint8_t *bytes =
            kp_pprof_make(&(struct kp_pprof_recipe){.stacks = 3, .gzip = true}, &len);
        kp_auto_free char *pod = kp_asprintf("checkout-%d", i);
        make_record(&record, pod);
        kp_free(record.key);
        record.key = NULL;
        record.start_ms += i; // the same origin, later
        assert_int_equal(kp_intake_add(intake, &record, bytes, len, NULL), 0);
    }
    assert_int_equal(kp_intake_flush(intake, NULL), 0);
    struct kp_intake_counts counts = kp_intake_counts(intake);
    kp_intake_destroy(intake);
    kp_store_close(store);
    return counts;
}

static void fill(const char *dir)
{
    assert_int_equal(fill_after(dir, NULL).stored, 3);
}

struct seen {
    size_t n;
    struct kp_record last;
};

static bool on_record(void *user, const struct kp_record *record)
{
    struct seen *seen = user;
    if (seen->n++ > 0)
        kp_record_finish(&seen->last);
    kp_record_copy(&seen->last, record);
    return true;
}

static size_t count(const char *dir, struct kp_record *ret_last)
{
    struct kp_store *store;
    struct seen seen = {0};
    const struct kp_store_query query = {0};
    kp_auto_free char *cursor = NULL;
    assert_int_equal(kp_tool_open(dir, &store, NULL), 0);
    assert_int_equal(kp_store_list(store, &query, on_record, &seen, &cursor, NULL), 0);
    kp_store_close(store);
    *ret_last = seen.last;
    return seen.n;
}

static int run(int (*tool)(int argc, char **argv), const char *a, const char *b, const char *c)
{
    const char *argv[] = {"tool", a, b, c, NULL};
    int argc = c ? 4 : b ? 3 : 2;
    return tool(argc, (char **)(uintptr_t)argv);
}

static void test_the_past_of_a_deleted_namespace_stays_gone(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct kp_intake_counts counts = fill_after(dir, "shop");
    assert_int_equal(counts.stored, 0);
    assert_int_equal(counts.gone, 3);
    kp_test_rmdir(dir);
}

static void test_what_is_exported_can_be_imported_twice(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    kp_auto_free char *first = kp_asprintf("%s/first", dir);
    kp_auto_free char *from = kp_asprintf("--data-dir=%s", first);
    kp_auto_free char *second = kp_asprintf("%s/second", dir);
    kp_auto_free char *to = kp_asprintf("--data-dir=%s", second);
    kp_auto_free char *out = kp_asprintf("--out=%s/out", dir);
    kp_auto_free char *in = kp_asprintf("--from=%s/out", dir);
    struct kp_record last;
    fill(first);
    assert_int_equal(run(kp_registry_export_main, from, out, "--selector=k8s.pod!=checkout-0"), 0);
    assert_int_equal(run(kp_registry_import_main, to, in, NULL), 0);
    assert_int_equal(count(second, &last), 2);
    assert_string_equal(last.policies, "shop/checkout,/all");
    assert_int_equal(last.start_ms, START_MS + 2);
    kp_record_finish(&last);
    assert_int_equal(run(kp_registry_import_main, to, in, NULL), 0);
    assert_int_equal(count(second, &last), 2);
    kp_record_finish(&last);
    assert_int_equal(run(kp_registry_export_main, from, "--out=", NULL), 1);
    assert_int_equal(run(kp_registry_export_main, "--data-dir=/no/such/folder", out, NULL), 1);
    assert_int_equal(run(kp_registry_import_main, to, "--from=/no/such/folder", NULL), 1);
    assert_int_equal(run(kp_registry_import_main, to, "--form=x", NULL), 2);
    kp_test_rmdir(dir);
}

// ---- damage ----

static void seal_all(const char *dir)
{
    struct kp_store *store;
    struct kp_seal *seal;
    bool more = true;
    assert_int_equal(kp_tool_open(dir, &store, NULL), 0);
    for (;;) {
        assert_int_equal(kp_store_seal_begin(store, true, &seal, NULL), 0);
        if (seal == NULL)
            break;
        const int cancelled = 0;
        assert_int_equal(kp_seal_run(seal, &cancelled, NULL), 0);
        assert_int_equal(kp_seal_end(seal, NULL), 0);
    }
    while (more)
        assert_int_equal(kp_store_retain(store, &more, NULL), 0);
    kp_store_close(store);
}

// The one segment of the folder; free it.
static char *find_segment(const char *dir)
{
    kp_auto_free char *pattern = kp_asprintf("%s/segments/*/*.seg", dir);
    glob_t found;
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    char *path = kp_strdup(found.gl_pathv[0]);
    globfree(&found);
    return path;
}

static void flip_byte(const char *path, long at)
{
    FILE *file = fopen(path, "r+be");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    int c = fgetc(file);
    assert_int_equal(fseek(file, -1, SEEK_CUR), 0);
    assert_int_equal(fputc(c ^ 0x55, file), c ^ 0x55);
    assert_int_equal(fclose(file), 0);
}

static void test_damage_is_found_and_put_aside(void **state)
{
    (void)state;
    static const long places[] = {100, 400, -10}; // in the first blocks, in the end
    for (size_t i = 0; i < KP_COUNT(places); i++) {
        char *dir = kp_test_tmpdir();
        kp_auto_free char *flag = kp_asprintf("--data-dir=%s", dir);
        struct kp_record last = {0};
        fill(dir);
        seal_all(dir);
        assert_int_equal(run(kp_registry_verify_main, flag, NULL, NULL), 0);
        kp_auto_free char *segment = find_segment(dir);
        flip_byte(segment, places[i]);
        assert_int_equal(run(kp_registry_verify_main, flag, NULL, NULL), 1);
        assert_int_equal(run(kp_registry_repair_main, flag, NULL, NULL), 0);
        assert_int_not_equal(access(segment, F_OK), 0);
        assert_int_equal(run(kp_registry_verify_main, flag, NULL, NULL), 0);
        assert_true(count(dir, &last) <= 3);
        kp_record_finish(&last);
        kp_test_rmdir(dir);
    }
}

// A segment that was damaged and that somebody removed is no fault for ever.
static void test_a_vanished_segment_is_forgotten(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    kp_auto_free char *flag = kp_asprintf("--data-dir=%s", dir);
    fill(dir);
    seal_all(dir);
    kp_auto_free char *segment = find_segment(dir);
    flip_byte(segment, -10);
    assert_int_equal(run(kp_registry_verify_main, flag, NULL, NULL), 1);
    assert_int_equal(unlink(segment), 0);
    assert_int_equal(run(kp_registry_repair_main, flag, NULL, NULL), 0);
    assert_int_equal(run(kp_registry_verify_main, flag, NULL, NULL), 0);
    kp_test_rmdir(dir);
}

static void test_the_index_can_be_lost(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    kp_auto_free char *flag = kp_asprintf("--data-dir=%s", dir);
    kp_auto_free char *index = kp_asprintf("%s/index.db", dir);
    struct kp_record last;
    fill(dir);
    seal_all(dir);
    assert_int_equal(unlink(index), 0);
    assert_int_equal(run(kp_registry_verify_main, flag, NULL, NULL), 0);
    assert_int_equal(count(dir, &last), 3);
    kp_record_finish(&last);
    kp_test_rmdir(dir);
}

// ---- profefe ----

static const struct kp_step *route(void *user, struct kp_peer *peer, const struct kp_peer_request *request)
{
    static const char list[] =
        "{\"code\":200,\"body\":[{\"id\":\"x/1\",\"type\":\"cpu\",\"service\":\"a "
        "b\",\"labels\":[{\"key\":\"k\","
        "\"value\":\"1\"},{\"key\":\"k\",\"value\":\"2\"}],\"created_at\":\"2020-01-02T03:04:05Z\"},{\"id\":"
        "\"gone\",\"type\":\"cpu\",\"service\":\"a "
        "b\",\"created_at\":\"2020-01-02T03:04:05Z\"},{\"id\":\"t\","
        "\"type\":\"trace\",\"service\":\"a b\",\"created_at\":\"2020-01-02T03:04:06Z\"}]}\n";
    static const char services[] = "{\"code\":200,\"body\":[\"a b\",\"none\"]}";
    size_t len;
    (void)user;
    if (kp_streq(request->target, "/api/0/services"))
        return kp_peer_answer(peer, 200, "application/json", services, strlen(services));
    if (strstr(request->target, "service=a%20b"))
        return kp_peer_answer(peer, 200, "application/json", list, strlen(list));
    if (kp_streq(request->target, "/api/0/profiles/x%2F1")) {
        kp_auto_free uint8_t *bytes = kp_pprof_make(&(struct kp_pprof_recipe){.stacks = 2}, &len);
        return kp_peer_answer(peer, 200, "application/octet-stream", bytes, len);
    }
    if (kp_streq(request->target, "/api/0/profiles/t"))
        return kp_peer_answer(peer, 200, "application/octet-stream", "trace", 5);
    return kp_peer_answer(peer, 404, "application/json", "{}", 2);
}

static void test_a_running_profefe_is_read(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct kp_peer *peer = kp_peer_start(route, NULL);
    kp_auto_free char *to = kp_asprintf("--data-dir=%s", dir);
    kp_auto_free char *url = kp_asprintf("--from-profefe=%s/", kp_peer_url(peer));
    struct kp_record last;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(run(kp_registry_import_main, to, url, NULL), 0);
        assert_int_equal(count(dir, &last), 2);
        assert_string_equal(last.service, "a b");
        kp_record_finish(&last);
    }
    kp_peer_stop(peer);
    assert_int_equal(run(kp_registry_import_main, to, url, NULL), 1); // nobody is there
    kp_test_rmdir(dir);
}

// profefe knows no namespaces: a label says which, or who imports.
static void test_profiles_of_profefe_find_their_namespace(void **state)
{
    (void)state;
    static const struct {
        const char *label, *fallback, *want;
    } rows[] = {{NULL, NULL, ""}, {"--namespace-label=ns", NULL, "shop"},
        {"--namespace-label=ns", "--namespace=old", "shop"},
        {"--namespace-label=k", "--namespace=old", "old"}, {"--namespace-label=k", NULL, ""},
        {NULL, "--namespace=old", "old"}};
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        char *dir = kp_test_tmpdir();
        struct kp_record last;
        size_t len;
        kp_auto_free uint8_t *bytes = kp_pprof_make(&(struct kp_pprof_recipe){.stacks = 2}, &len);
        kp_auto_free char *file = kp_asprintf("%s/profile", dir);
        kp_auto_free char *from = kp_asprintf("--from=%s", file);
        kp_auto_free char *to = kp_asprintf("--data-dir=%s/data", dir);
        FILE *out = fopen(file, "wbe");
        assert_non_null(out);
        assert_int_equal(fwrite(bytes, 1, len, out), len);
        assert_int_equal(fclose(out), 0);
        const char *argv[10] = {
            "tool", to, from, "--service=s", "--type=cpu", "--labels=ns=shop,k=not a name"};
        int argc = 6;
        if (rows[i].label != NULL)
            argv[argc++] = rows[i].label;
        if (rows[i].fallback != NULL)
            argv[argc++] = rows[i].fallback;
        assert_int_equal(kp_registry_import_main(argc, (char **)(uintptr_t)argv), 0);
        kp_auto_free char *data = kp_asprintf("%s/data", dir);
        assert_int_equal(count(data, &last), 1);
        assert_string_equal(last.namespace != NULL ? last.namespace : "", rows[i].want);
        kp_record_finish(&last);
        kp_test_rmdir(dir);
    }
    assert_int_equal(run(kp_registry_import_main, "--from=x", "--namespace=No Name", NULL), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_description_comes_back),
        cmocka_unit_test(test_lines_that_are_wrong),
        cmocka_unit_test(test_the_past_of_a_deleted_namespace_stays_gone),
        cmocka_unit_test(test_what_is_exported_can_be_imported_twice),
        cmocka_unit_test(test_damage_is_found_and_put_aside),
        cmocka_unit_test(test_a_vanished_segment_is_forgotten),
        cmocka_unit_test(test_the_index_can_be_lost),
        cmocka_unit_test(test_a_running_profefe_is_read),
        cmocka_unit_test(test_profiles_of_profefe_find_their_namespace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
