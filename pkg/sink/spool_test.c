#include "sink/spool.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/file.h"
#include "testkit/testkit.h"
#include "base/banned.h"

struct seen {
    KP_ARRAY(struct kp_spool_place) places;
    KP_ARRAY(char *) texts;
    KP_ARRAY(int64_t) times;
};

static bool note(
    void *user, const struct kp_spool_place *place, int64_t put_ms, const void *capture, size_t len)
{
    struct seen *seen = user;
    *kp_array_add(&seen->places) = *place;
    *kp_array_add(&seen->texts) = kp_strndup(capture, len);
    *kp_array_add(&seen->times) = put_ms;
    return true;
}

static void forget(struct seen *seen)
{
    for (size_t i = 0; i < seen->texts.n; i++)
        kp_free(seen->texts.items[i]);
    kp_array_free(&seen->texts);
    kp_array_free(&seen->places);
    kp_array_free(&seen->times);
}

static struct kp_spool *open_spool(const char *dir, struct seen *seen)
{
    struct kp_spool *spool = NULL;
    struct kp_error err = {0};
    *seen = (struct seen){0};
    if (kp_spool_open(dir, note, seen, &spool, &err) != 0)
        fail_msg("%s", err.text);
    return spool;
}

static struct kp_spool_place append(struct kp_spool *spool, const char *text, int64_t put_ms)
{
    struct kp_spool_place place;
    struct kp_error err = {0};
    if (kp_spool_append(spool, text, strlen(text), put_ms, &place, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(kp_spool_sync(spool, &err), 0);
    return place;
}

static void keeps_order_over_a_restart(void **state)
{
    char *dir = kp_test_tmpdir();
    struct seen seen;
    struct kp_error err = {0};
    (void)state;
    struct kp_spool *spool = open_spool(dir, &seen);
    append(spool, "one", 11);
    struct kp_spool_place two = append(spool, "two", 22);
    append(spool, "three", 33);
    assert_int_equal(kp_spool_bytes(spool), 3 * KP_SPOOL_OVERHEAD + 11);
    char *text = NULL;
    assert_int_equal(kp_spool_read(spool, &two, &text, &err), 0);
    assert_string_equal(text, "two");
    kp_free(text);
    kp_spool_close(spool);

    spool = open_spool(dir, &seen);
    assert_int_equal(seen.texts.n, 3);
    assert_string_equal(seen.texts.items[0], "one");
    assert_string_equal(seen.texts.items[2], "three");
    assert_int_equal(seen.times.items[1], 22);
    append(spool, "four", 44); // into a new file
    for (size_t i = 0; i < 3; i++)
        kp_spool_drop(spool, &seen.places.items[i]);
    assert_int_equal(kp_spool_bytes(spool), KP_SPOOL_OVERHEAD + 4);
    forget(&seen);
    kp_spool_close(spool);

    spool = open_spool(dir, &seen);
    assert_int_equal(seen.texts.n, 1);
    assert_string_equal(seen.texts.items[0], "four");
    assert_int_equal(kp_spool_damaged(spool), 0);
    forget(&seen);
    kp_spool_close(spool);
    kp_test_rmdir(dir);
}

static void one_process_only(void **state)
{
    char *dir = kp_test_tmpdir();
    struct seen seen, none = {0};
    struct kp_error err = {0};
    struct kp_spool *other = NULL;
    (void)state;
    struct kp_spool *spool = open_spool(dir, &seen);
    assert_int_equal(kp_spool_open(dir, note, &none, &other, &err), KP_CONFLICT);
    assert_non_null(strstr(err.text, "another process uses the spool"));
    kp_spool_close(spool);
    kp_spool_close(open_spool(dir, &seen));
    kp_test_rmdir(dir);
}

// A crash may leave any prefix: whole frames are kept, the rest is passed over, and writing goes on.
static void survives_a_cut_at_every_byte(void **state)
{
    char *dir = kp_test_tmpdir();
    kp_auto_free char *path = kp_asprintf("%s/000000000001.spool", dir);
    struct seen seen;
    size_t len;
    (void)state;
    struct kp_spool *spool = open_spool(dir, &seen);
    append(spool, "alpha", 1);
    append(spool, "beta", 2);
    append(spool, "gamma", 3);
    kp_spool_close(spool);
    char *whole = kp_test_read_file(path, &len);
    size_t frame = KP_SPOOL_OVERHEAD + 5, second = frame + KP_SPOOL_OVERHEAD + 4;
    for (size_t cut = 0; cut <= len; cut++) {
        size_t want = cut >= len ? 3 : cut >= second ? 2 : cut >= frame ? 1 : 0;
        bool torn = cut != 0 && cut != frame && cut != second && cut != len;
        assert_int_equal(kp_file_write_atomic(path, whole, cut, 0600, NULL), 0);
        spool = open_spool(dir, &seen);
        assert_int_equal(seen.texts.n, want);
        assert_int_equal(kp_spool_damaged(spool), torn ? 1 : 0);
        append(spool, "after", 4);
        forget(&seen);
        kp_spool_close(spool);
        spool = open_spool(dir, &seen);
        assert_int_equal(seen.texts.n, want + 1);
        assert_string_equal(seen.texts.items[want], "after");
        for (size_t i = 0; i <= want; i++)
            kp_spool_drop(spool, &seen.places.items[i]);
        assert_int_equal(kp_spool_bytes(spool), 0);
        forget(&seen);
        kp_spool_close(spool);
    }
    kp_free(whole);
    kp_test_rmdir(dir);
}

static void a_flipped_bit_costs_one_capture_at_most(void **state)
{
    char *dir = kp_test_tmpdir();
    kp_auto_free char *path = kp_asprintf("%s/000000000001.spool", dir);
    struct seen seen;
    size_t len;
    (void)state;
    struct kp_spool *spool = open_spool(dir, &seen);
    append(spool, "alpha", 1);
    append(spool, "beta", 2);
    kp_spool_close(spool);
    char *whole = kp_test_read_file(path, &len);
    for (size_t at = 0; at < len; at++) {
        whole[at] = (char)(whole[at] ^ 4);
        assert_int_equal(kp_file_write_atomic(path, whole, len, 0600, NULL), 0);
        spool = open_spool(dir, &seen);
        assert_true(kp_spool_damaged(spool) >= 1);
        for (size_t i = 0; i < seen.texts.n; i++)
            assert_true(
                strcmp(seen.texts.items[i], "alpha") == 0 || strcmp(seen.texts.items[i], "beta") == 0);
        if (at >= KP_SPOOL_OVERHEAD + 5)
            assert_string_equal(seen.texts.items[0], "alpha");
        bool body = at >= 8 && at < KP_SPOOL_OVERHEAD + 5;
        if (body) // the length still leads to the next one
            assert_string_equal(seen.texts.items[0], "beta");
        forget(&seen);
        kp_spool_close(spool);
        whole[at] = (char)(whole[at] ^ 4);
    }
    kp_free(whole);
    kp_test_rmdir(dir);
}

static void damage_after_opening_is_told(void **state)
{
    char *dir = kp_test_tmpdir();
    kp_auto_free char *path = kp_asprintf("%s/000000000001.spool", dir);
    struct seen seen;
    struct kp_error err = {0};
    char *text = NULL;
    (void)state;
    struct kp_spool *spool = open_spool(dir, &seen);
    struct kp_spool_place place = append(spool, "alpha", 1);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "X", 1, KP_SPOOL_OVERHEAD + 2), 1);
    close(fd);
    assert_int_equal(kp_spool_read(spool, &place, &text, &err), KP_CORRUPT);
    assert_int_equal(kp_spool_damaged(spool), 1);
    assert_int_equal(unlink(path), 0);
    struct kp_error gone = {0};
    assert_int_equal(kp_spool_read(spool, &place, &text, &gone), KP_NOT_FOUND);
    kp_spool_close(spool);
    kp_test_rmdir(dir);
}

