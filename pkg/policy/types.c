#include "policy/types.h"

#include <string.h>

#include "base/limits.h"
#include "base/banned.h"

#define S INT64_C(1000)
#define M (60 * S)

static const struct kp_profile_type types[] = {
    {.name = "cpu",
        .path = "/profile",
        .collecting = true,
        .exclusive = true,
        .default_interval_ms = 60 * S,
        .default_duration_ms = 10 * S},
    {.name = "heap", .path = "/heap", .default_interval_ms = 5 * M},
    {.name = "allocs", .path = "/allocs", .default_interval_ms = 5 * M},
    {.name = "goroutine", .path = "/goroutine", .default_interval_ms = 5 * M},
    {.name = "goroutineleak", .path = "/goroutineleak", .default_interval_ms = 60 * M},
    {.name = "block", .path = "/block", .default_interval_ms = 5 * M},
    {.name = "mutex", .path = "/mutex", .default_interval_ms = 5 * M},
    {.name = "threadcreate", .path = "/threadcreate", .default_interval_ms = 10 * M},
    {.name = "trace",
        .path = "/trace",
        .collecting = true,
        .exclusive = true,
        .opaque = true,
        .default_interval_ms = 60 * M,
        .default_duration_ms = 1 * S},
    {.name = "fgprof",
        .path = "/fgprof",
        .absolute_path = "/debug/fgprof",
        .collecting = true,
        .default_interval_ms = 5 * M,
        .default_duration_ms = 10 * S},
};

const struct kp_profile_type *kp_profile_type(const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

bool kp_profile_type_name_valid(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > KP_MAX_TYPE_NAME || name[0] < 'a' || name[0] > 'z')
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == n;
}
