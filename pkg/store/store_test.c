#include "store/store_testing.h"

#include <stdio.h>
#include <unistd.h>

#include "base/banned.h"

// ---- tests ----

static void test_put_get_reopen(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, (struct kp_store_options){0});
    char *a = put(store, (struct what){.namespace = "shop", .pod = "p1", .team = "x"});
    char *b = put(store, (struct what){.service = "push", .size = 1});
    char *c = put(store, (struct what){.namespace = "shop", .pod = "p1", .team = "x", .start_ms = T0 - 5000});
    assert_string_not_equal(a, b);
    for (int round = 0; round < 3; round++) {
        assert_true(is_here(store, a));
        assert_true(is_here(store, b));
        assert_true(is_here(store, c));
        assert_false(is_here(store, "nonsense"));
        a[24] ^= 1;
        assert_false(is_here(store, a));
        a[24] ^= 1;
        assert_int_equal(count(store, (struct kp_store_query){0}, NULL), 3);
        struct kp_store_stats stats;
        kp_store_get_stats(store, &stats);
        assert_int_equal(stats.n_profiles, 3);
        assert_int_equal(stats.n_series, 2);
        kp_store_close(store);
        if (round == 1) { // the index can be made again
            kp_auto_free char *path = kp_asprintf("%s/index.db", dir);
            assert_int_equal(unlink(path), 0);
        }
        store = open_store(dir, (struct kp_store_options){0});
    }
    kp_free(put(store, (struct what){0}));
    assert_int_equal(count(store, (struct kp_store_query){0}, NULL), 4);
    kp_store_close(store);
    kp_free(a);
    kp_free(b);
    kp_free(c);
    kp_test_rmdir(dir);
}

static void test_one_process(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, (struct kp_store_options){0});
    struct kp_store *second = NULL;
    struct kp_error err = {0};
    assert_int_equal(kp_store_open(&(struct kp_store_options){.dir = dir}, &second, &err), KP_CONFLICT);
    assert_non_null(strstr(err.text, "in use by process"));
    kp_store_close(store);
    kp_test_rmdir(dir);
}

static void test_keys(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, (struct kp_store_options){0});
    struct kp_append batch[4];
    make(&batch[0], (struct what){.key = "a"});
    make(&batch[1],
        (struct what){.key = "a", .service = "renamed"}); // the policy changed: still the same capture
    make(&batch[2], (struct what){.key = "b"});
    make(&batch[3], (struct what){0});
    kp_store_append(store, batch, 4);
    assert_int_equal(batch[0].status, KP_APPEND_STORED);
    assert_int_equal(batch[1].status, KP_APPEND_KNOWN);
    assert_string_equal(batch[1].record->id, batch[0].record->id);
    assert_int_equal(batch[2].status, KP_APPEND_STORED);
    assert_int_equal(batch[3].status, KP_APPEND_STORED);
    for (int i = 0; i < 3; i++) {
        kp_store_append(store, batch, 3);
        assert_int_equal(batch[0].status, KP_APPEND_KNOWN);
        assert_int_equal(batch[1].status, KP_APPEND_KNOWN);
        assert_int_equal(batch[2].status, KP_APPEND_KNOWN);
        assert_string_equal(batch[1].record->id, batch[0].record->id);
        kp_store_close(store);
        store = open_store(dir, (struct kp_store_options){0});
    }
    assert_int_equal(count(store, (struct kp_store_query){0}, NULL), 3);
    // a deleted one is known all the same
    assert_int_equal(kp_store_delete(store, batch[0].record->id, NULL), 0);
    kp_store_append(store, batch, 1);
    assert_int_equal(batch[0].status, KP_APPEND_KNOWN);
    for (int i = 0; i < 4; i++)
        release(&batch[i]);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

static void test_delete_lasts(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    // small files: tombstones lie in other files than what they name
    struct kp_store_options options = {.log_file_bytes = 4000};
    struct kp_store *store = open_store(dir, options);
    char *ids[20];
    for (int i = 0; i < 20; i++)
        ids[i] = put(store, (struct what){.start_ms = T0 + i});
    for (int i = 0; i < 20; i += 3)
        assert_int_equal(kp_store_delete(store, ids[i], NULL), 0);
    struct kp_error err = {0};
    assert_int_equal(kp_store_delete(store, ids[0], &err), KP_NOT_FOUND);
    assert_int_equal(kp_store_delete(store, "../../etc", &err), KP_NOT_FOUND);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 20; i++)
            assert_int_equal(is_here(store, ids[i]), i % 3 != 0);
        assert_int_equal(count(store, (struct kp_store_query){0}, NULL), 13);
        if (round == 1) {
            bool more = true;
            while (more)
                assert_int_equal(kp_store_retain(store, &more, NULL), 0);
        }
        kp_store_close(store);
        if (round == 2) {
            kp_auto_free char *path = kp_asprintf("%s/index.db", dir);
            assert_int_equal(unlink(path), 0);
        }
        store = open_store(dir, options);
    }
    kp_store_close(store);
    for (int i = 0; i < 20; i++)
        kp_free(ids[i]);
    kp_test_rmdir(dir);
}

static size_t count_selector(struct kp_store *store, const char *text)
{
    struct kp_selector *selector = NULL;
    struct kp_error err = {0};
    if (kp_selector_parse(text, true, &selector, &err) != 0)
        fail_msg("%s", err.text);
    size_t n = count(store, (struct kp_store_query){.selector = selector}, NULL);
    kp_selector_destroy(selector);
    return n;
}

