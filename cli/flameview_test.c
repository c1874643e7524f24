#include "cli/flameview_fixture.h"

#include "base/text.h"
#include "base/banned.h"

static void assert_selected(struct kp_viewing *v, const char *bytes, const char *name)
{
    kp_viewing_press(v, bytes);
    assert_string_equal(kp_viewing_selected(v), name);
}

static void assert_shows(struct kp_viewing *v, const char *text, bool expected)
{
    kp_auto_free char *screen = kp_viewing_text(v, false);
    if ((strstr(screen, text) != NULL) != expected)
        fail_msg("%s shown: %s\n%s", expected ? "not" : "is", text, screen);
}

#define GRAPH                                                                                                \
    "main.main;main.serve;net/http.read@http/server.go:12 40|main.main;main.serve;json.Marshal 20|"          \
    "main.main;main.log 30|runtime.gc;runtime.scan 9|runtime.gc;runtime.tiny 1"

static void test_moving(void **state)
{
    (void)state;
    struct kp_viewing v;
    kp_viewing_folded(&v, GRAPH, NULL);
    assert_selected(&v, "", "all");
    assert_selected(&v, "j", "main.main");
    assert_selected(&v, "\x1b[B", "main.serve");
    assert_selected(&v, "l", "main.log");
    assert_selected(&v, "\x1b[C", "runtime.scan"); // across callers
    assert_selected(&v, "l", "runtime.tiny");
    assert_selected(&v, "l", "runtime.tiny");
    assert_selected(&v, "hhh", "main.serve");
    assert_selected(&v, "h", "main.serve");
    assert_selected(&v, "jj", "net/http.read");
    assert_selected(&v, "k", "main.serve");
    assert_selected(&v, "g", "all");
    assert_selected(&v, "G", "net/http.read");
    assert_selected(&v, "\x1b[5~", "all");
    assert_selected(&v, "\x1b[6~", "net/http.read");
    kp_viewing_close(&v);
}

static void test_zoom(void **state)
{
    (void)state;
    struct kp_viewing v;
    kp_viewing_folded(&v, GRAPH, NULL);
    kp_viewing_press(&v, "jj\r");
    assert_string_equal(kp_viewing_zoom(&v), "main.serve");
    assert_shows(&v, "all > main.main > main.serve", true);
    assert_shows(&v, "main.log", false);
    assert_shows(&v, "60.00%, 100% of the zoomed", true);
    assert_selected(&v, "k", "main.serve"); // no further up
    assert_selected(&v, "j", "net/http.read");
    assert_shows(&v, "40ns 40.00%, 66.67% of the zoomed, self 40ns 40.00%", true);
    assert_shows(&v, "  http/server.go\n", true);
    kp_viewing_press(&v, "\r");
    assert_string_equal(kp_viewing_zoom(&v), "net/http.read");
    kp_viewing_press(&v, "\x7f");
    assert_string_equal(kp_viewing_zoom(&v), "main.serve");
    kp_viewing_press(&v, "\x1b");
    assert_string_equal(kp_viewing_zoom(&v), "all");
    assert_string_equal(kp_viewing_selected(&v), "net/http.read");
    kp_viewing_press(&v, "\x1b\x1b");
    assert_string_equal(kp_viewing_zoom(&v), "all");
    kp_viewing_press(&v, "\rgj\rG\rr");
    assert_string_equal(kp_viewing_zoom(&v), "all");
    kp_viewing_close(&v);
}

static void test_search(void **state)
{
    (void)state;
    struct kp_viewing v;
    kp_viewing_folded(&v, GRAPH, NULL);
    assert_selected(&v, "/RUN", "all"); // capitals are meant
    assert_shows(&v, "0 places", true);
    assert_selected(&v, "\x7f\x7f\x7frun", "runtime.gc");
    assert_shows(&v, "3 places, 10.00%, this is 1", true);
    assert_selected(&v, "\rn", "runtime.scan");
    assert_selected(&v, "n", "runtime.tiny");
    assert_selected(&v, "n", "runtime.gc"); // around the end
    assert_selected(&v, "N", "runtime.tiny");
    kp_viewing_press(&v, "\rj"); // a zoom
    assert_string_equal(kp_viewing_zoom(&v), "runtime.tiny");
    kp_viewing_press(&v, "\x1b"); // ends the search first
    assert_string_equal(kp_viewing_zoom(&v), "runtime.tiny");
    assert_false(v.view->search.is_active);
    kp_viewing_press(&v, "\x1b");
    assert_string_equal(kp_viewing_zoom(&v), "all");
    assert_selected(&v, "gn", "all");
    assert_shows(&v, "nothing is looked for", true);
    kp_viewing_close(&v);
}

