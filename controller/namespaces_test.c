// What is told of namespaces, to a registry that is scripted.
#include "controller/namespaces.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/banned.h"

struct bench {
    struct kp_loop *loop;
    struct kp_namespaces *namespaces;
    int n_posts, n_new;
    json_t *body; // of the last
    kp_namespaces_posted_fn on_done;
    void *poster; // NULL: nothing is under way
};

static void post(void *user, struct kp_blob *body, kp_namespaces_posted_fn on_done, void *poster)
{
    struct bench *b = user;
    assert_null(b->poster); // one at a time
    json_decref(b->body);
    b->body = json_loadb((const char *)body->data, body->len, 0, NULL);
    assert_non_null(b->body);
    b->on_done = on_done;
    b->poster = poster;
    b->n_posts++;
}

static void on_new(void *user)
{
    ((struct bench *)user)->n_new++;
}

static void start(struct bench *b)
{
    *b = (struct bench){.loop = kp_loop_create()};
    const struct kp_namespaces_options options = {.post = post, .on_new = on_new, .user = b, .max_batch = 2};
    b->namespaces = kp_namespaces_create(b->loop, &options);
    kp_namespaces_set(b->namespaces, "a", "2026-11-25T10:00:00Z");
    kp_namespaces_set(b->namespaces, "b", "2026-11-25T11:00:00Z");
    kp_namespaces_set(b->namespaces, "c", "2026-11-25T12:00:00Z");
}

static void stop(struct bench *b)
{
    kp_namespaces_destroy(b->namespaces);
    json_decref(b->body);
    kp_loop_destroy(b->loop);
}

static void run(struct bench *b, int64_t ms)
{
    const bool never = false;
    kp_loop_run_until(b->loop, &never, ms);
}

static void answer(struct bench *b, enum kp_namespaces_answer answer)
{
    void *poster = kp_take(b->poster);
    assert_non_null(poster);
    b->on_done(poster, answer);
}

// Waits for the next post and compares it: names, and the part it is of a telling of all (-1: it is none).
static void expect(struct bench *b, const char *names, int part, bool more)
{
    char got[80] = "";
    size_t i;
    json_t *item;
    for (int64_t end = kp_mono_ms() + 10000; b->poster == NULL && kp_mono_ms() < end;)
        run(b, 1);
    assert_non_null(b->poster);
    json_array_foreach(json_object_get(b->body, "items"), i, item) snprintf(
        got + strlen(got), sizeof got - strlen(got), "%s", json_string_value(json_object_get(item, "name")));
    assert_string_equal(got, names);
    const json_t *all = json_object_get(b->body, "all");
    if (part < 0) {
        assert_null(all);
        return;
    }
    assert_int_equal(json_integer_value(json_object_get(all, "part")), part);
    assert_int_equal(json_is_true(json_object_get(all, "more")), more);
    assert_true(strlen(json_string_value(json_object_get(all, "round"))) > 0);
}

static char *round_of(const struct bench *b)
{
    return kp_strdup(json_string_value(json_object_get(json_object_get(b->body, "all"), "round")));
}

static void expect_nothing(struct bench *b)
{
    run(b, 60);
    assert_null(b->poster);
}

static void tell_all(struct bench *b)
{
    expect(b, "ab", 0, true);
    answer(b, KP_NAMESPACES_TAKEN);
    expect(b, "c", 1, false);
    answer(b, KP_NAMESPACES_TAKEN);
}

static void test_all_in_parts_then_what_changes(void **state)
{
    (void)state;
    struct bench b;
    start(&b);
    kp_namespaces_ask(b.namespaces);
    expect_nothing(&b); // it does not lead
    kp_namespaces_set_posting(b.namespaces, true);
    tell_all(&b);
    expect_nothing(&b);
    kp_namespaces_set(b.namespaces, "b", "2026-11-25T13:00:00Z"); // made anew
    kp_namespaces_set(b.namespaces, "c", NULL);
    expect(&b, "b", -1, false);
    answer(&b, KP_NAMESPACES_TAKEN);
    expect_nothing(&b);
    assert_int_equal(b.n_new, 0);
    kp_namespaces_set_posting(b.namespaces, false);
    kp_namespaces_set(b.namespaces, "d", "2026-11-25T14:00:00Z");
    expect_nothing(&b);
    kp_namespaces_set_posting(b.namespaces, true);
    expect(&b, "ab", 0, true);
    answer(&b, KP_NAMESPACES_TAKEN);
    expect(&b, "d", 1, false);
    answer(&b, KP_NAMESPACES_TAKEN);
    stop(&b);
}

