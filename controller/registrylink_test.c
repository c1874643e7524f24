// What the leader keeps for the registry, against an API server that keeps objects and a registry over TLS.
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "controller/registrylink_fixture.h"
#include "controller/secretdata.h"
#include "pki/pki.h"
#include "testkit/testkit.h"
#include "base/banned.h"

static bool has_tls(struct bench *b)
{
    json_t *tls = look(b, OBJECT_TLS);
    bool has = json_object_get(tls, "data") != NULL;
    json_decref(tls);
    return has && b->usable;
}

static bool has_api(struct bench *b)
{
    json_t *object = look(b, OBJECT_API);
    bool has = object != NULL;
    json_decref(object);
    return has;
}

static bool has_no_api(struct bench *b)
{
    return !has_api(b);
}

static bool is_told(struct bench *b)
{
    return b->told != NULL && strstr(b->told, "shop") != NULL;
}

static struct kp_pki_pair serving(struct bench *b, char **ret_bundle)
{
    json_t *tls = look(b, OBJECT_TLS);
    struct kp_pki_pair pair = {kp_secretdata_get(tls, "tls.crt"), kp_secretdata_get(tls, "tls.key")};
    *ret_bundle = kp_secretdata_get(tls, "ca.crt");
    json_decref(tls);
    return pair;
}

static void mount(struct bench *b)
{
    char *bundle;
    struct kp_pki_pair pair = serving(b, &bundle);
    assert_int_equal(kp_file_write_atomic(b->cert_file, pair.cert, strlen(pair.cert), 0600, NULL), 0);
    assert_int_equal(kp_file_write_atomic(b->key_file, pair.key, strlen(pair.key), 0600, NULL), 0);
    kp_pki_pair_finish(&pair);
    kp_free(bundle);
}

static void a_fresh_cluster_gets_everything(void **state)
{
    static const char *const names[] = {"localhost.kp.svc", "localhost"};
    struct bench b;
    char *bundle;
    (void)state;
    bench_open(&b);
    int port = kp_test_closed_port();
    kp_auto_free char *url = kp_asprintf("https://localhost:%d", port);
    kp_auto_free char *address = kp_asprintf("127.0.0.1:%d", port);
    bench_link(&b, url);
    kp_registrylink_set_namespace(b.link, "shop", "2026-11-25T10:00:00Z");
    kp_registrylink_set_leading(b.link, true);
    until(&b, has_tls);
    struct kp_pki_pair pair = serving(&b, &bundle);
    assert_int_equal(kp_pki_check(&pair, bundle, names, 2, kp_now_ms(), NULL), 0);
    kp_pki_pair_finish(&pair);
    assert_true(has_no_api(&b)); // nobody answers yet
    assert_int_equal(kp_http_trust_create(bundle, &b.trust, NULL), 0);
    mount(&b);
    registry_up(&b, address);
    b.n_full = 2; // it is told when posting begins, and when it answers
    kp_registrylink_set_posting(b.link, true);
    until(&b, has_api);
    until(&b, is_told);
    assert_non_null(strstr(b.told, "{\"name\":\"shop\",\"created\":\"2026-11-25T10:00:00Z\"}"));
    json_t *object = look(&b, OBJECT_API), *spec = json_object_get(object, "spec");
    kp_auto_free char *encoded = kp_base64(bundle, strlen(bundle));
    assert_string_equal(json_string_value(json_object_get(spec, "caBundle")), encoded);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(spec, "service"), "namespace")), "kp");
    json_decref(object);
    assert_true(b.showed > 0);
    assert_true(b.n_back > 0);
    int n_back = b.n_back;
    kp_free(kp_take(b.told)); // it was restarted, so quickly that it was there whenever it was asked
    b.knows = false;
    until(&b, is_told);
    assert_non_null(strstr(b.told, "\"all\":{"));
    assert_int_equal(b.n_back, n_back + 1);
    drop(&b, OBJECT_API); // somebody deletes it
    until(&b, has_api);
    drop(&b, OBJECT_SWITCH); // uninstalling
    until(&b, has_no_api);
    bench_unlink(&b);
    kp_free(bundle);
    bench_close(&b);
}

static int logged(const char *file, const char *what)
{
    char *text = NULL;
    int n = 0;
    assert_int_equal(kp_file_read(file, 1 << 20, &text, NULL, NULL), 0);
    for (const char *p = text; (p = strstr(p, what)) != NULL; p++)
        n++;
    kp_free(text);
    return n;
}

static bool says_silence(struct bench *b)
{
    return logged(b->key_file, "does not answer") > 0;
}