static void test_find(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, (struct kp_store_options){.log_file_bytes = 20000});
    for (int i = 0; i < 60; i++) // out of order in time
        kp_free(put(store, (struct what){.namespace = i % 2 ? "shop" : "bank",
                               .service = i % 3 ? "a" : "b",
                               .type = i % 5 ? "cpu" : "heap",
                               .pod = i % 4 ? "p1" : "p2",
                               .team = i % 6 ? "red" : NULL,
                               .start_ms = T0 + (i * 37 % 60) * 1000}));
    assert_int_equal(count(store, (struct kp_store_query){0}, NULL), 60);
    assert_int_equal(count(store, (struct kp_store_query){.namespace = "shop"}, NULL), 30);
    assert_int_equal(count(store, (struct kp_store_query){.namespace = "shop", .service = "b"}, NULL), 10);
    assert_int_equal(count(store, (struct kp_store_query){.type = "heap"}, NULL), 12);
    assert_int_equal(count(store, (struct kp_store_query){.service = "nobody"}, NULL), 0);
    assert_int_equal(
        count(store, (struct kp_store_query){.from_ms = T0 + 10000, .to_ms = T0 + 20000}, NULL), 10);
    assert_int_equal(count_selector(store, "team=red"), 50);
    assert_int_equal(count_selector(store, "!team"), 10);
    assert_int_equal(count_selector(store, "k8s.pod=p2"), 15);
    assert_int_equal(count_selector(store, "k8s.workload=Deployment/checkout"), 60);
    assert_int_equal(count_selector(store, "k8s.namespace in (bank),k8s.pod!=p2"), 15);
    assert_int_equal(count_selector(store, "k8s.pod=~p."), 60);

    struct listing *l = KP_NEW(struct listing);
    count(store, (struct kp_store_query){0}, l);
    for (size_t i = 1; i < l->n; i++)
        assert_true(strcmp(l->ids[i - 1], l->ids[i]) < 0); // ids sort by time
    count(store, (struct kp_store_query){.newest_first = true}, l);
    for (size_t i = 1; i < l->n; i++)
        assert_true(strcmp(l->ids[i - 1], l->ids[i]) > 0);
    kp_free(l);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

static void test_cursor(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, (struct kp_store_options){.log_file_bytes = 20000});
    for (int i = 0; i < 50; i++)
        kp_free(put(store, (struct what){.start_ms = T0 + (i * 17 % 25) * 1000})); // every time twice
    for (int newest = 0; newest < 2; newest++) {
        struct listing *l = KP_NEW(struct listing);
        char *cursor = NULL;
        int pages = 0;
        do {
            struct kp_store_query q = {.limit = 7, .cursor = cursor, .newest_first = newest};
            char *next = NULL;
            assert_int_equal(kp_store_list(store, &q, on_record, l, &next, NULL), 0);
            kp_free(cursor);
            cursor = next;
            pages++;
            // written between two pages, behind what was read: no page may repeat or leave out an old one
            kp_free(put(
                store, (struct what){.service = "other", .start_ms = newest ? T0 + 900000 : T0 - 900000}));
        } while (cursor);
        assert_int_equal(pages, newest ? 9 : 8);
        for (size_t i = 1; i < l->n; i++) { // the time stands in front
            int order = strncmp(l->ids[i - 1], l->ids[i], 10);
            assert_true(newest ? order >= 0 : order <= 0);
            for (size_t k = 0; k < i; k++)
                assert_string_not_equal(l->ids[k], l->ids[i]);
        }
        assert_true(l->n >= 50);
        kp_free(l);
    }
    struct kp_error err = {0};
    char *cursor = NULL;
    struct listing l;
    assert_int_equal(
        kp_store_list(store, &(struct kp_store_query){.cursor = "!"}, on_record, &l, &cursor, &err),
        KP_INVALID);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

static void on_service(void *user, const struct kp_service_info *info)
{
    kp_strbuf_addf(user, "%s/%s %llu %s\n", info->namespace, info->service,
        (unsigned long long)info->n_profiles, info->types);
}

static void test_services(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, (struct kp_store_options){0});
    kp_free(put(store, (struct what){.namespace = "shop", .service = "api", .type = "heap"}));
    kp_free(put(store, (struct what){.namespace = "shop", .service = "api", .type = "cpu", .pod = "p"}));
    kp_free(put(store, (struct what){.namespace = "bank", .service = "api"}));
    char *gone = put(store, (struct what){.service = "gone"});
    assert_int_equal(kp_store_delete(store, gone, NULL), 0);
    kp_free(gone);
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, 1000);
    assert_int_equal(kp_store_services(store, NULL, on_service, &buf, NULL), 0);
    assert_string_equal(buf.data, "bank/api 1 cpu\nshop/api 2 cpu,heap\n");
    kp_strbuf_clear(&buf);
    assert_int_equal(kp_store_services(store, "bank", on_service, &buf, NULL), 0);
    assert_string_equal(buf.data, "bank/api 1 cpu\n");
    kp_store_close(store);
    kp_test_rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_get_reopen),
        cmocka_unit_test(test_one_process),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_delete_lasts),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_cursor),
        cmocka_unit_test(test_services),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
