// A registry that waits for its folder is asked to end at the moment the folder can be opened.
#include "controller/registry_wait.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "testkit/testkit.h"
#include "base/banned.h"

#define NEWER "kube-pprof data 2 by 9.8.7 f3d9b47b\n"

struct bench {
    char *data, *format, *socket;
};

static atomic_bool may_open, was_asked;

// The store asks for the time when it is opened.
static int64_t now_ms(void)
{
    if (may_open && !atomic_exchange(&was_asked, true))
        (void)raise(SIGTERM);
    return kp_now_ms();
}

// Once it waits (its signals are caught then) the folder is as it should be.
static void *mend(void *user)
{
    const struct bench *b = user;
    while (access(b->socket, F_OK) != 0)
        usleep(1000);
    (void)unlink(b->format);
    may_open = true;
    return NULL;
}

static void a_signal_while_it_is_opened_is_not_lost(void **state)
{
    struct kp_store *store = NULL;
    pthread_t thread;
    char *dir = kp_test_tmpdir();
    struct bench b = {.data = kp_asprintf("%s/data", dir),
        .format = kp_asprintf("%s/data/format", dir),
        .socket = kp_asprintf("%s/h", dir)};
    kp_auto_free char *listen = kp_asprintf("unix:%s", b.socket);
    const struct kp_store_options options = {.dir = b.data, .now_ms = now_ms};
    (void)state;
    kp_log_setup(KP_LOG_ERROR, false, 2);
    assert_int_equal(kp_store_open(&options, &store, NULL), 0);
    kp_store_close(kp_take(store));
    assert_int_equal(kp_file_write_atomic(b.format, NEWER, strlen(NEWER), 0600, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, mend, &b), 0);
    assert_int_equal(kp_registry_open_store(&options, listen, &store, NULL), KP_CANCELED);
    assert_null(store);
    assert_true(was_asked);
    pthread_join(thread, NULL);
    assert_int_equal(kp_store_open(&options, &store, NULL), 0); // nobody holds it
    kp_store_close(store);
    kp_test_rmdir(dir);
    kp_free(b.data);
    kp_free(b.format);
    kp_free(b.socket);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_signal_while_it_is_opened_is_not_lost)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
