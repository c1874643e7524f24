// Killed at random moments while it stores, seals, joins and deletes: what was acknowledged is there
// afterwards, whole, and once; what was deleted stays deleted. KP_CRASH_ROUNDS=1000 makes it a long run.
#include "store/crash_testing.h"
#include "store/seal_testing.h"

#include <stdlib.h>

#include "base/banned.h"

#define MOST_ROUNDS 600

static const struct kp_store_options options = {.log_file_bytes = 60000};

// What the writer told: a profile is stored, or it is to be deleted, or it was deleted.
enum told { STORED, DELETING, DELETED };

struct line {
    char id[32];
    struct kp_digest digest;
    enum told told;
};

struct writer {
    struct kp_store *store;
    int fd;
    uint64_t random;
    char last[32];
};

static void tell(struct writer *w, const char *id, struct kp_digest digest, enum told told)
{
    struct line line = {.digest = digest, .told = told};
    kp_copy(line.id, sizeof line.id, id);
    if (write(w->fd, &line, sizeof line) != (ssize_t)sizeof line)
        _exit(5);
}

static void write_some(struct writer *w)
{
    struct kp_append entries[6];
    size_t n = 1 + kp_random_next(&w->random) % 6;
    for (size_t i = 0; i < n; i++) {
        uint64_t r = kp_random_next(&w->random);
        kp_auto_free char *key = kp_asprintf("%llx", (unsigned long long)r);
        make_capture(&entries[i], &(struct capture){.namespace = r % 3 ? "shop" : "bank",
                                      .pod = r % 2 ? "p0" : "p1",
                                      .type = r % 5 ? "cpu" : "trace",
                                      .format = r % 5 ? "pprof" : "trace",
                                      .key = key,
                                      .seed = r % 7,
                                      .stacks = 1 + (unsigned)(r % 20),
                                      .start_ms = clock_ms + (int64_t)(r % 100000)});
    }
    kp_store_append(w->store, entries, n);
    for (size_t i = 0; i < n; i++) {
        if (entries[i].status != KP_APPEND_STORED)
            _exit(4);
        tell(w, entries[i].record->id, digest_of(entries[i].body), STORED);
        kp_copy(w->last, sizeof w->last, entries[i].record->id);
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
    if (kp_random_next(&w->random) % 2)
        write_some(w);
    if (kp_seal_end(seal, NULL) != 0)
        _exit(8);
}

static void delete_one(struct writer *w)
{
    char id[32];
    if (w->last[0] == '\0')
        return;
    kp_copy(id, sizeof id, w->last);
    w->last[0] = '\0';
    tell(w, id, (struct kp_digest){0}, DELETING);
    if (kp_store_delete(w->store, id, NULL) != 0)
        _exit(9);
    tell(w, id, (struct kp_digest){0}, DELETED);
}

static void run_writer(const char *dir, int fd, uint64_t seed)
{
    struct writer w = {.fd = fd, .random = seed};
    struct kp_error err = {0};
    struct kp_store_options o = options;
    o.dir = dir;
    o.now_ms = test_now;
    if (kp_store_open(&o, &w.store, &err) != 0)
        _exit(3);
    for (;;) {
        uint64_t r = kp_random_next(&w.random) % 16;
        bool more = true;
        if (r < 8)
            write_some(&w);
        else if (r < 11)
            seal_some(&w);
        else if (r < 13 && kp_store_retain(w.store, &more, &err) != 0)
            _exit(10);
        else if (r == 13)
            delete_one(&w);
        else if (r == 14)
            clock_ms += HOUR / 2;
        else if (r == 15 && kp_random_next(&w.random) % 4 == 0)
            clock_ms += DAY;
    }
}

struct told_all {
    KP_ARRAY(struct line) lines;
};

static void on_line(void *user, const void *line)
{
    *kp_array_add(&((struct told_all *)user)->lines) = *(const struct line *)line;
}

static int by_id_then_told(const void *pa, const void *pb)
{
    const struct line *a = pa;
    const struct line *b = pb;
    int c = strcmp(a->id, b->id);
    return c != 0 ? c : (int)a->told - (int)b->told;
}

// How many of those that were told are certainly there, and how many may be.
static void check_told(struct kp_store *store, struct told_all *all, size_t *ret_sure, size_t *ret_maybe)
{
    *ret_sure = *ret_maybe = 0;
    if (all->lines.n > 1)
        qsort(all->lines.items, all->lines.n, sizeof all->lines.items[0], by_id_then_told);
    for (size_t i = 0; i < all->lines.n;) {
        const struct line *first = &all->lines.items[i];
        enum told last = STORED;
        for (; i < all->lines.n && strcmp(all->lines.items[i].id, first->id) == 0; i++)
            last = all->lines.items[i].told;
        struct kp_error err = {0};
        struct kp_blob *body = NULL;
        int rc = kp_store_get(store, first->id, NULL, &body, &err);
        if (last == STORED && rc != 0)
            fail_msg("acknowledged: %s", err.text);
        if (last == DELETED && rc == 0)
            fail_msg("deleted, and here again: %s", first->id);
        if (rc == 0 && !kp_digest_equal(digest_of(body), first->digest))
            fail_msg("changed: %s", first->id);
        kp_blob_unref(body);
        *ret_sure += last == STORED;
        *ret_maybe += last == DELETING;
    }
}

struct id_text {
    char text[32];
};

struct ids {
    KP_ARRAY(struct id_text) list;
};

static bool on_key(void *user, const struct kp_record *record)
{
    kp_copy(kp_array_add(&((struct ids *)user)->list)->text, sizeof(struct id_text), record->id);
    return true;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct id_text *)a)->text, ((const struct id_text *)b)->text);
}

