// Killed at random moments while it stores, seals, forgets and tidies: what was said to be forgotten never
// comes back, and nothing else is lost. KP_CRASH_ROUNDS=1000 makes it a long run.
#include "store/crash_testing.h"
#include "store/seal_testing.h"

#include <stdlib.h>

#include "base/banned.h"

#define MOST_ROUNDS 600

static const struct kp_store_options options = {.log_file_bytes = 60000};

enum told { STORED, FORGETTING, FORGOTTEN };

struct line {
    char id[32];
    bool is_shop;
    int64_t ms; // start of the capture, or before when
    enum told told;
};

struct writer {
    struct kp_store *store;
    int fd;
    uint64_t random;
};

static void tell(const struct writer *w, struct line line)
{
    if (write(w->fd, &line, sizeof line) != (ssize_t)sizeof line)
        _exit(5);
}

static void write_some(struct writer *w)
{
    struct kp_append entries[6];
    size_t n = 1 + kp_random_next(&w->random) % 6;
    bool is_shop = kp_random_next(&w->random) % 2;
    clock_ms += 1000;
    for (size_t i = 0; i < n; i++)
        make_capture(&entries[i],
            &(struct capture){.namespace = is_shop ? "shop" : "bank", .pod = "p0", .digest = "d", .seed = i});
    kp_store_append(w->store, entries, n);
    for (size_t i = 0; i < n; i++) {
        if (entries[i].status != KP_APPEND_STORED)
            _exit(4);
        struct line line = {.is_shop = is_shop, .ms = clock_ms, .told = STORED};
        kp_copy(line.id, sizeof line.id, entries[i].record->id);
        tell(w, line);
        release_capture(&entries[i]);
    }
}

static void seal_some(struct writer *w)
{
    struct kp_seal *seal = NULL;
    if (kp_store_seal_begin(w->store, kp_random_next(&w->random) % 2, &seal, NULL) != 0)
        _exit(6);
    if (seal == NULL)
        return;
    if (kp_seal_run(seal, NULL, NULL) != 0)
        _exit(7);
    if (kp_seal_end(seal, NULL) != 0)
        _exit(8);
}

static void forget(struct writer *w)
{
    int64_t before_ms = clock_ms - (int64_t)(kp_random_next(&w->random) % 3) * 5000;
    tell(w, (struct line){.ms = before_ms, .told = FORGETTING});
    if (kp_store_forget_namespace(w->store, "shop", before_ms, NULL) != 0)
        _exit(9);
    tell(w, (struct line){.ms = before_ms, .told = FORGOTTEN});
}

static void run_writer(const char *dir, int fd, uint64_t seed)
{
    struct writer w = {.fd = fd, .random = seed};
    struct kp_store_options o = options;
    o.dir = dir;
    o.now_ms = test_now;
    if (kp_store_open(&o, &w.store, NULL) != 0)
        _exit(3);
    for (;;) {
        uint64_t r = kp_random_next(&w.random) % 16;
        bool more = true;
        if (r < 9)
            write_some(&w);
        else if (r < 12)
            seal_some(&w);
        else if (r < 14 && kp_store_retain(w.store, &more, NULL) != 0)
            _exit(10);
        else if (r == 14)
            forget(&w);
    }
}

struct told_all {
    KP_ARRAY(struct line) lines;
};

static void on_line(void *user, const void *line)
{
    *kp_array_add(&((struct told_all *)user)->lines) = *(const struct line *)line;
}

static size_t check(struct kp_store *store, const struct told_all *all)
{
    int64_t sure_ms = 0;  // before it all is gone
    int64_t maybe_ms = 0; // before it all may be gone
    size_t n_gone = 0;
    for (size_t i = 0; i < all->lines.n; i++) {
        const struct line *l = &all->lines.items[i];
        sure_ms = l->told == FORGOTTEN && l->ms > sure_ms ? l->ms : sure_ms;
        maybe_ms = l->told == FORGETTING && l->ms > maybe_ms ? l->ms : maybe_ms;
        clock_ms = l->told == STORED && l->ms > clock_ms ? l->ms : clock_ms;
    }
    for (size_t i = 0; i < all->lines.n; i++) {
        const struct line *l = &all->lines.items[i];
        struct kp_blob *body = NULL;
        if (l->told != STORED)
            continue;
        int rc = kp_store_get(store, l->id, NULL, &body, NULL);
        kp_blob_unref(body);
        if (rc != 0 && (!l->is_shop || l->ms >= maybe_ms))
            fail_msg("%s was acknowledged and is not here", l->id);
        if (rc == 0 && l->is_shop && l->ms < sure_ms)
            fail_msg("%s was forgotten and is here", l->id);
        n_gone += rc != 0;
    }
    return n_gone;
}

static void test_killed(void **state)
{
    (void)state;
    const char *text = getenv("KP_CRASH_ROUNDS"); // NOLINT(concurrency-mt-unsafe)
    int rounds = text ? (int)strtol(text, NULL, 10) : 30;
    uint64_t random = text ? (uint64_t)time(NULL) : 7;
    char *dir = NULL;
    size_t n_gone = 0;
    struct told_all all = {0};
    const struct victim victim = {.run = run_writer,
        .line_size = sizeof(struct line),
        .on_line = on_line,
        .user = &all,
        .least_ns = 5000000,
        .spread_ns = 60000000};
    // on a busy machine a victim may have done next to nothing
    for (int round = 0; round < rounds || (n_gone == 0 && round < MOST_ROUNDS); round++) {
        if (round % 15 == 0) {
            if (dir)
                kp_test_rmdir(dir);
            dir = kp_test_tmpdir();
            kp_array_free(&all.lines);
            clock_ms = T0;
        }
        kill_one(&victim, dir, &random);
        if (round % 3 == 2)
            lose(dir, (int)(kp_random_next(&random) % 4));
        struct kp_store *store = open_store(dir, options);
        n_gone += check(store, &all);
        assert_int_equal(wrong_in(store), 0);
        kp_store_close(store);
        clock_ms += 60000;
    }
    print_message("%zu told in the end, %zu found gone\n", all.lines.n, n_gone);
    assert_true(n_gone > 0);
    kp_array_free(&all.lines);
    kp_test_rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_killed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
