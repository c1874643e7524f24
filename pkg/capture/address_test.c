#include "capture/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "base/banned.h"

static int check(const struct kp_denylist *list, const char *ip)
{
    return kp_denylist_check_text(list, ip, false, NULL);
}

static void test_always_denied(void **state)
{
    static const char *const denied[] = {"127.0.0.1", "127.9.9.9", "0.0.0.0", "169.254.169.254", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254"};
    static const char *const allowed[] = {
        "10.244.1.7", "192.168.1.1", "172.16.0.9", "fd00::7", "8.8.8.8", "2001:db8::1"};
    struct kp_denylist *list;
    (void)state;
    assert_int_equal(kp_denylist_create(NULL, &list, NULL), 0);
    for (size_t i = 0; i < sizeof denied / sizeof denied[0]; i++)
        if (check(list, denied[i]) != KP_DENIED)
            fail_msg("%s is let through", denied[i]);
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
        if (check(list, allowed[i]) != 0)
            fail_msg("%s is denied", allowed[i]);
    kp_denylist_destroy(list);
}

// Each of these can end as an IPv4 address of the node's network: by a translator, a tunnel, or as a cloud's
// metadata.
static void test_roundabout_ways_are_denied(void **state)
{
    static const struct {
        const char *ip, *what;
    } ways[] = {
        {"::ffff:7f00:1", "loopback"},
        {"0:0:0:0:0:ffff:a9fe:a9fe", "link-local"},
        {"::127.0.0.1", "IPv4-compatible"},
        {"::a00:1", "IPv4-compatible"},
        {"::ffff:0:127.0.0.1", "translated IPv4"},
        {"64:ff9b::169.254.169.254", "NAT64"},
        {"64:ff9b::a60:1", "NAT64"},
        {"64:ff9b:1:7f00:0:100::", "NAT64"},
        {"2002:7f00:1::", "6to4"},
        {"2002:a9fe:a9fe::1", "6to4"},
        {"2001:0:4136:e378:8000:63bf:5601:5601", "Teredo"},
        {"100.100.100.200", "metadata"},
        {"168.63.129.16", "metadata"},
        {"192.0.0.192", "metadata"},
        {"::ffff:168.63.129.16", "metadata"},
        {"fd00:ec2::254", "metadata"},
        {"fd20:ce::254", "metadata"},
    };
    static const char *const neighbours[] = {
        "2001:1::1", "2003::1", "64:ff9a::1", "64:ff9b:2::1", "100.100.100.201", "fd00:ec2::1", "1::1"};
    struct kp_denylist *list;
    (void)state;
    assert_int_equal(kp_denylist_create(NULL, &list, NULL), 0);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct kp_error err = {0};
        if (kp_denylist_check_text(list, ways[i].ip, false, &err) != KP_DENIED ||
            strstr(err.text, ways[i].what) == NULL)
            fail_msg("%s: %s", ways[i].ip, err.text);
    }
    for (size_t i = 0; i < sizeof neighbours / sizeof neighbours[0]; i++)
        if (check(list, neighbours[i]) != 0)
            fail_msg("%s is denied", neighbours[i]);
    kp_denylist_destroy(list);
}

// What other programs read as an address is none here: nothing is guessed.
static void test_loose_forms_are_no_addresses(void **state)
{
    static const char *const loose[] = {"2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "127.1",
        "127.0.1", "010.244.1.7", "10.244.1.007", " 10.0.0.1", "10.0.0.1 ", "10.0.0.1\n", "[fd00::7]",
        "fe80::1%eth0", "fd00::7%1", "10.0.0.1:80", "10.0.0.1/", "10.0.0.1#", "x@10.0.0.1",
        "10.0.0.1@10.0.0.2", "10.0.0.1\r\nHost: x", "localhost", "kubernetes.default",
        "\xef\xbc\x91\x2e\x30.0.1", "::ffff:0x7f000001", "::ffff:127.1", ""};
    struct kp_denylist *list;
    (void)state;
    assert_int_equal(kp_denylist_create(NULL, &list, NULL), 0);
    for (size_t i = 0; i < sizeof loose / sizeof loose[0]; i++)
        if (check(list, loose[i]) != KP_INVALID)
            fail_msg("'%s' is read as an address", loose[i]);
    kp_denylist_destroy(list);
}

