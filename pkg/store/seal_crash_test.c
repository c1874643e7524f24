// Killed at every step of sealing and joining, and at random moments: what was acknowledged is there
// afterwards, whole, and once; what was deleted stays deleted. KP_CRASH_ROUNDS=1000 makes it a long run.
#include "store/seal_testing.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#include "base/backoff.h"
#include "store/tier.h"
#include "base/banned.h"

static const struct kp_store_options options = {.log_file_bytes = 60000};

// ---- at each step ----

enum step {
    BEFORE_RUN,
    AFTER_RUN,
    AFTER_RUN_AND_DELETE,
    AFTER_RUN_AND_DELETE_AND_COMPACTION,
    AFTER_RUN_AND_DROP,
    AFTER_END,
    AFTER_COMPACTION,
    N_STEPS
};

static bool deletes(int step)
{
    return step == AFTER_RUN_AND_DELETE || step == AFTER_RUN_AND_DELETE_AND_COMPACTION;
}

// As retention by bytes does it: a mark and no tombstone.
static void drop(struct kp_store *store, const char *text)
{
    struct kp_id id;
    struct kp_logfile *file;
    size_t at;
    if (!kp_id_parse(text, &id) || !kp_store_locate(store, id.number, &file, &at))
        _exit(13);
    pthread_rwlock_wrlock(&store->lock);
    kp_store_mark(store, file, at, KP_ROW_DEAD);
    pthread_rwlock_unlock(&store->lock);
}

static const char *doomed_id; // what AFTER_RUN_AND_DELETE deletes

// Until neither the file of what was just deleted nor that of its tombstone is as it was.
static void churn(struct kp_store *store)
{
    for (int i = 0; i < 8; i++) {
        char *id = put_capture(store, (struct capture){.namespace = "shop", .stacks = 300});
        if (kp_store_delete(store, id, NULL) != 0)
            _exit(11);
    }
    for (bool more = true; more;)
        if (kp_store_retain(store, &more, NULL) != 0)
            _exit(12);
}

// In a process of its own that ends without a word.
static void stop_at(const char *dir, enum step step, bool now)
{
    fflush(stdout);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct kp_store *store = open_store(dir, options);
        struct kp_seal *seal;
        if (kp_store_seal_begin(store, now, &seal, NULL) != 0 || seal == NULL)
            _exit(2);
        if (step >= AFTER_RUN && kp_seal_run(seal, NULL, NULL) != 0)
            _exit(3);
        if (deletes((int)step) && kp_store_delete(store, doomed_id, NULL) != 0)
            _exit(4);
        if (step == AFTER_RUN_AND_DELETE_AND_COMPACTION)
            churn(store);
        if (step == AFTER_RUN_AND_DROP)
            drop(store, doomed_id);
        if (step >= AFTER_END && kp_seal_end(seal, NULL) != 0)
            _exit(5);
        bool more = true;
        while (step >= AFTER_COMPACTION && more)
            if (kp_store_retain(store, &more, NULL) != 0)
                _exit(6);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("step %d ended with %d", step, status);
}

static void fill(struct kp_store *store, int n)
{
    for (int i = 0; i < n; i++) {
        kp_auto_free char *key = kp_asprintf("%lld-%d", (long long)clock_ms, i);
        kp_free(put_capture(store, (struct capture){.namespace = i % 3 ? "shop" : "bank",
                                       .pod = i % 2 ? "p0" : "p1",
                                       .type = i % 4 ? "cpu" : "trace",
                                       .format = i % 4 ? "pprof" : "trace",
                                       .key = key,
                                       .start_ms = clock_ms + i * 1000}));
    }
}

// How what is left of the last run is made worse.
static void lose(const char *dir, int what)
{
    if (what & 1)
        remove_index(dir);
    if (what & 2)
        remove_sidecars(dir);
}

static void test_steps_of_sealing(void **state)
{
    (void)state;
    for (int step = BEFORE_RUN; step < N_STEPS; step++) {
        for (int lost = 0; step != AFTER_RUN_AND_DROP && lost < 4; lost++) {
            clock_ms = T0;
            char *dir = kp_test_tmpdir();
            struct kp_store *store = open_store(dir, options);
            struct pictures before;
            fill(store, 40);
            char *victim = put_capture(
                store, (struct capture){.namespace = "shop", .start_ms = T0 + DAY, .stacks = 600});
            if (!deletes(step))
                assert_int_equal(kp_store_delete(store, victim, NULL), 0);
            else
                doomed_id = victim;
            if (deletes(step)) // the picture is without it
                before = (struct pictures){0};
            else
                take_pictures(store, &before);
            kp_store_close(store);
            stop_at(dir, (enum step)step, true);
            lose(dir, lost);
            for (int round = 0; round < 3; round++) {
                store = open_store(dir, options);
                assert_int_equal(stats_of(store).n_profiles, 40);
                assert_int_equal(kp_store_delete(store, victim, NULL), KP_NOT_FOUND);
                if (before.oldest.items.n > 0)
                    check_pictures(store, &before);
                if (round == 1) {
                    seal_all(store, true);
                    retain_all(store);
                    assert_int_equal(stats_of(store).n_profiles, 40);
                    assert_int_equal(stats_of(store).n_sealed, 40);
                }
                kp_store_close(store);
                lose(dir, lost);
            }
            free_pictures(&before);
            kp_free(victim);
            kp_test_rmdir(dir);
        }
    }
}

