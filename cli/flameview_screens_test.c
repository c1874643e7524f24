// What is seen, in the sizes people have.
#include "cli/flameview_fixture.h"

#include "base/text.h"
#include "base/banned.h"

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int width, height;
    } cases[] = {
        {"etcd-80x24", 80, 24}, {"etcd-132x43", 132, 43}, {"etcd-40x12", 40, 12}, {"etcd-20x5", 20, 5}};
    struct kp_viewing v;
    kp_viewing_corpus(&v, "etcd-cpu");
    kp_viewing_press(&v, "jj");
    for (size_t i = 0; i < KP_COUNT(cases); i++) {
        kp_viewing_size(&v, cases[i].width, cases[i].height);
        kp_viewing_golden(&v, cases[i].name);
    }
    kp_viewing_close(&v);
}

static void test_walk(void **state)
{
    (void)state;
    struct kp_viewing v;
    kp_viewing_corpus(&v, "etcd-cpu");
    kp_viewing_press(&v, "/raft");
    kp_viewing_golden(&v, "etcd-search");
    kp_viewing_press(&v, "\r\r");
    kp_viewing_golden(&v, "etcd-zoom");
    kp_viewing_press(&v, "\x1b\ts");
    kp_viewing_golden(&v, "etcd-table");
    kp_viewing_size(&v, 50, 8);
    kp_viewing_golden(&v, "etcd-table-50x8");
    kp_viewing_close(&v);
}

static void test_difference(void **state)
{
    (void)state;
    struct kp_viewing v;
    kp_viewing_folded(&v, "a;more 40|a;same 20|b.new 20|c;less 5", "a;more 10|a;same 20|c;less 30|gone 20");
    kp_viewing_press(&v, "jj");
    kp_viewing_golden(&v, "difference");
    kp_viewing_press(&v, "\t");
    kp_viewing_golden(&v, "difference-table");
    kp_viewing_close(&v);
}

static void test_no_colors(void **state)
{
    (void)state;
    struct kp_viewing v = {
        .profile = kp_folded("main.main;main.serve;net/http.read 40|main.main;main.log 30|b 3")};
    kp_viewing_open(&v, "no colours", false, 0);
    kp_viewing_press(&v, "jj/log\r");
    kp_viewing_golden(&v, "no-colors");
    for (int i = 0; i < 80 * 24; i++)
        assert_int_equal(v.screen.cells[i].style.bg | v.screen.cells[i].style.fg, 0);
    kp_viewing_close(&v);
}

static void test_any_name(void **state)
{
    (void)state;
    struct kp_viewing v;
    kp_viewing_folded(&v,
        "\xe6\xbc\xa2\xe5\xad\x97\xe9\x96\xa2\xe6\x95\xb0;e\xcc\x81tat 6|"
        "\xf0\x9f\x94\xa5\xf0\x9f\x94\xa5\xf0\x9f\x94\xa5\xf0\x9f\x94\xa5;x 3|"
        "example.com/shop/checkout.(*Server).handle[a/b] 8|\xe2\x80\xae"
        "abc 2",
        NULL);
    kp_viewing_golden(&v, "names-80x24");
    kp_viewing_size(&v, 23, 12);
    kp_viewing_press(&v, "jll");
    kp_viewing_golden(&v, "names-23x12");
    kp_viewing_close(&v);
}

static void test_empty(void **state)
{
    (void)state;
    struct kp_viewing v;
    kp_viewing_folded(&v, "a 0", NULL);
    kp_viewing_press(&v, "jlhk\r/x\rn\x1b\t\rs\x1b");
    kp_viewing_golden(&v, "empty");
    kp_viewing_close(&v);
}

// Every size, with everything open in it.
static void test_every_size(void **state)
{
    (void)state;
    static const char *const keys[] = {"jjj", "/raft", "\r\r", "\t", "?", "x\t", "G", "\x1b\x1b\x1b"};
    struct kp_viewing v;
    kp_viewing_corpus(&v, "prom-cpu");
    for (size_t k = 0; k < KP_COUNT(keys); k++) {
        for (int size = 1; size < 30; size++) {
            kp_viewing_size(&v, size, 30 - size);
            kp_flameview_draw(v.view, &v.screen);
            kp_viewing_size(&v, 3 * size, size);
            kp_flameview_draw(v.view, &v.screen);
        }
        kp_viewing_press(&v, keys[k]);
    }
    kp_viewing_close(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_difference),
        cmocka_unit_test(test_no_colors),
        cmocka_unit_test(test_any_name),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_every_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
