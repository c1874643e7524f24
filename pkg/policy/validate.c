#include "policy/validate.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "policy/types.h"
#include "base/banned.h"

static bool path_clean(const char *path)
{
    if (path[0] != '/' || strstr(path, "..") != NULL || strstr(path, "//") != NULL)
        return false;
    for (const char *p = path; *p != '\0'; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f || strchr("?#%\\", *p) != NULL)
            return false;
    return true;
}

bool kp_path_allowed(const char *path, const char *const *prefixes)
{
    static const char *const standard[] = {"/debug/", NULL};
    const char *const *list = prefixes != NULL && prefixes[0] != NULL ? prefixes : standard;
    if (!path_clean(path))
        return false;
    for (; *list != NULL; list++) {
        size_t n = strlen(*list);
        bool folder = n > 0 && (*list)[n - 1] == '/';
        // "/debug/" allows "/debug" as an endpoint's path too: what is asked below it starts with the prefix
        if (strncmp(path, *list, n) == 0 ||
            (folder && strlen(path) == n - 1 && strncmp(path, *list, n - 1) == 0))
            return true;
    }
    return false;
}

static const char *path_problem(
    const char *path, const char *what, const struct kp_policy_caps *caps, char *message, size_t size)
{
    if (!path_clean(path)) {
        snprintf(message, size,
            "%s '%.80s' must start with '/' and hold no '..', '//', '?', '#', '%%', '\\' or spaces", what,
            path);
        return "InvalidSpec";
    }
    if (!kp_path_allowed(path, caps->path_prefixes)) {
        snprintf(message, size,
            "%s '%.80s' is not below a path the platform allows (--path-prefixes of the controller, /debug/ "
            "by default)",
            what, path);
        return "PathNotAllowed";
    }
    return NULL;
}

static bool header_allowed(const char *name)
{
    static const char *const exact[] = {
        "Host", "Authorization", "Connection", "Upgrade", "TE", "Trailer", "Keep-Alive", "Expect"};
    static const char *const prefixes[] = {"Content-", "Transfer-", "Proxy-"};
    size_t n = strlen(name);
    if (n == 0 || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != n)
        return false;
    for (size_t i = 0; i < sizeof exact / sizeof exact[0]; i++)
        if (strcasecmp(name, exact[i]) == 0)
            return false;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (strncasecmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return false;
    return true;
}

static const char *headers_problem(const struct kp_endpoint *endpoint, char *message, size_t size)
{
    for (size_t i = 0; i < endpoint->n_headers; i++) {
        const struct kp_label *header = &endpoint->headers[i];
        if (!header_allowed(header->key)) {
            snprintf(message, size, "header '%.60s' may not be set by a policy", header->key);
            return "InvalidSpec";
        }
        for (const char *p = header->value; *p != '\0'; p++) {
            if ((unsigned char)*p < ' ' || *p == 0x7f) {
                snprintf(message, size, "the value of header '%.60s' holds control characters", header->key);
                return "InvalidSpec";
            }
        }
    }
    return NULL;
}

// Names end up in paths of the API server.
static bool object_name_valid(const char *name)
{
    size_t n = strlen(name);
    return n > 0 && n <= 253 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == n &&
           name[0] != '.' && name[0] != '-' && strstr(name, "..") == NULL;
}

static const char *endpoint_problem(
    const struct kp_endpoint *endpoint, const struct kp_policy_caps *caps, char *message, size_t size)
{
    const char *reason = path_problem(endpoint->path, "endpoint path", caps, message, size);
    if (reason != NULL)
        return reason;
    if (endpoint->auth != KP_AUTH_NONE && (!endpoint->https || endpoint->tls_insecure)) {
        snprintf(message, size,
            "credentials are only sent over verified HTTPS: set scheme HTTPS and drop insecureSkipVerify, or "
            "drop authorization");
        return "InvalidSpec";
    }
    if (endpoint->tls_client_secret != NULL && !endpoint->https) {
        snprintf(message, size, "a client certificate needs scheme HTTPS");
        return "InvalidSpec";
    }
    if (endpoint->auth != KP_AUTH_NONE && endpoint->auth_secret.name == NULL) {
        snprintf(message, size, "authorization.secretRef.name is missing");
        return "InvalidSpec";
    }
    const char *const names[] = {
        endpoint->tls_ca.name, endpoint->tls_client_secret, endpoint->auth_secret.name};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i] != NULL && !object_name_valid(names[i])) {
            snprintf(message, size, "'%.80s' cannot be the name of a Secret or ConfigMap", names[i]);
            return "InvalidSpec";
        }
    }
    return headers_problem(endpoint, message, size);
}

const char *kp_policy_problem(
    const struct kp_policy *policy, const struct kp_policy_caps *caps, char *message, size_t size)
{
    for (size_t i = 0; i < policy->n_endpoints; i++) {
        const char *reason = endpoint_problem(&policy->endpoints[i], caps, message, size);
        if (reason != NULL)
            return reason;
    }
    for (size_t i = 0; i < policy->n_profiles; i++) {
        const struct kp_profile_spec *profile = &policy->profiles[i];
        if (!kp_profile_type_name_valid(profile->type)) {
            snprintf(message, size, "'%.60s' is not a name for a profile type", profile->type);
            return "InvalidSpec";
        }
        const char *reason =
            profile->path != NULL ? path_problem(profile->path, "profile path", caps, message, size) : NULL;
        if (reason != NULL)
            return reason;
    }
    return NULL;
}