static bool has_asked_on(struct bench *b)
{
    pthread_mutex_lock(&b->lock);
    bool has = b->reads[OBJECT_SWITCH] >= 10;
    pthread_mutex_unlock(&b->lock);
    return has;
}

static void a_registry_that_never_answers_is_told_once(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b);
    int fd = open(b.key_file, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    kp_log_setup(KP_LOG_WARN, false, fd);
    kp_auto_free char *url = kp_asprintf("https://localhost:%d", kp_test_closed_port());
    bench_link(&b, url);
    kp_registrylink_set_leading(b.link, true);
    until(&b, says_silence);
    until(&b, has_asked_on);
    assert_int_equal(logged(b.key_file, "does not answer"), 1);
    // and why; on a busy machine making the CA takes that long
    assert_int_equal(
        logged(b.key_file, "connection refused") + logged(b.key_file, "its CA is not made yet"), 1);
    kp_log_setup(KP_LOG_ERROR, false, 2);
    close(fd);
    bench_unlink(&b);
    bench_close(&b);
}

static void what_is_there_is_adopted(void **state)
{
    struct bench b;
    const bool never = false;
    (void)state;
    bench_open(&b);
    for (int round = 0; round < 2; round++) { // the second controller finds what the first has made
        b.usable = false;
        bench_link(&b, "https://localhost:1");
        kp_registrylink_set_leading(b.link, false);
        kp_loop_run_until(b.loop, &never, 200);
        assert_int_equal(b.writes[OBJECT_CA] + b.writes[OBJECT_TLS], 2 * round);
        kp_registrylink_set_leading(b.link, true);
        until(&b, has_tls);
        bench_unlink(&b);
    }
    // one that does not lead knows by whom to know the registry: it may have something to deliver
    b.usable = false;
    bench_link(&b, "https://localhost:1");
    kp_registrylink_set_leading(b.link, false);
    until(&b, has_tls);
    kp_registrylink_set_leading(b.link, true);
    bench_unlink(&b);
    assert_int_equal(b.writes[OBJECT_CA], 1);
    assert_int_equal(b.writes[OBJECT_TLS], 1);
    bench_close(&b);
}

static bool has_tried(struct bench *b)
{
    pthread_mutex_lock(&b->lock);
    bool tried = b->reads[OBJECT_CA] >= 2;
    pthread_mutex_unlock(&b->lock);
    return tried;
}

static void a_secret_that_is_not_there_is_not_made(void **state)
{
    struct bench b;
    const bool never = false;
    (void)state;
    bench_open(&b);
    drop(&b, OBJECT_CA);
    bench_link(&b, "https://localhost:1");
    kp_registrylink_set_leading(b.link, true);
    kp_loop_run_until(b.loop, &never, 400);
    assert_int_equal(b.reads[OBJECT_CA], 1); // the next try is a second away: the namespace may be going
    until(&b, has_tried);
    assert_int_equal(b.writes[OBJECT_CA] + b.writes[OBJECT_TLS], 0);
    make_empty(&b, OBJECT_CA, "localhost-ca");
    until(&b, has_tls);
    assert_int_equal(b.writes[OBJECT_CA], 1);
    json_t *ca = look(&b, OBJECT_CA);
    const json_t *labels = json_object_get(json_object_get(ca, "metadata"), "labels");
    assert_string_equal(json_string_value(json_object_get(ca, "type")), "Opaque");
    assert_string_equal(json_string_value(json_object_get(labels, "app.kubernetes.io/managed-by")), "Helm");
    json_decref(ca);
    bench_unlink(&b);
    bench_close(&b);
}

static void a_strange_api_service_is_left_alone(void **state)
{
    struct bench b;
    const bool never = false;
    (void)state;
    bench_open(&b);
    b.objects[OBJECT_API] = json_pack("{s:{s:s},s:{}}", "metadata", "name", KP_APISERVICE, "spec");
    json_decref(b.objects[OBJECT_SWITCH]); // not even when it is to be removed
    b.objects[OBJECT_SWITCH] = NULL;
    bench_link(&b, "https://localhost:1");
    kp_registrylink_set_leading(b.link, true);
    until(&b, has_tls);
    kp_loop_run_until(b.loop, &never, 200);
    assert_int_equal(b.writes[OBJECT_API] + b.deletes[OBJECT_API], 0);
    bench_unlink(&b);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_cluster_gets_everything),
        cmocka_unit_test(a_registry_that_never_answers_is_told_once),
        cmocka_unit_test(what_is_there_is_adopted),
        cmocka_unit_test(a_secret_that_is_not_there_is_not_made),
        cmocka_unit_test(a_strange_api_service_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