static void a_folder_that_cannot_be_made_is_told(void **state)
{
    struct seen seen = {0};
    struct kp_error err = {0};
    struct kp_spool *spool = NULL;
    (void)state;
    assert_int_not_equal(kp_spool_open("/dev/null/spool", note, &seen, &spool, &err), 0);
    assert_non_null(strstr(err.text, "/dev/null"));
}

// ---- kill -9 ----

static void write_for_ever(const char *dir, int acks)
{
    struct seen seen;
    struct kp_spool *spool = NULL;
    struct kp_spool_place place;
    seen = (struct seen){0};
    if (kp_spool_open(dir, note, &seen, &spool, NULL) != 0)
        _exit(1);
    for (uint32_t i = 0;; i++) {
        char text[5000];
        memset(text, 'a' + (int)(i % 26), sizeof text);
        memcpy(text, &i, sizeof i);
        if (kp_spool_append(spool, text, 100 + i * 7 % 4900, i, &place, NULL) != 0 ||
            kp_spool_sync(spool, NULL) != 0 || write(acks, &i, sizeof i) != sizeof i)
            _exit(1);
    }
}

static bool count(
    void *user, const struct kp_spool_place *place, int64_t put_ms, const void *capture, size_t len)
{
    uint32_t *next = user, number;
    (void)place;
    memcpy(&number, capture, sizeof number);
    assert_int_equal(number, *next); // in order, none missing
    assert_int_equal(put_ms, number);
    assert_int_equal(len, 100 + number * 7 % 4900);
    (*next)++;
    return true;
}

static void nothing_synced_is_lost_by_a_kill(void **state)
{
    (void)state;
    for (unsigned round = 1; round <= 5; round++) {
        char *dir = kp_test_tmpdir();
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            write_for_ever(dir, fds[1]);
        close(fds[1]);
        uint32_t acked = 0, n = 0, found = 0;
        while (n < round * 20 && read(fds[0], &acked, sizeof acked) == sizeof acked)
            n++;
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        while (read(fds[0], &acked, sizeof acked) == sizeof acked)
            ;
        close(fds[0]);
        struct kp_spool *spool = NULL;
        assert_int_equal(kp_spool_open(dir, count, &found, &spool, NULL), 0);
        assert_true(found >= acked + 1);
        kp_spool_close(spool);
        kp_test_rmdir(dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_order_over_a_restart),
        cmocka_unit_test(one_process_only),
        cmocka_unit_test(survives_a_cut_at_every_byte),
        cmocka_unit_test(a_flipped_bit_costs_one_capture_at_most),
        cmocka_unit_test(damage_after_opening_is_told),
        cmocka_unit_test(a_folder_that_cannot_be_made_is_told),
        cmocka_unit_test(nothing_synced_is_lost_by_a_kill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
