// Forgetting beside everything else that moves profiles: segments that are lost, sealing, joining.
#include "store/forgotten_testing.h"

#include "store/tier.h"
#include "base/banned.h"

// A segment is lost after its namespace was forgotten and its rows were marked: the log's copies stay hidden.
static void test_what_comes_back(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    set_tier(&w, 2);
    forget(&w, 0, w.all[N / 2].received_ms);
    retain_all(w.store);
    check(&w);
    kp_store_close(w.store);
    char *segments = kp_asprintf("%s/segments", w.dir);
    kp_test_rmdir(segments);
    w.store = open_store(w.dir, options);
    for (size_t i = 0; i < w.n; i++) {
        struct kp_record record;
        int rc = kp_store_get(w.store, w.all[i].id, &record, NULL, NULL);
        assert_true(rc == KP_NOT_FOUND || (rc == 0 && is_visible(&w, &w.all[i])));
        if (rc == 0)
            kp_record_finish(&record);
    }
    end(&w);
}

// The same while it runs: what is marked dead in the segment only is alive in the log's copy.
static void test_what_comes_back_at_once(void **state)
{
    (void)state;
    struct world w;
    bool more;
    begin(&w);
    set_tier(&w, 2);
    forget(&w, 0, w.all[4].received_ms); // in the middle of its first segment
    assert_int_equal(kp_forgotten_apply(w.store, &more, NULL), 0);
    while (w.store->sealed.n > 0)
        kp_tier_put_aside(w.store, w.store->sealed.items[0], "rotten");
    assert_int_equal(stats_of(w.store).n_segments, 0);
    size_t n = 0;
    for (size_t i = 0; i < w.n; i++)
        n += is_visible(&w, &w.all[i]);
    assert_int_equal(count(w.store, (struct kp_store_query){0}, NULL), n);
    retain_all(w.store);
    assert_int_equal(count(w.store, (struct kp_store_query){0}, NULL), n);
    end(&w);
}

// Forgotten while a stretch is being sealed, or segments joined.
static void test_beside_sealing(void **state)
{
    (void)state;
    for (int joining = 0; joining < 2; joining++) {
        struct world w;
        struct kp_seal *seal = NULL;
        struct kp_error err = {0};
        begin(&w);
        if (joining) {
            set_tier(&w, 2);
            clock_ms += 2 * DAY;
        }
        for (int piece = 0; kp_store_seal_begin(w.store, true, &seal, &err) == 0 && seal; piece++) {
            assert_int_equal(kp_seal_run(seal, NULL, &err), 0);
            if (piece == 0)
                forget(&w, 0, w.all[2 * N / 3].received_ms);
            if (piece == 0 && !joining)
                retain_all(w.store);
            assert_int_equal(kp_seal_end(seal, &err), 0);
            check(&w);
        }
        check(&w);
        restart(&w, joining ? 3 : 0);
        check(&w);
        retain_all(w.store);
        check(&w);
        end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_comes_back),
        cmocka_unit_test(test_what_comes_back_at_once),
        cmocka_unit_test(test_beside_sealing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
