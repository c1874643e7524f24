// kubectl's connection flags: the program takes all of them, and says what they say to the API server.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/text.h"
#include "cli/program_testing.h"
#include "testkit/peer.h"
#include "base/banned.h"

static const struct kp_step *route(void *user, struct kp_peer *peer, const struct kp_peer_request *request)
{
    (void)user;
    (void)request;
    static const char list[] = "{\"kind\":\"List\",\"items\":[]}";
    return kp_peer_answer(peer, 200, "application/json", list, sizeof list - 1);
}

static void check_header(struct kp_peer *peer, const char *line)
{
    kp_auto_free char *whole = kp_asprintf("%s\r\n", line);
    if (strcasestr(kp_peer_request(peer, 0)->head, whole) == NULL)
        fail_msg("no '%s' in:\n%s", line, kp_peer_request(peer, 0)->head);
}

static void test_who_one_is_and_acts_as(void **state)
{
    struct kp_peer *peer = kp_peer_start(route, NULL);
    struct kp_ran ran = {0};
    (void)state;
    kp_run(&ran, "get", "policies", "--server", kp_peer_url(peer), "--username", "me", "--password", "secret",
        "--as", "ann", "--as-uid", "7", "--as-group", "CN=a,OU=b", "--as-group", "c", "--as-user-extra",
        "scopes=x,y", "--as-user-extra", "scopes=z", "--disable-compression", "--cache-dir", "/nowhere");
    if (ran.status != 0)
        fail_msg("%s", ran.err);
    check_header(peer, "Authorization: Basic bWU6c2VjcmV0");
    check_header(peer, "Impersonate-User: ann");
    check_header(peer, "Impersonate-Uid: 7");
    check_header(peer, "Impersonate-Group: CN=a,OU=b");
    check_header(peer, "Impersonate-Group: c");
    check_header(peer, "Impersonate-Extra-scopes: x,y");
    check_header(peer, "Impersonate-Extra-scopes: z");
    kp_run(&ran, "get", "policies", "--server", kp_peer_url(peer), "--as", "ann", "--as-user-extra", "x");
    assert_int_equal(ran.status, 2);
    kp_ran_finish(&ran);
    kp_peer_stop(peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_one_is_and_acts_as),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