static void test_search_leads_out_and_back(void **state)
{
    (void)state;
    struct kp_viewing v;
    kp_viewing_folded(&v, GRAPH, NULL);
    kp_viewing_press(&v, "jj\r/scan");
    assert_string_equal(kp_viewing_zoom(&v), "all");
    assert_string_equal(kp_viewing_selected(&v), "runtime.scan");
    kp_viewing_press(&v, "\x1b");
    assert_string_equal(kp_viewing_zoom(&v), "main.serve");
    assert_string_equal(kp_viewing_selected(&v), "main.serve");
    assert_selected(&v, "/server.go", "net/http.read"); // files, too
    assert_selected(&v, "\x15^json|q", "json.Marshal");
    assert_int_equal(v.answer, KP_FLAMEVIEW_DRAW); // q is a letter here
    assert_selected(&v, "\x15http.re(", "main.serve");
    kp_viewing_press(&v, "\x15(*Conn");
    assert_shows(&v, "0 places", true);
    kp_viewing_close(&v);
    kp_viewing_folded(&v, "a;b.(*Conn).Read 5|\xc3\xa4\xe6\xbc\xa2 1", NULL);
    assert_selected(&v, "/(*c", "b.(*Conn).Read"); // no expression, so as it stands
    assert_selected(&v, "\x15\xe6\xbc\xa2", "\xc3\xa4\xe6\xbc\xa2");
    kp_viewing_press(&v, "\x7f");
    assert_string_equal(v.view->search.text, "");
    kp_viewing_close(&v);
}

// A stack counts once, however often it matches.
static void test_search_share(void **state)
{
    (void)state;
    struct kp_viewing v;
    kp_viewing_folded(&v, "a;b;a;b 30|b 10|c 60", NULL);
    kp_viewing_press(&v, "/b");
    assert_shows(&v, "3 places, 40.00%", true);
    kp_viewing_close(&v);
}

static void test_table(void **state)
{
    (void)state;
    struct kp_viewing v;
    kp_viewing_folded(&v, GRAPH, NULL);
    kp_viewing_press(&v, "\t");
    assert_shows(&v, "       40ns  40.00%       40ns  40.00%  net/http.read\n", true);
    assert_shows(&v, "          0      0%       90ns  90.00%  main.main\n", true);
    kp_viewing_golden(&v, "table");
    kp_viewing_press(&v, "s");
    assert_int_equal(v.view->table.order, KP_ORDER_CUM);
    assert_string_equal(v.flame->frames[v.view->table.rows[0].frame].name, "main.main");
    kp_viewing_press(&v, "s");
    assert_string_equal(v.flame->frames[v.view->table.rows[0].frame].name, "json.Marshal");
    kp_viewing_press(&v, "Gkgjj\r");
    assert_false(v.view->is_table);
    assert_string_equal(kp_viewing_selected(&v), "main.main");
    kp_viewing_press(&v, "\t/tiny\r\r");
    assert_string_equal(kp_viewing_selected(&v), "runtime.tiny");
    kp_viewing_press(&v, "\t\x1b\x1b"); // the search, then the table
    assert_false(v.view->is_table);
    kp_viewing_close(&v);
}

// As `top` counts: once where a function calls itself.
static void test_table_places(void **state)
{
    (void)state;
    struct kp_viewing v;
    kp_viewing_folded(&v, "a;b;a 6|c;a 10|b 2", NULL);
    kp_viewing_press(&v, "\t");
    assert_shows(&v, "       16ns  88.89%       16ns  88.89%  a\n", true);
    kp_viewing_press(&v, "\r"); // its heaviest place; n leads to the others
    assert_string_equal(
        kp_flame_name(v.flame, &v.flame->nodes[v.flame->nodes[v.view->selected].parent]), "c");
    assert_shows(&v, "3 places, 88.89%, this is 1", true);
    kp_viewing_press(&v, "n");
    assert_int_equal(v.flame->nodes[v.view->selected].depth, 1);
    kp_viewing_close(&v);
}

// Of a whole graph, the table is that of the report.
static void test_table_is_top(void **state)
{
    (void)state;
    struct kp_viewing v;
    struct kp_top *top = NULL;
    struct kp_report_options options = {.limit = 100000};
    kp_viewing_corpus(&v, "etcd-cpu");
    kp_viewing_press(&v, "\t");
    assert_int_equal(v.flame->n_left_out, 0);
    assert_int_equal(kp_report_top(v.profile, &options, &top, NULL), 0);
    assert_int_equal(top->n, v.view->table.n);
    for (size_t i = 0; i < top->n; i++) {
        uint32_t k = 0;
        while (!kp_streq(v.flame->frames[v.view->table.rows[k].frame].name, top->rows[i].name))
            k++;
        assert_int_equal(v.view->table.rows[k].flat, top->rows[i].flat);
        assert_int_equal(v.view->table.rows[k].cum, top->rows[i].cum);
    }
    kp_top_free(top);
    kp_viewing_close(&v);
}

