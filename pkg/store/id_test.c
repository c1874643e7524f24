// Ids lead back to what they were made of, tell nothing but the time, and cannot be made up.
#include "store/id.h"

#include "store/store_testing.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/banned.h"

#define CHARACTERS "0123456789abcdefghjkmnpqrstvwxyz"

static const struct kp_id_form form = {.key = {0x0123456789abcdef, 0xfedcba9876543210}, .first = 3};

static void assert_same(const struct kp_id *a, const struct kp_id *b)
{
    assert_int_equal(a->start_ms, b->start_ms);
    assert_int_equal(a->series, b->series);
    assert_int_equal(a->number, b->number);
}

static void test_there_and_back(void **state)
{
    (void)state;
    static const int64_t times[] = {0, 1, T0, (INT64_C(1) << 50) - 1};
    static const uint32_t series[] = {0, 1, 70000, UINT32_MAX};
    static const uint64_t numbers[] = {0, 1, UINT64_C(1) << 36, (UINT64_C(1) << 40) - 1};
    for (size_t i = 0; i < KP_COUNT(times) * KP_COUNT(series) * KP_COUNT(numbers); i++) {
        struct kp_id id = {times[i % 4], series[i / 4 % 4], numbers[i / 16]};
        struct kp_id back;
        char text[KP_ID_TEXT];
        char cursor[KP_CURSOR_TEXT];
        assert_int_equal(strlen(kp_id_format(&form, text, &id)), 25);
        assert_int_equal(strspn(text, CHARACTERS), 25);
        assert_true(kp_id_parse(&form, text, &back));
        assert_same(&back, &id);
        assert_int_equal(strlen(kp_cursor_format(&form, cursor, &id)), 38);
        assert_true(kp_cursor_parse(&form, cursor, &back));
        assert_same(&back, &id);
    }
}

static void test_only_the_time_can_be_read(void **state)
{
    (void)state;
    const struct kp_id_form other = {.key = {form.key[0], form.key[1] ^ 1}, .first = 3};
    int n_bits = 0;
    for (uint64_t number = 0; number < 1000; number++) {
        char a[KP_ID_TEXT];
        char b[KP_ID_TEXT];
        struct kp_id back;
        kp_id_format(&form, a, &(struct kp_id){T0, 7, number});
        kp_id_format(&form, b, &(struct kp_id){T0, 7, number + 1});
        assert_memory_equal(a, b, 10);
        for (int i = 10; i < 25; i++) {
            long x = strchr(CHARACTERS, a[i]) - CHARACTERS;
            long y = strchr(CHARACTERS, b[i]) - CHARACTERS;
            n_bits += __builtin_popcountl((unsigned long)(x ^ y));
        }
        kp_id_format(&other, b, &(struct kp_id){T0, 7, number});
        assert_string_not_equal(a + 10, b + 10);
        kp_id_format(&form, b, &(struct kp_id){T0 + 1, 7, number}); // nor may two times be compared
        assert_string_not_equal(a + 10, b + 10);
        b[9] = a[9];
        assert_false(kp_id_parse(&form, b, &back) && back.series == 7);
    }
    assert_in_range(n_bits, 35000, 37000); // half of 72 bits change from one to the next
}

static void test_older_ids(void **state)
{
    (void)state;
    struct kp_id back;
    assert_true(kp_id_parse(&form, "01m8ab80er000000300000002", &back));
    assert_same(&back, &(struct kp_id){0x1a214b401d8, 3, 2});
    assert_false(kp_id_parse(&form, "01m8ab80er000000300000003", &back)); // of after the key was made
    assert_false(kp_id_parse(&form, "01m8ab80erfzzzzzz00000002", &back));
    assert_false(kp_id_parse(&form, "01m8ab80erg00000000000002", &back)); // a form there is not
    assert_false(kp_id_parse(&form, "01m8ab80er00000030000000", &back));
    assert_false(kp_id_parse(&form, "01m8ab80er0000003000000022", &back));
    assert_false(kp_id_parse(&form, "01m8ab80er00000030000000u", &back));
    assert_false(kp_id_parse(&form, "", &back));
}

static void test_cursors_cannot_be_made_up(void **state)
{
    (void)state;
    char text[KP_CURSOR_TEXT];
    struct kp_id back;
    kp_cursor_format(&form, text, &(struct kp_id){T0, 7, 1234});
    for (int i = 0; i < 38; i++) {
        char was = text[i];
        text[i] = was == '7' ? '8' : '7';
        assert_false(kp_cursor_parse(&form, text, &back));
        text[i] = was;
    }
    assert_true(kp_cursor_parse(&form, text, &back));
    text[37] = '\0';
    assert_false(kp_cursor_parse(&form, text, &back));
    text[25] = '\0'; // the id alone
    assert_false(kp_cursor_parse(&form, text, &back));
    assert_false(kp_cursor_parse(&form, "01m8ab80er000000300000002", &back));
}

