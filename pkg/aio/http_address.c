// Addresses: v4-in-v6 is un-mapped before anybody judges one.
#include <arpa/inet.h>
#include <string.h>

#include "aio/http_private.h"
#include "base/banned.h"

static const struct sockaddr *unmapped(const struct sockaddr *addr, struct sockaddr_in *room)
{
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)addr;
    if (addr->sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
        return addr;
    *room = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = six->sin6_port};
    memcpy(&room->sin_addr, six->sin6_addr.s6_addr + 12, 4);
    return (const struct sockaddr *)(const void *)room;
}

bool kp_http_address_allowed(struct kp_http_call *call, const struct sockaddr *addr)
{
    struct sockaddr_in room;
    if (call->request.allow_address == NULL || addr->sa_family == AF_UNIX)
        return true;
    struct kp_error err = {0};
    if (call->request.allow_address(call->request.user, unmapped(addr, &room), &err))
        return true;
    kp_fail(&err, KP_DENIED, "address not allowed");
    kp_http_call_end(call, KP_DENIED, "%s", err.text);
    return false;
}

bool kp_http_address_parse(const char *ip, struct sockaddr_storage *ret)
{
    struct sockaddr_in *four = (struct sockaddr_in *)(void *)ret;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)(void *)ret;
    memset(ret, 0, sizeof *ret);
    if (inet_pton(AF_INET, ip, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        return true;
    }
    if (inet_pton(AF_INET6, ip, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        return true;
    }
    return false;
}
