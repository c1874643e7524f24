#include "http/route.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "base/banned.h"

static bool is_good_path(const char *path)
{
    kp_auto_free char *out = kp_alloc(strlen(path) + 1);
    for (const char *s = path; *s == '/';) {
        size_t len = strcspn(++s, "/");
        if (!kp_url_decode(s, len, out) || strcmp(out, ".") == 0 || strcmp(out, "..") == 0)
            return false;
        s += len;
    }
    return true;
}

static void add_param(
    struct kp_http_match *match, const char *name, size_t name_len, const char *value, size_t len)
{
    if (match->n_params == KP_HTTP_MAX_PARAMS)
        return;
    char *out = kp_alloc(len + 1);
    kp_url_decode(value, len, out); // the whole path was found good
    match->params[match->n_params++] = (struct kp_http_param){name, name_len, out};
}

static bool fits(const char *pattern, const char *path, struct kp_http_match *match)
{
    for (;;) {
        if (*pattern == '\0' || *path == '\0')
            return *pattern == *path;
        pattern++; // both at a '/'
        path++;
        size_t want = strcspn(pattern, "/"), have = strcspn(path, "/");
        if (want > 5 && pattern[0] == '{' && strncmp(pattern + want - 4, "...}", 4) == 0) {
            add_param(match, pattern + 1, want - 5, path, strlen(path));
            return true;
        }
        if (want > 2 && pattern[0] == '{') {
            if (have == 0)
                return false;
            add_param(match, pattern + 1, want - 2, path, have);
        } else if (want != have || strncmp(pattern, path, want) != 0) {
            return false;
        }
        pattern += want;
        path += have;
    }
}

static bool is_any(const struct kp_http_route *route)
{
    return strcmp(route->method, "*") == 0;
}

static bool method_fits(const struct kp_http_route *route, const char *method)
{
    return is_any(route) || strcmp(route->method, method) == 0 ||
           (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

int kp_http_route_find(const struct kp_http_route *routes, const char *method, const char *path,
    struct kp_http_match *match, char *allow, size_t allow_size)
{
    size_t used = 0;
    *match = (struct kp_http_match){0};
    allow[0] = '\0';
    while (path[0] == '/' && path[1] == '/') // a base address with a slash at its end
        path++;
    if (!is_good_path(path))
        return 400;
    for (const struct kp_http_route *route = routes; route->path != NULL; route++) {
        if (!fits(route->path, path, match)) {
            kp_http_match_finish(match);
            continue;
        }
        if (is_any(route) && used > 0) { // the path is another row's, which does not know the method
            kp_http_match_finish(match);
            continue;
        }
        if (method_fits(route, method)) {
            match->route = route;
            return 0;
        }
        kp_http_match_finish(match);
        int n = snprintf(allow + used, allow_size - used, "%s%s%s", used > 0 ? ", " : "", route->method,
            strcmp(route->method, "GET") == 0 ? ", HEAD" : "");
        used += n > 0 && (size_t)n < allow_size - used ? (size_t)n : 0;
    }
    return used > 0 ? 405 : 404;
}

void kp_http_match_finish(struct kp_http_match *match)
{
    for (size_t i = 0; i < match->n_params; i++)
        kp_free(match->params[i].value);
    *match = (struct kp_http_match){0};
}

const char *kp_http_match_param(const struct kp_http_match *match, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < match->n_params; i++)
        if (match->params[i].name_len == n && strncmp(match->params[i].name, name, n) == 0)
            return match->params[i].value;
    return NULL;
}