static void test_the_key_lasts(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    kp_auto_free char *path = kp_asprintf("%s/ids", dir);
    struct kp_id_form a;
    struct kp_id_form b;
    struct kp_error err = {0};
    struct stat st;
    assert_int_equal(kp_id_form_load(dir, 99, &a, NULL), 0);
    assert_true(a.is_saved && a.first == 99 && (a.key[0] | a.key[1]) != 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(kp_id_form_load(dir, 500, &b, NULL), 0);
    assert_memory_equal(&a, &b, sizeof a);
    for (off_t at = 0; at < st.st_size; at++) {
        flip_bit(path, at);
        assert_int_equal(kp_id_form_load(dir, 500, &b, &err), KP_CORRUPT);
        assert_non_null(strstr(err.text, "put back a copy"));
        kp_error_clear(&err);
        flip_bit(path, at);
    }
    assert_int_equal(truncate(path, st.st_size - 1), 0);
    assert_int_equal(kp_id_form_load(dir, 500, &b, NULL), KP_CORRUPT);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(kp_id_form_load(dir, 500, &b, NULL), KP_CORRUPT);
    assert_int_equal(truncate(path, 1000), 0);
    assert_int_equal(kp_id_form_load(dir, 500, &b, NULL), KP_CORRUPT);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(kp_id_form_load(dir, 500, &b, NULL), 0);
    assert_true(b.first == 500 && b.key[0] != a.key[0]);
    kp_test_rmdir(dir);
}

static void test_on_a_full_disk_the_key_is_saved_later(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct rlimit before;
    struct rlimit none;
    struct kp_id_form a;
    struct kp_id_form b;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    int rc = kp_id_form_load(dir, 5, &a, NULL);
    struct kp_error err = {0};
    int again = kp_id_form_save(dir, &a, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(rc, 0);
    assert_int_equal(again, KP_LIMIT);
    assert_false(a.is_saved);
    assert_int_equal(kp_id_form_save(dir, &a, NULL), 0);
    assert_true(a.is_saved);
    assert_int_equal(kp_id_form_load(dir, 9, &b, NULL), 0);
    assert_memory_equal(&a, &b, sizeof a);
    kp_test_rmdir(dir);
}

// ---- a store ----

static void put_digits(char *out, int n, uint64_t v)
{
    for (int i = n - 1; i >= 0; i--, v >>= 5)
        out[i] = CHARACTERS[v & 31];
}

// How many of the ids that older programs may have made for a profile of T0 lead to one.
static int n_guessed(struct kp_store *store)
{
    int n = 0;
    for (uint64_t i = 0; i < UINT64_C(4) * 16; i++) {
        char text[26] = {0};
        put_digits(text, 10, T0);
        put_digits(text + 10, 7, i % 4);
        put_digits(text + 17, 8, i / 4);
        n += kp_store_get(store, text, NULL, NULL, NULL) == 0;
    }
    return n;
}

static void test_a_store_of_before(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, (struct kp_store_options){0});
    kp_auto_free char *first = put(store, (struct what){.start_ms = T0});
    assert_true(is_here(store, first));
    assert_int_equal(n_guessed(store), 0);
    kp_store_close(store);
    store = open_store(dir, (struct kp_store_options){0});
    assert_true(is_here(store, first));
    assert_int_equal(n_guessed(store), 0);
    kp_store_close(store);

    // as an older program leaves it: no key
    kp_auto_free char *path = kp_asprintf("%s/ids", dir);
    assert_int_equal(unlink(path), 0);
    store = open_store(dir, (struct kp_store_options){0});
    kp_auto_free char *second = put(store, (struct what){.start_ms = T0});
    assert_false(is_here(store, first));
    assert_true(is_here(store, second));
    assert_int_equal(n_guessed(store), 1); // the first: those who kept its old id find it
    kp_store_close(store);
    kp_test_rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_only_the_time_can_be_read),
        cmocka_unit_test(test_older_ids),
        cmocka_unit_test(test_cursors_cannot_be_made_up),
        cmocka_unit_test(test_the_key_lasts),
        cmocka_unit_test(test_on_a_full_disk_the_key_is_saved_later),
        cmocka_unit_test(test_a_store_of_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
