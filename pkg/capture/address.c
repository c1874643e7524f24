#include "capture/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/log.h"
#include "base/text.h"
#include "base/banned.h"

enum source { GIVEN, SERVICES, SERVERS };

// Addresses are compared as 16 bytes; IPv4 as v4-in-v6.
struct network {
    unsigned char bytes[16];
    unsigned bits;
    char text[64], what[40];
    enum source source;
};

struct kp_denylist {
    KP_ARRAY(struct network) networks;
};

static const struct {
    const char *cidr, *what;
} always[] = {
    {"0.0.0.0/8", "unspecified"},
    {"127.0.0.0/8", "loopback"},
    {"169.254.0.0/16", "link-local"},
    {"224.0.0.0/4", "multicast"},
    {"240.0.0.0/4", "reserved"},
    {"::/128", "unspecified"},
    {"::1/128", "loopback"},
    {"fe80::/10", "link-local"},
    {"ff00::/8", "multicast"},
    // What carries an IPv4 address on: a translator or a tunnel would lead to any of the above. No pod has
    // one.
    {"::/96", "IPv4-compatible"},
    {"::ffff:0:0:0/96", "translated IPv4"},
    {"64:ff9b::/96", "NAT64"},
    {"64:ff9b:1::/48", "NAT64"},
    {"2002::/16", "6to4"},
    {"2001::/32", "Teredo"},
    // Metadata of clouds that is not link-local: whoever asks from a node gets the node's credentials.
    {"100.100.100.200/32", "a cloud's metadata"},
    {"168.63.129.16/32", "a cloud's metadata"},
    {"192.0.0.192/32", "a cloud's metadata"},
    {"fd00:ec2::254/128", "a cloud's metadata"},
    {"fd20:ce::254/128", "a cloud's metadata"},
};

static const unsigned char mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool to_bytes(const char *ip, unsigned char out[16], bool *ret_is_four)
{
    *ret_is_four = inet_pton(AF_INET, ip, out + 12) == 1;
    if (*ret_is_four) {
        memcpy(out, mapped_prefix, sizeof mapped_prefix);
        return true;
    }
    return inet_pton(AF_INET6, ip, out) == 1;
}

static int parse_network(const char *cidr, const char *what, struct network *ret, struct kp_error *err)
{
    char ip[64];
    bool four = false;
    int64_t bits;
    ret->source = GIVEN;
    const char *slash = strchr(cidr, '/');
    size_t n = slash != NULL ? (size_t)(slash - cidr) : strlen(cidr);
    if (n < sizeof ip) {
        memcpy(ip, cidr, n);
        ip[n] = '\0';
    }
    if (n >= sizeof ip || !to_bytes(ip, ret->bytes, &four))
        return kp_fail(err, KP_INVALID, "'%.60s' is not a network; write it like 10.96.0.0/16", cidr);
    bits = four ? 32 : 128;
    if (slash != NULL && kp_parse_int(slash + 1, 0, bits, &bits, NULL) != 0)
        return kp_fail(err, KP_INVALID, "'%.60s' is not a network: the length behind '/' is wrong", cidr);
    ret->bits = (unsigned)bits + (four ? 96 : 0);
    kp_copy(ret->text, sizeof ret->text, cidr);
    kp_copy(ret->what, sizeof ret->what, what);
    return 0;
}

static int add(struct kp_denylist *list, const char *cidr, const char *what, struct kp_error *err)
{
    struct network network;
    int code = parse_network(cidr, what, &network, err);
    if (code == 0)
        *kp_array_add(&list->networks) = network;
    return code;
}

int kp_denylist_create(const char *const *cidrs, struct kp_denylist **ret, struct kp_error *err)
{
    struct kp_denylist *list = KP_NEW(struct kp_denylist);
    int code = 0;
    for (size_t i = 0; code == 0 && i < KP_COUNT(always); i++)
        code = add(list, always[i].cidr, always[i].what, err);
    for (size_t i = 0; code == 0 && cidrs != NULL && cidrs[i] != NULL; i++)
        code = add(list, cidrs[i], "denied by the platform", err);
    if (code != 0)
        kp_denylist_destroy(list);
    else
        *ret = list;
    return code;
}

