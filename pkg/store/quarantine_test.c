// Damaged segments go with the namespace they are of, or with the age of what is in them.
#include "store/quarantine.h"

#include <string.h>

#include "store/forgotten_testing.h"
#include "store/segment_name.h"
#include "store/tier.h"
#include "base/banned.h"

static void test_names_say_whose_and_when(void **state)
{
    (void)state;
    static const char *const names[] = {"", "shop", "a-b", "Shop", "a/b", "..", "_", "\xc3\xa4 b"};
    const int64_t period_ms = T0 / HOUR * HOUR;
    for (size_t i = 0; i < KP_COUNT(names) * 4; i++) {
        struct kp_segment_name n;
        struct kp_strbuf text;
        bool is_day = i % 2 == 0;
        uint32_t keep_s = i / 2 % 2 == 0 ? KP_KEEP_DEFAULT : 86400;
        kp_strbuf_init(&text, 1000);
        kp_segment_name_begin(&text, names[i / 4], period_ms, is_day, keep_s);
        kp_strbuf_adds(&text, "-1-5000-3.0.0.seg");
        assert_true(kp_segment_name_parse(text.data, &n));
        assert_string_equal(n.namespace, names[i / 4]);
        assert_int_equal(n.from_ms, is_day ? period_ms / DAY * DAY : period_ms);
        assert_int_equal(n.to_ms, n.from_ms + (is_day ? DAY : HOUR));
        assert_int_equal(n.keep_s, keep_s);
        kp_strbuf_finish(&text);
    }
    static const char *const others[] = {"", "a", "a/", "/20261125T17-d-1", "a/20261125", "a/2026112xT17-d-1",
        "a/20261125T1x-d-1", "a/20261125T17d-1", "a/20261125T17-x-1", "a/20261125T17-5", "a_/20261125T17-d-1",
        "a_0/20261125T17-d-1", "a_0g/20261125T17-d-1", "a_00/20261125T17-d-1", "a/20261125T17-99999999999-1"};
    for (size_t i = 0; i < KP_COUNT(others); i++) {
        struct kp_segment_name n;
        if (kp_segment_name_parse(others[i], &n))
            fail_msg("%s", others[i]);
    }
}

struct files {
    size_t n[KP_COUNT(namespaces)]; // files and marks
};

static void on_file(void *user, const char *name, uint64_t size)
{
    struct kp_segment_name n;
    (void)size;
    assert_true(kp_segment_name_parse(name, &n));
    ((struct files *)user)->n[index_of(n.namespace)]++;
}

static struct files files_of(const struct world *w)
{
    struct files files = {{0}};
    assert_int_equal(w->store->storage.ops->list(w->store->storage.self, "", on_file, &files, NULL), 0);
    return files;
}

static void put_all_aside(struct world *w)
{
    while (w->store->sealed.n > 0)
        kp_tier_put_aside(w->store, w->store->sealed.items[0], "rotten");
}

static void test_they_go_with_their_namespace(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    set_tier(&w, 2);
    put_all_aside(&w);
    struct files before = files_of(&w);
    for (size_t i = 0; i < KP_COUNT(namespaces); i++)
        assert_true(before.n[i] >= 2);
    clock_ms = clock_ms / HOUR * HOUR + HOUR;
    forget(&w, 0, clock_ms);            // their hours are over
    forget(&w, 1, clock_ms - HOUR + 1); // in the last of them
    retain_all(w.store);
    struct files after = files_of(&w);
    assert_int_equal(after.n[0], 0);
    assert_in_range(after.n[1], 2, before.n[1] - 2);
    assert_int_equal(after.n[2], before.n[2]);
    restart(&w, 0);
    retain_all(w.store);
    after = files_of(&w);
    assert_int_equal(after.n[0], 0);
    assert_int_equal(after.n[2], before.n[2]);
    end(&w);
}

// What is left of a namespace that was forgotten could be read back by repair: the note stays as long.
static void test_the_note_stays_as_long_as_they(void **state)
{
    (void)state;
    struct world w;
    struct kp_store_options o = options;
    begin(&w);
    set_tier(&w, 2);
    put_all_aside(&w);
    clock_ms = clock_ms / HOUR * HOUR + HOUR;
    int64_t before_ms = clock_ms - HOUR + 1; // in the middle of what the last file is of
    forget(&w, 1, before_ms);
    clock_ms += 30 * DAY;
    retain_all(w.store);
    assert_int_equal(kp_forgotten_before(&w.store->forgotten, "pay"), before_ms);
    assert_true(kp_quarantine_may_hold(w.store, "pay", before_ms));
    assert_false(kp_quarantine_may_hold(w.store, "nowhere", before_ms));
    kp_store_close(w.store);
    o.retention_ms = 5 * DAY; // nor are they kept for longer than what is in them would have been
    w.store = open_store(w.dir, o);
    retain_all(w.store);
    struct files after = files_of(&w);
    for (size_t i = 0; i < KP_COUNT(namespaces); i++)
        assert_int_equal(after.n[i], 0);
    clock_ms += HOUR;
    retain_all(w.store);
    assert_int_equal(kp_forgotten_before(&w.store->forgotten, "pay"), 0);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_say_whose_and_when),
        cmocka_unit_test(test_they_go_with_their_namespace),
        cmocka_unit_test(test_the_note_stays_as_long_as_they),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
