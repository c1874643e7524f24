#include "kube/proxy.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/text.h"

#include "base/banned.h"

// An address in 16 bytes, v4 mapped into v6 so that both compare alike.
struct address {
    unsigned char bytes[16];
    bool four;
};

static bool parse_address(const char *text, struct address *ret)
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
    struct in_addr four;
    if (inet_pton(AF_INET, text, &four) == 1) {
        memcpy(ret->bytes, mapped, sizeof mapped);
        memcpy(ret->bytes + sizeof mapped, &four, sizeof four);
    } else if (inet_pton(AF_INET6, text, ret->bytes) != 1) {
        return false;
    }
    ret->four = memcmp(ret->bytes, mapped, sizeof mapped) == 0;
    return true;
}

static bool loopback(const struct address *a)
{
    static const unsigned char six[16] = {[15] = 1};
    return a->four ? a->bytes[12] == 127 : memcmp(a->bytes, six, sizeof six) == 0;
}

static bool in_range(const struct address *a, const char *text)
{
    char base[64];
    struct address net;
    int64_t bits;
    const char *slash = strchr(text, '/');
    if (!slash || (size_t)(slash - text) >= sizeof base)
        return false;
    memcpy(base, text, (size_t)(slash - text));
    base[slash - text] = '\0';
    if (!parse_address(base, &net) || net.four != a->four ||
        kp_parse_int(slash + 1, 0, net.four ? 32 : 128, &bits, NULL) < 0)
        return false;
    bits += net.four ? 96 : 0;
    size_t whole = (size_t)bits / 8;
    unsigned mask = 0xFF00u >> (bits % 8) & 0xFF;
    return memcmp(a->bytes, net.bytes, whole) == 0 &&
           (mask == 0 || (a->bytes[whole] & mask) == (net.bytes[whole] & mask));
}

// Cuts ":port" off; a bare v6 address has none. Brackets go too. Returns the port's text, NULL = any.
static const char *cut_port(char **host)
{
    char *text = *host;
    char *colon = strrchr(text, ':');
    if (text[0] == '[') {
        char *end = strchr(text, ']');
        if (!end)
            return NULL;
        *end = '\0';
        *host = text + 1;
        return end[1] == ':' ? end + 2 : NULL;
    }
    if (!colon || strchr(text, ':') != colon)
        return NULL;
    *colon = '\0';
    return colon + 1;
}

static bool name_matches(const char *entry, const char *host)
{
    if (kp_starts_with(entry, "*."))
        entry++;
    size_t n = strlen(entry), len = strlen(host);
    if (n == 0)
        return false;
    if (entry[0] != '.' && strcasecmp(entry, host) == 0)
        return true;
    bool dotted = entry[0] == '.' || (len > n && host[len - n - 1] == '.');
    return len > n && dotted && strcasecmp(host + len - n, entry) == 0;
}

// entry is written to.
static bool entry_matches(char *entry, const char *host, const struct address *address, int port)
{
    char number[16];
    struct address its;
    if (address && in_range(address, entry))
        return true;
    const char *its_port = cut_port(&entry);
    snprintf(number, sizeof number, "%d", port);
    if (its_port && *its_port && strcmp(its_port, number) != 0)
        return false;
    if (parse_address(entry, &its))
        return address && memcmp(its.bytes, address->bytes, sizeof its.bytes) == 0;
    return name_matches(entry, host);
}

bool kp_proxy_left_out(const char *no_proxy, const char *host, int port)
{
    struct address address;
    bool numeric = parse_address(host, &address);
    if (strcasecmp(host, "localhost") == 0 || (numeric && loopback(&address)))
        return true;
    for (const char *p = no_proxy ? no_proxy : ""; *p;) {
        size_t n = strcspn(p, ",");
        const char *from = p + strspn(p, " \t");
        const char *to = p + n;
        while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
            to--;
        if (to > from) {
            kp_auto_free char *entry = kp_strndup(from, (size_t)(to - from));
            if (strcmp(entry, "*") == 0 || entry_matches(entry, host, numeric ? &address : NULL, port))
                return true;
        }
        p += n + (p[n] == ',');
    }
    return false;
}

static const char *of_environment(const char *(*env)(const char *name), const char *large, const char *small)
{
    const char *value = env(large);
    return value && *value ? value : env(small);
}

// The host of a URL without brackets, and its port.
static char *host_of(const char *url, bool secure, int *ret_port)
{
    const char *start = strstr(url, "://") + 3;
    char *host = kp_strndup(start, strcspn(start, "/?#"));
    char *cut = host;
    int64_t number;
    const char *port = cut_port(&cut);
    *ret_port = secure ? 443 : 80;
    if (port && kp_parse_int(port, 1, 65535, &number, NULL) == KP_OK)
        *ret_port = (int)number;
    char *bare = kp_strdup(cut);
    kp_free(host);
    return bare;
}

char *kp_proxy_of_environment(const char *url, const char *(*env)(const char *name))
{
    int port;
    bool secure = kp_starts_with(url, "https://");
    if (!env || (!secure && !kp_starts_with(url, "http://")))
        return NULL;
    const char *proxy = secure ? of_environment(env, "HTTPS_PROXY", "https_proxy")
                               : of_environment(env, "HTTP_PROXY", "http_proxy");
    if (!proxy || !*proxy)
        return NULL;
    kp_auto_free char *host = host_of(url, secure, &port);
    if (kp_proxy_left_out(of_environment(env, "NO_PROXY", "no_proxy"), host, port))
        return NULL;
    return strstr(proxy, "://") ? kp_strdup(proxy) : kp_asprintf("http://%s", proxy);
}

int kp_proxy_check(const char *proxy, struct kp_error *err)
{
    static const char *const schemes[] = {"http://", "https://", "socks5://", "socks5h://"};
    for (size_t i = 0; i < KP_COUNT(schemes); i++) {
        if (kp_starts_with(proxy, schemes[i]) && proxy[strlen(schemes[i])])
            return KP_OK;
    }
    return kp_fail(err, KP_INVALID, "proxy-url is not an http, https or socks5 URL");
}
