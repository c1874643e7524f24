// Which proxy of the environment serves a URL, decided as Go's net/http does
// (golang.org/x/net/http/httpproxy), because that is what kubectl goes by. Pure.
#ifndef KP_KUBE_PROXY_H
#define KP_KUBE_PROXY_H

#include <stdbool.h>

#include "base/error.h"

// Whether NO_PROXY's list (comma-separated: "*", names with their subdomains, ".suffix", "*.suffix",
// addresses, CIDR ranges, all but ranges perhaps with ":port") leaves out the host. host: without brackets.
// Loopback is always left out.
bool kp_proxy_left_out(const char *no_proxy, const char *host, int port);
// For url (http or https); NULL = none. env may be NULL. The result is to be freed.
char *kp_proxy_of_environment(const char *url, const char *(*env)(const char *name));
// KP_INVALID unless http, https or socks5.
KP_MUST_CHECK int kp_proxy_check(const char *proxy, struct kp_error *err);

#endif