// A registry that was restarted between two questions whether it is there.
static void test_who_asks_hears_that_it_was_restarted(void **state)
{
    (void)state;
    struct bench b;
    start(&b);
    kp_namespaces_set_posting(b.namespaces, true);
    tell_all(&b);
    kp_namespaces_ask(b.namespaces);
    expect(&b, "", -1, false);
    kp_namespaces_ask(b.namespaces); // under way
    answer(&b, KP_NAMESPACES_TAKEN);
    expect_nothing(&b);
    kp_namespaces_ask(b.namespaces);
    expect(&b, "", -1, false);
    answer(&b, KP_NAMESPACES_TELL_ALL);
    assert_int_equal(b.n_new, 1);
    tell_all(&b);
    // a change that comes first hears it as well
    kp_namespaces_set(b.namespaces, "c", "2026-11-25T15:00:00Z");
    expect(&b, "c", -1, false);
    answer(&b, KP_NAMESPACES_TELL_ALL);
    tell_all(&b);
    assert_int_equal(b.n_new, 2);
    kp_namespaces_ask(b.namespaces); // an answer that does not come is no news
    expect(&b, "", -1, false);
    answer(&b, KP_NAMESPACES_AGAIN);
    expect_nothing(&b);
    stop(&b);
}

static void test_parts_that_are_lost_begin_anew(void **state)
{
    (void)state;
    static const enum kp_namespaces_answer losses[] = {KP_NAMESPACES_AGAIN, KP_NAMESPACES_TELL_ALL};
    for (size_t i = 0; i < KP_COUNT(losses); i++) {
        struct bench b;
        start(&b);
        kp_namespaces_set_posting(b.namespaces, true);
        expect(&b, "ab", 0, true);
        kp_auto_free char *first = round_of(&b);
        answer(&b, KP_NAMESPACES_TAKEN);
        expect(&b, "c", 1, false);
        kp_auto_free char *same = round_of(&b);
        assert_string_equal(first, same);
        answer(&b, losses[i]);
        expect(&b, "ab", 0, true);
        kp_auto_free char *second = round_of(&b);
        assert_string_not_equal(first, second);
        kp_namespaces_tell_all(b.namespaces); // it answers again, says the probe
        answer(&b, KP_NAMESPACES_TAKEN);
        tell_all(&b);
        expect_nothing(&b);
        stop(&b);
    }
}

static void test_what_comes_on_the_way_is_told(void **state)
{
    (void)state;
    struct bench b;
    start(&b);
    kp_namespaces_set_posting(b.namespaces, true);
    expect(&b, "ab", 0, true);
    kp_namespaces_set(b.namespaces, "a", "2026-11-25T16:00:00Z");
    kp_namespaces_set(b.namespaces, "d", "2026-11-25T16:00:00Z");
    answer(&b, KP_NAMESPACES_TAKEN);
    expect(&b, "ac", 1, true);
    answer(&b, KP_NAMESPACES_TAKEN);
    expect(&b, "d", 2, false);
    kp_namespaces_set(b.namespaces, "e", "2026-11-25T16:00:00Z"); // after the last
    answer(&b, KP_NAMESPACES_TAKEN);
    expect(&b, "e", -1, false);
    answer(&b, KP_NAMESPACES_TAKEN);
    expect_nothing(&b);
    stop(&b);
}

static void test_what_is_refused_is_not_repeated(void **state)
{
    (void)state;
    struct bench b;
    start(&b);
    kp_namespaces_set_posting(b.namespaces, true);
    expect(&b, "ab", 0, true);
    answer(&b, KP_NAMESPACES_REFUSED);
    expect(&b, "c", -1, false);
    answer(&b, KP_NAMESPACES_TAKEN);
    expect_nothing(&b);
    kp_namespaces_set(b.namespaces, "c", "2026-11-25T17:00:00Z");
    expect(&b, "c", -1, false);
    answer(&b, KP_NAMESPACES_AGAIN); // that is
    expect(&b, "c", -1, false);
    answer(&b, KP_NAMESPACES_TAKEN);
    stop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_in_parts_then_what_changes),
        cmocka_unit_test(test_who_asks_hears_that_it_was_restarted),
        cmocka_unit_test(test_parts_that_are_lost_begin_anew),
        cmocka_unit_test(test_what_comes_on_the_way_is_told),
        cmocka_unit_test(test_what_is_refused_is_not_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
