// A writer killed at random moments: what it acknowledged must be there afterwards, whole, and once.
#include "store/crash_testing.h"

#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/array.h"
#include "base/text.h"
#include "store/store.h"
#include "testkit/testkit.h"
#include "base/banned.h"

#define ROUNDS      120
#define MOST_ROUNDS 1200

struct line {
    char id[32];
    uint32_t sum;
};

static size_t size_of(uint64_t *random)
{
    uint64_t r = kp_random_next(random);
    return r % 50 == 0 ? 200000 + r % 300000 : 10 + r % 20000;
}

// Appends batches for ever, deletes now and then; reports on fd what was acknowledged.
static void writer(const char *dir, int fd, uint64_t seed)
{
    struct kp_store *store;
    const struct kp_store_options options = {.dir = dir, .log_file_bytes = 1 << 20};
    if (kp_store_open(&options, &store, NULL) != 0)
        _exit(3);
    for (uint64_t batch = 0;; batch++) {
        struct kp_append entries[8] = {0};
        size_t n = 1 + kp_random_next(&seed) % 8;
        for (size_t i = 0; i < n; i++) {
            size_t len = size_of(&seed);
            uint8_t *body = kp_alloc(len);
            memset(body, (int)(seed & 255), len);
            entries[i].record = KP_NEW(struct kp_record);
            entries[i].record->service = kp_asprintf("svc-%u", (unsigned)(kp_random_next(&seed) % 20));
            entries[i].record->type = kp_strdup("cpu");
            entries[i].record->key = kp_asprintf("%016llx%016llx", (unsigned long long)kp_random_next(&seed),
                (unsigned long long)kp_random_next(&seed));
            entries[i].body = kp_blob_take(body, len);
        }
        kp_store_append(store, entries, n);
        struct line lines[8];
        for (size_t i = 0; i < n; i++) {
            if (entries[i].status != KP_APPEND_STORED)
                _exit(4);
            kp_copy(lines[i].id, sizeof lines[i].id, entries[i].record->id);
            lines[i].sum = kp_crc32c(0, entries[i].body->data, entries[i].body->len);
            kp_record_finish(entries[i].record);
            kp_free(entries[i].record);
            kp_blob_unref(entries[i].body);
        }
        if (write(fd, lines, n * sizeof lines[0]) != (ssize_t)(n * sizeof lines[0]))
            _exit(5);
    }
}

struct acknowledged {
    KP_ARRAY(struct line) lines;
};

static void on_line(void *user, const void *line)
{
    *kp_array_add(&((struct acknowledged *)user)->lines) = *(const struct line *)line;
}

static void check_all(struct kp_store *store, const struct acknowledged *all, size_t from)
{
    for (size_t i = from; i < all->lines.n; i++) {
        struct kp_error err = {0};
        struct kp_blob *body = NULL;
        if (kp_store_get(store, all->lines.items[i].id, NULL, &body, &err) != 0)
            fail_msg("acknowledged %zu of %zu: %s", i, all->lines.n, err.text);
        assert_int_equal(kp_crc32c(0, body->data, body->len), all->lines.items[i].sum);
        kp_blob_unref(body);
    }
}

static void test_killed(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct acknowledged all = {0};
    uint64_t random = 42;
    const struct victim victim = {.run = writer,
        .line_size = sizeof(struct line),
        .on_line = on_line,
        .user = &all,
        .spread_ns = 25000000};
    // on a busy machine a victim may have done next to nothing
    for (int round = 0; round < ROUNDS || (all.lines.n <= ROUNDS && round < MOST_ROUNDS); round++) {
        size_t before = all.lines.n;
        kill_one(&victim, dir, &random);
        if (round % 10 == 5) { // rebuilt from the logs alone
            kp_auto_free char *path = kp_asprintf("%s/index.db", dir);
            unlink(path);
        }
        struct kp_store *store;
        struct kp_error err = {0};
        const struct kp_store_options options = {.dir = dir, .log_file_bytes = 1 << 20};
        if (kp_store_open(&options, &store, &err) != 0)
            fail_msg("round %d: %s", round, err.text);
        check_all(store, &all, round + 1 >= ROUNDS ? 0 : before);
        struct kp_store_stats stats;
        kp_store_get_stats(store, &stats);
        assert_true(stats.n_profiles >= all.lines.n);
        assert_true(stats.n_profiles <=
                    all.lines.n + 8 * (uint64_t)(round + 1)); // at most the batch in flight each time
        kp_store_close(store);
    }
    print_message("%zu profiles acknowledged in %d rounds\n", all.lines.n, ROUNDS);
    assert_true(all.lines.n > ROUNDS);
    kp_array_free(&all.lines);
    kp_test_rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_killed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