static void test_narrow(void **state)
{
    (void)state;
    struct kp_viewing v;
    kp_viewing_folded(&v, "a 1000|b;c;d 1|e 1|f 1", NULL);
    kp_viewing_size(&v, 40, 12);
    assert_shows(&v, "\xe2\x80\xa6\n", true);
    assert_selected(&v, "jl", "b");
    assert_shows(&v, "b and 2 as narrow", true);
    assert_selected(&v, "l", "e"); // one by one
    assert_selected(&v, "lll", "f");
    assert_selected(&v, "hh", "b");
    assert_selected(&v, "h", "a");
    assert_selected(&v, "lj", "b");
    assert_shows(&v, "Enter zooms in", true);
    assert_selected(&v, "\rjj", "d");
    assert_selected(&v, "\x1b", "b"); // the other cannot be seen
    assert_selected(&v, "/d\r", "d"); // so a search zooms
    assert_string_equal(kp_viewing_zoom(&v), "c");
    kp_viewing_close(&v);
}

static void test_cut(void **state)
{
    (void)state;
    struct kp_viewing v = {.profile = kp_folded("a;b 10|a;c 1|a;d 1")};
    kp_viewing_open(&v, NULL, false, 2);
    assert_selected(&v, "jj", "a");
    assert_shows(&v, "3 small nodes below were left out", true);
    kp_viewing_close(&v);
}

static void test_scrolling(void **state)
{
    (void)state;
    struct kp_viewing v;
    kp_viewing_folded(&v, "a;b;c;d;e;f;g;h;i;j;k;l;m;n;o;p;q;r;s;t;u;v;w;x;y;z 10|a;b 1", NULL);
    assert_shows(&v, "row 1, more below", true);
    assert_shows(&v, "\nr", true);
    assert_shows(&v, "\ns", false);
    kp_viewing_press(&v, "\x1b[6~");
    assert_string_equal(kp_viewing_selected(&v), "r");
    kp_viewing_press(&v, "j");
    assert_shows(&v, "\ns", true);
    assert_shows(&v, "row 2, more below", true);
    kp_viewing_press(&v, "G");
    assert_shows(&v, "row 9\n", true);
    kp_viewing_press(&v, "\x1b[<64;1;5M\x1b[<64;1;5M");
    assert_shows(&v, "row 3, more below", true);
    kp_viewing_size(&v, 80, 50);
    assert_shows(&v, "more below", false);
    kp_viewing_size(&v, 80, 6);
    assert_shows(&v, "\nz", true); // what is selected stays in sight
    kp_viewing_close(&v);
}

static void test_mouse(void **state)
{
    (void)state;
    struct kp_viewing v;
    kp_viewing_folded(&v, GRAPH, NULL);
    assert_selected(&v, "\x1b[<0;60;5M", "main.log");
    assert_selected(&v, "\x1b[<0;1;1M\x1b[<0;80;22M\x1b[<0;300;300M\x1b[<0;1;20M", "main.log");
    kp_viewing_press(&v, "\x1b[<0;60;5M");
    assert_string_equal(kp_viewing_zoom(&v), "main.log");
    kp_viewing_press(&v, "\t\x1b[<0;9;5M");
    assert_int_equal(v.view->table.selected, 1);
    kp_viewing_press(&v, "\x1b[<65;9;5M\x1b[<64;9;5M\x1b[<0;9;3M");
    assert_true(v.view->is_table);
    kp_viewing_press(&v, "\x1b[<0;9;5M");
    assert_false(v.view->is_table);
    kp_viewing_close(&v);
}

static void test_quit_and_help(void **state)
{
    (void)state;
    struct kp_viewing v;
    kp_viewing_folded(&v, GRAPH, NULL);
    kp_viewing_press(&v, "?");
    kp_viewing_golden(&v, "help");
    kp_viewing_press(&v, "x");
    assert_shows(&v, "quit    ", false);
    assert_int_equal(v.answer, KP_FLAMEVIEW_DRAW);
    kp_viewing_press(&v, "x");
    assert_int_equal(v.answer, KP_FLAMEVIEW_NOTHING);
    kp_viewing_press(&v, "q");
    assert_int_equal(v.answer, KP_FLAMEVIEW_QUIT);
    kp_viewing_close(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moving),
        cmocka_unit_test(test_zoom),
        cmocka_unit_test(test_search),
        cmocka_unit_test(test_search_leads_out_and_back),
        cmocka_unit_test(test_search_share),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_table_places),
        cmocka_unit_test(test_table_is_top),
        cmocka_unit_test(test_narrow),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_scrolling),
        cmocka_unit_test(test_mouse),
        cmocka_unit_test(test_quit_and_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