static size_t list_all(struct kp_store *store)
{
    struct ids ids = {0};
    char *cursor = NULL;
    do {
        char *next = NULL;
        const struct kp_store_query q = {.limit = 1000, .cursor = cursor};
        assert_int_equal(kp_store_list(store, &q, on_key, &ids, &next, NULL), 0);
        kp_free(cursor);
        cursor = next;
    } while (cursor);
    size_t n = ids.list.n;
    if (n > 1)
        qsort(ids.list.items, n, sizeof ids.list.items[0], by_text);
    for (size_t i = 1; i < n; i++) // each once
        assert_true(by_text(&ids.list.items[i - 1], &ids.list.items[i]) < 0);
    kp_array_free(&ids.list);
    return n;
}

static void test_killed(void **state)
{
    (void)state;
    const char *text = getenv("KP_CRASH_ROUNDS"); // NOLINT(concurrency-mt-unsafe)
    int rounds = text ? (int)strtol(text, NULL, 10) : 40;
    uint64_t random = text ? (uint64_t)time(NULL) : 7;
    size_t n_told = 0;
    uint64_t n_sealed = 0;
    char *dir = NULL;
    struct told_all all = {0};
    const struct victim victim = {.run = run_writer,
        .line_size = sizeof(struct line),
        .on_line = on_line,
        .user = &all,
        .least_ns = 5000000,
        .spread_ns = 60000000};
    // on a busy machine a victim may have done next to nothing
    for (int round = 0; round < rounds || (n_sealed == 0 && round < MOST_ROUNDS); round++) {
        if (round % 40 == 0) { // a new store now and then: the checks read everything
            if (dir)
                kp_test_rmdir(dir);
            dir = kp_test_tmpdir();
            kp_array_free(&all.lines);
            clock_ms = T0;
        }
        size_t before = all.lines.n;
        kill_one(&victim, dir, &random);
        n_told += all.lines.n - before;
        if (round % 5 == 4)
            lose(dir, (int)(kp_random_next(&random) % 4));
        clock_ms += HOUR / 2;
        struct kp_store *store = open_store(dir, options);
        size_t sure;
        size_t maybe;
        check_told(store, &all, &sure, &maybe);
        struct kp_store_stats stats = stats_of(store);
        size_t listed = list_all(store);
        assert_int_equal(listed, stats.n_profiles);
        assert_true(listed >= sure && listed <= sure + maybe + 6 * (size_t)(round % 40 + 1));
        assert_int_equal(wrong_in(store), 0);
        n_sealed = stats.n_sealed > n_sealed ? stats.n_sealed : n_sealed;
        kp_store_close(store);
    }
    print_message("%zu told in %d rounds, up to %llu sealed\n", n_told, rounds, (unsigned long long)n_sealed);
    assert_true(n_sealed > 0);
    kp_array_free(&all.lines);
    kp_test_rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_killed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
