// Symbols that cannot be written.
#include "store/seal_testing.h"

#include "store/seal_private.h"
#include "base/banned.h"

static uint64_t first_space; // one of those doubted; the other kinds are chosen by their ids

static bool doubt_all(const uint64_t space[2])
{
    (void)space;
    return true;
}

static bool doubt_one(const uint64_t space[2])
{
    if (first_space == 0)
        first_space = space[0];
    return space[0] == first_space;
}

static bool doubt_odd(const uint64_t space[2])
{
    return space[1] % 2 != 0;
}

static size_t n_opaque(const struct kp_store *store)
{
    size_t n = 0;
    for (size_t i = 0; i < store->sealed.n; i++) {
        const struct kp_segment *s = store->sealed.items[i]->segment;
        struct kp_segment_row *rows = KP_NEW_ARRAY(struct kp_segment_row, s->n_rows);
        assert_int_equal(kp_segment_read_rows(s, 0, s->n_rows, rows, NULL), 0);
        for (uint32_t k = 0; k < s->n_rows; k++)
            n += (rows[k].flags & KP_SROW_OPAQUE) != 0;
        kp_free(rows);
    }
    return n;
}

// Some captures keep nobody from being sealed, themselves neither.
static void test_spaces_that_fail(void **state)
{
    (void)state;
    static bool (*const doubts[])(const uint64_t space[2]) = {doubt_one, doubt_odd, doubt_all};
    for (size_t d = 0; d < KP_COUNT(doubts); d++) {
        clock_ms = T0;
        first_space = 0;
        char *dir = kp_test_tmpdir();
        struct kp_metrics *metrics = kp_metrics_create();
        const struct kp_store_options options = {.metrics = metrics};
        struct kp_store *store = open_store(dir, options);
        struct pictures before;
        struct kp_seal *seal;
        for (int i = 0; i < 60; i++) {
            kp_auto_free char *digest = kp_asprintf("sha256:%d", i % 10);
            kp_free(put_capture(store, (struct capture){.namespace = i % 3 ? "shop" : "bank",
                                           .digest = digest,
                                           .seed = (uint64_t)(i % 10),
                                           .start_ms = clock_ms + i * 1000}));
        }
        take_pictures(store, &before);
        assert_int_equal(kp_store_seal_begin(store, true, &seal, NULL), 0);
        seal->doubt = doubts[d];
        struct kp_error err = {0};
        if (kp_seal_run(seal, NULL, &err) != 0)
            fail_msg("%s", err.text);
        assert_int_equal(kp_seal_end(seal, NULL), 0);
        assert_int_equal(stats_of(store).n_sealed, 60);
        size_t n = n_opaque(store);
        if (doubts[d] == doubt_all)
            assert_int_equal(n, 60);
        else
            assert_true(n > 0 && n < 60);
        kp_auto_strbuf text;
        kp_strbuf_init(&text, 1 << 20);
        kp_metrics_write(metrics, &text);
        kp_auto_free char *line = kp_asprintf("kube_pprof_registry_sealed_as_received_total %zu\n", n);
        assert_non_null(strstr(text.data, line));
        for (int round = 0; round < 2; round++) {
            check_pictures(store, &before);
            assert_int_equal(wrong_in(store), 0);
            retain_all(store);
            kp_store_close(store);
            store = open_store(dir, options);
        }
        clock_ms += 2 * DAY; // joined as they are
        (void)seal_all(store, false);
        assert_int_equal(stats_of(store).n_segments, 2);
        assert_int_equal(n_opaque(store), n);
        check_pictures(store, &before);
        free_pictures(&before);
        kp_store_close(store);
        kp_metrics_destroy(metrics);
        kp_test_rmdir(dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_spaces_that_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