void kp_denylist_destroy(struct kp_denylist *list)
{
    if (list == NULL)
        return;
    kp_array_free(&list->networks);
    kp_free(list);
}

void kp_denylist_forget(struct kp_denylist *list, const char *cidr)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->networks.n; i++)
        if (!kp_streq(list->networks.items[i].text, cidr))
            list->networks.items[kept++] = list->networks.items[i];
    list->networks.n = kept;
}

static size_t learn(struct kp_denylist *list, const char *const *texts, enum source source, const char *what)
{
    size_t kept = 0, learned = 0;
    for (size_t i = 0; i < list->networks.n; i++)
        if (list->networks.items[i].source != source)
            list->networks.items[kept++] = list->networks.items[i];
    list->networks.n = kept;
    for (size_t i = 0; texts != NULL && texts[i] != NULL; i++) {
        struct kp_error err = {0};
        if (add(list, texts[i], what, &err) != 0) {
            KP_DEBUG("network left out of those never scraped", KP_E(&err));
            continue;
        }
        list->networks.items[list->networks.n - 1].source = source;
        learned++;
    }
    return learned;
}

size_t kp_denylist_learn(struct kp_denylist *list, const char *const *cidrs)
{
    return learn(list, cidrs, SERVICES, "the cluster's services");
}

size_t kp_denylist_learn_servers(struct kp_denylist *list, const char *const *ips)
{
    return learn(list, ips, SERVERS, "the API server");
}

static bool within(const struct network *network, const unsigned char bytes[16])
{
    unsigned whole = network->bits / 8, rest = network->bits % 8;
    if (memcmp(network->bytes, bytes, whole) != 0)
        return false;
    unsigned char mask = (unsigned char)(0xff00u >> rest);
    return rest == 0 || ((network->bytes[whole] ^ bytes[whole]) & mask) == 0;
}

static int check(const struct kp_denylist *list, const unsigned char bytes[16], const char *ip,
    bool host_network, struct kp_error *err)
{
    for (size_t i = 0; i < list->networks.n; i++) {
        const struct network *network = &list->networks.items[i];
        if (within(network, bytes) && !(host_network && network->source == SERVERS))
            return kp_fail(err, KP_DENIED, "address %s lies in %s (%s), which is never scraped", ip,
                network->text, network->what);
    }
    return 0;
}

int kp_denylist_check(
    const struct kp_denylist *list, const struct sockaddr *addr, bool host_network, struct kp_error *err)
{
    unsigned char bytes[16];
    char ip[INET6_ADDRSTRLEN] = "";
    if (addr->sa_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)addr;
        memcpy(bytes, mapped_prefix, sizeof mapped_prefix);
        memcpy(bytes + 12, &four->sin_addr, 4);
        inet_ntop(AF_INET, &four->sin_addr, ip, sizeof ip);
    } else if (addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)addr;
        memcpy(bytes, &six->sin6_addr, 16);
        inet_ntop(AF_INET6, &six->sin6_addr, ip, sizeof ip);
    } else {
        return kp_fail(err, KP_DENIED, "an address that is neither IPv4 nor IPv6 is never scraped");
    }
    return check(list, bytes, ip, host_network, err);
}

int kp_denylist_check_text(
    const struct kp_denylist *list, const char *ip, bool host_network, struct kp_error *err)
{
    unsigned char bytes[16];
    bool four;
    if (!to_bytes(ip, bytes, &four))
        return kp_fail(err, KP_INVALID, "'%.60s' is not an address", ip);
    return check(list, bytes, ip, host_network, err);
}

bool kp_address_parse(const char *ip, unsigned char out[16])
{
    bool four;
    return to_bytes(ip, out, &four);
}