static void test_configured(void **state)
{
    static const char *const cidrs[] = {"10.96.0.0/16", "fd00:1::/32", "10.0.0.9", NULL};
    struct kp_denylist *list;
    struct kp_error err = {0};
    (void)state;
    assert_int_equal(kp_denylist_create(cidrs, &list, NULL), 0);
    assert_int_equal(kp_denylist_check_text(list, "10.96.0.1", false, &err), KP_DENIED);
    assert_non_null(strstr(err.text, "10.96.0.0/16"));
    assert_int_equal(check(list, "::ffff:10.96.255.255"), KP_DENIED);
    assert_int_equal(check(list, "10.97.0.1"), 0);
    assert_int_equal(check(list, "fd00:1:2::3"), KP_DENIED);
    assert_int_equal(check(list, "fd00:2::3"), 0);
    assert_int_equal(check(list, "10.0.0.9"), KP_DENIED);
    assert_int_equal(check(list, "10.0.0.10"), 0);
    assert_int_equal(check(list, "not an address"), KP_INVALID);
    kp_denylist_destroy(list);
}

static void test_wrong_networks(void **state)
{
    static const char *const wrong[] = {"10.0.0.0/33", "10.0.0", "x/8", "::/129", "10.0.0.0/", "10.0.0.0/-1"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const char *const cidrs[] = {wrong[i], NULL};
        struct kp_denylist *list = NULL;
        if (kp_denylist_create(cidrs, &list, NULL) != KP_INVALID)
            fail_msg("%s is taken for a network", wrong[i]);
    }
}

static void test_learned(void **state)
{
    static const char *const configured[] = {"10.1.0.0/16", NULL};
    static const char *const first[] = {"10.96.0.0/16", "rubbish", "10.97.0.0/33", "fd00:1::/112", NULL};
    static const char *const second[] = {"10.98.0.0/16", NULL};
    struct kp_denylist *list;
    struct kp_error err = {0};
    (void)state;
    assert_int_equal(kp_denylist_create(configured, &list, NULL), 0);
    assert_int_equal(kp_denylist_learn(list, first), 2);
    assert_int_equal(kp_denylist_check_text(list, "10.96.0.1", false, &err), KP_DENIED);
    assert_non_null(strstr(err.text, "10.96.0.0/16 (the cluster's services)"));
    assert_int_equal(check(list, "::ffff:10.96.0.1"), KP_DENIED);
    assert_int_equal(check(list, "fd00:1::9"), KP_DENIED);
    assert_int_equal(check(list, "10.97.0.1"), 0);
    assert_int_equal(kp_denylist_learn(list, second), 1); // in the place of the first
    assert_int_equal(check(list, "10.96.0.1"), 0);
    assert_int_equal(check(list, "fd00:1::9"), 0);
    assert_int_equal(check(list, "10.98.0.1"), KP_DENIED);
    assert_int_equal(check(list, "10.1.0.1"), KP_DENIED); // what was configured stays
    assert_int_equal(check(list, "127.0.0.1"), KP_DENIED);
    assert_int_equal(kp_denylist_learn(list, NULL), 0);
    assert_int_equal(check(list, "10.98.0.1"), 0);
    assert_int_equal(check(list, "10.1.0.1"), KP_DENIED);
    kp_denylist_destroy(list);
}

static void test_socket_addresses(void **state)
{
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6};
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr other = {.sa_family = AF_UNIX};
    struct kp_denylist *list;
    (void)state;
    assert_int_equal(kp_denylist_create(NULL, &list, NULL), 0);
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.sin6_addr);
    inet_pton(AF_INET, "10.1.2.3", &four.sin_addr);
    assert_int_equal(kp_denylist_check(list, (struct sockaddr *)(void *)&mapped, false, NULL), KP_DENIED);
    assert_int_equal(kp_denylist_check(list, (struct sockaddr *)(void *)&four, false, NULL), 0);
    assert_int_equal(kp_denylist_check(list, &other, false, NULL), KP_DENIED);
    kp_denylist_destroy(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_always_denied),
        cmocka_unit_test(test_roundabout_ways_are_denied),
        cmocka_unit_test(test_loose_forms_are_no_addresses),
        cmocka_unit_test(test_configured),
        cmocka_unit_test(test_wrong_networks),
        cmocka_unit_test(test_learned),
        cmocka_unit_test(test_socket_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
