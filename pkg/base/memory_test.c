// alloc, arena, array, blob, list and map.
#include "base/alloc.h"

#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/blob.h"
#include "base/list.h"
#include "base/map.h"
#include "base/banned.h"

static void test_alloc(void **state)
{
    (void)state;
    kp_auto_free char *nothing = kp_alloc(0), *none = kp_calloc(0, 8);
    assert_non_null(nothing);
    assert_non_null(none);
    kp_auto_free int *zeroes = KP_NEW_ARRAY(int, 100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(zeroes[i], 0);
    assert_null(kp_strdup(NULL));
    kp_auto_free char *cut = kp_strndup("abcdef", 3), *text = kp_asprintf("%s-%d", "x", 7);
    assert_string_equal(cut, "abc");
    assert_string_equal(text, "x-7");
    kp_auto_free char *copy = kp_memdup(NULL, 0);
    assert_non_null(copy);
    char *taken = kp_take(text);
    assert_null(text);
    kp_free(taken);
}

// Runs in a child of its own, which has to die of SIGABRT.
static void dies(void (*run)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(2);
        struct rlimit none = {0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        run();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static volatile size_t half = SIZE_MAX / 2 + 1; // volatile: the compiler would see through it

static void grow_too_far(void)
{
    kp_free(kp_grow(NULL, half, 2));
}

static void arena_too_far(void)
{
    struct kp_arena *arena = NULL;
    kp_arena_calloc(&arena, half, 2);
}

static void arena_at_the_edge(void)
{
    struct kp_arena *arena = NULL;
    kp_arena_alloc(&arena, half + (half - 4));
}

static void test_overflow_ends_the_process(void **state)
{
    (void)state;
    dies(grow_too_far);
    dies(arena_too_far);
    dies(arena_at_the_edge);
}

static void test_arena(void **state)
{
    (void)state;
    struct kp_arena *arena = NULL;
    assert_int_equal(kp_arena_bytes(arena), 0);
    char *first = kp_arena_strdup(&arena, "first");
    assert_null(kp_arena_strdup(&arena, NULL));
    for (size_t i = 1; i < 3000; i++) {
        unsigned char *p = kp_arena_alloc(&arena, i % 97);
        assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
        for (size_t k = 0; k < i % 97; k++)
            assert_int_equal(p[k], 0);
        memset(p, 0xff, i % 97);
    }
    char *large = kp_arena_alloc(&arena, 1u << 20); // more than a chunk
    large[(1u << 20) - 1] = 'x';
    assert_string_equal(first, "first");
    assert_string_equal(kp_arena_strndup(&arena, "abcdef", 3), "abc");
    assert_string_equal(kp_arena_strndup(&arena, "ab", 30), "ab");
    assert_memory_equal(kp_arena_memdup(&arena, "a\0b", 3), "a\0b", 3);
    struct kp_label_like {
        int a, b;
    } *array = KP_ARENA_ARRAY(&arena, struct kp_label_like, 10);
    assert_int_equal(array[9].b, 0);
    assert_true(kp_arena_bytes(arena) > 1u << 20);
    assert_true(kp_arena_bytes(arena) < 2u << 20);
    kp_arena_free(arena);
    kp_arena_free(NULL);
}

static void test_array(void **state)
{
    (void)state;
    KP_ARRAY(int) numbers = {0};
    for (int i = 0; i < 1000; i++)
        *kp_array_add(&numbers) = i;
    assert_int_equal(numbers.n, 1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(numbers.items[i], i);
    kp_array_free(&numbers);
    assert_int_equal(numbers.n, 0);
    *kp_array_add(&numbers) = 7; // usable again
    assert_int_equal(numbers.items[0], 7);
    kp_array_free(&numbers);
}

struct element {
    int n;
    struct kp_list node;
};

static void test_list(void **state)
{
    (void)state;
    struct kp_list head;
    struct element elements[3] = {{.n = 1}, {.n = 2}, {.n = 3}};
    kp_list_init(&head);
    assert_true(kp_list_empty(&head));
    for (int i = 0; i < 3; i++)
        kp_list_append(&head, &elements[i].node);
    int sum = 0;
    kp_list_foreach (node, &head)
        sum = sum * 10 + kp_container_of(node, struct element, node)->n;
    assert_int_equal(sum, 123);
    kp_list_foreach_safe (node, &head)
        if (kp_container_of(node, struct element, node)->n != 2)
            kp_list_remove(node);
    assert_ptr_equal(head.next, &elements[1].node);
    assert_ptr_equal(head.prev, &elements[1].node);
    kp_list_remove(&elements[1].node);
    kp_list_remove(&elements[1].node); // twice is harmless
    assert_true(kp_list_empty(&head));
}

struct entry {
    char key[16];
    int value;
    UT_hash_handle hh;
};

static void test_map(void **state)
{
    (void)state;
    struct entry *map = NULL, *entry, *next;
    for (int i = 0; i < 2000; i++) {
        entry = KP_NEW(struct entry);
        entry->value = i;
        int n = i;
        for (char *p = entry->key; n > 0 || p == entry->key; n /= 10)
            *p++ = (char)('0' + n % 10);
        HASH_ADD_STR(map, key, entry);
    }
    assert_int_equal(HASH_COUNT(map), 2000);
    HASH_FIND_STR(map, "321", entry);
    assert_non_null(entry);
    assert_int_equal(entry->value, 123);
    HASH_FIND_STR(map, "nine", entry);
    assert_null(entry);
    HASH_ITER (hh, map, entry, next) {
        HASH_DEL(map, entry);
        kp_free(entry);
    }
}

enum { ROUNDS = 10000 };

static void *share(void *user)
{
    for (int i = 0; i < ROUNDS; i++)
        kp_blob_unref(kp_blob_ref(user));
    kp_blob_unref(user);
    return NULL;
}

static void test_blob(void **state)
{
    (void)state;
    struct kp_blob *blob = kp_blob_copy("abc", 3);
    assert_memory_equal(blob->data, "abc", 3);
    assert_int_equal(blob->len, 3);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, share, kp_blob_ref(blob)), 0);
    kp_blob_unref(blob); // the last thread frees it
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    kp_blob_unref(kp_blob_take(kp_strdup("x"), 1));
    kp_blob_unref(kp_blob_copy(NULL, 0));
    kp_blob_unref(NULL);
    assert_null(kp_blob_ref(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alloc),
        cmocka_unit_test(test_overflow_ends_the_process),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_array),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_blob),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