static void test_dropped_while_sealing(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, options);
    fill(store, 20);
    char *victim = put_capture(store, (struct capture){.namespace = "shop", .start_ms = T0 + DAY});
    doomed_id = victim;
    kp_store_close(store);
    stop_at(dir, AFTER_RUN_AND_DROP, true);
    for (int round = 0; round < 4; round++) {
        store = open_store(dir, options);
        assert_int_equal(stats_of(store).n_profiles, 20);
        assert_int_equal(kp_store_delete(store, victim, NULL), KP_NOT_FOUND);
        retain_all(store);
        kp_store_close(store);
        lose(dir, round == 2);
    }
    kp_free(victim);
    kp_test_rmdir(dir);
}

static void test_steps_of_joining(void **state)
{
    (void)state;
    for (int step = BEFORE_RUN; step < N_STEPS; step++) {
        for (int lost = 0; step != AFTER_RUN_AND_DROP && lost < 4; lost++) {
            clock_ms = T0 / DAY * DAY;
            char *dir = kp_test_tmpdir();
            struct kp_store *store = open_store(dir, options);
            struct pictures before;
            for (int h = 0; h < 4; h++) {
                fill(store, 12);
                clock_ms += HOUR;
                seal_all(store, false);
            }
            retain_all(store);
            clock_ms += DAY;
            take_pictures(store, &before);
            doomed_id = before.newest.items.items[0].id;
            kp_store_close(store);
            stop_at(dir, (enum step)step, false);
            lose(dir, lost);
            for (int round = 0; round < 2; round++) {
                store = open_store(dir, options);
                if (deletes(step))
                    assert_int_equal(stats_of(store).n_profiles, 47);
                else
                    check_pictures(store, &before);
                seal_all(store, false);
                assert_int_equal(stats_of(store).n_segments, 2);
                assert_int_equal(wrong_in(store), 0);
                kp_store_close(store);
            }
            free_pictures(&before);
            kp_test_rmdir(dir);
        }
    }
}

// ---- at random moments ----

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

static void read_lines(int fd, struct told_all *all)
{
    struct line line;
    size_t have = 0;
    for (;;) {
        ssize_t n = read(fd, (char *)&line + have, sizeof line - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; // a line cut by the kill was told to nobody
        have += (size_t)n;
        if (have == sizeof line) {
            *kp_array_add(&all->lines) = line;
            have = 0;
        }
    }
}

static void kill_one(const char *dir, uint64_t *random, struct told_all *all)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    fflush(stdout);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(fds[0]);
        run_writer(dir, fds[1], kp_random_next(random));
    }
    close(fds[1]);
    struct timespec wait = {0, 5000000 + (long)(kp_random_next(random) % 60000000)};
    nanosleep(&wait, NULL);
    kill(pid, SIGKILL);
    read_lines(fds[0], all);
    close(fds[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail_msg("the writer ended by itself: %d", status);
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

static bool on_key(void *user, const struct kp_record *record)
{
    struct listing *l = user;
    kp_copy(l->ids[l->n % KP_COUNT(l->ids)], sizeof l->ids[0], record->id);
    l->n++;
    return true;
}

static size_t list_all(struct kp_store *store)
{
    struct listing *l = KP_NEW(struct listing);
    char *cursor = NULL;
    char last[32] = "";
    do {
        char *next = NULL;
        size_t before = l->n;
        const struct kp_store_query q = {.limit = 1000, .cursor = cursor};
        assert_int_equal(kp_store_list(store, &q, on_key, l, &next, NULL), 0);
        for (size_t i = before; i < l->n; i++) { // each once
            assert_true(strcmp(last, l->ids[i % KP_COUNT(l->ids)]) < 0);
            kp_copy(last, sizeof last, l->ids[i % KP_COUNT(l->ids)]);
        }
        kp_free(cursor);
        cursor = next;
    } while (cursor);
    size_t n = l->n;
    kp_free(l);
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
    for (int round = 0; round < rounds; round++) {
        if (round % 40 == 0) { // a new store now and then: the checks read everything
            if (dir)
                kp_test_rmdir(dir);
            dir = kp_test_tmpdir();
            kp_array_free(&all.lines);
            clock_ms = T0;
        }
        size_t before = all.lines.n;
        kill_one(dir, &random, &all);
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_of_sealing),
        cmocka_unit_test(test_dropped_while_sealing),
        cmocka_unit_test(test_steps_of_joining),
        cmocka_unit_test(test_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
