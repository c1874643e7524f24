#include "profile/kinds.h"

#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

// The first row that fits counts; NULL fits all.
static const struct {
    const char *profile_type, *sample_type;
    enum kp_aggregation aggregation;
} kinds[] = {
    {"cpu", NULL, KP_AGGREGATE_SUM},
    {"fgprof", NULL, KP_AGGREGATE_SUM},
    {NULL, "alloc_objects", KP_AGGREGATE_DELTA},
    {NULL, "alloc_space", KP_AGGREGATE_DELTA},
    {NULL, "inuse_objects", KP_AGGREGATE_GAUGE},
    {NULL, "inuse_space", KP_AGGREGATE_GAUGE},
    {NULL, "contentions", KP_AGGREGATE_DELTA},
    {NULL, "delay", KP_AGGREGATE_DELTA},
    {NULL, "goroutine", KP_AGGREGATE_GAUGE},
    {NULL, "goroutineleak", KP_AGGREGATE_GAUGE},
    {NULL, "threadcreate", KP_AGGREGATE_GAUGE},
    {"goroutine", NULL, KP_AGGREGATE_GAUGE},
    {"goroutineleak", NULL, KP_AGGREGATE_GAUGE},
    {"threadcreate", NULL, KP_AGGREGATE_GAUGE},
    {NULL, "cpu", KP_AGGREGATE_SUM},
    {NULL, "samples", KP_AGGREGATE_SUM},
    {NULL, "wall", KP_AGGREGATE_SUM},
};

static bool fits(const char *pattern, const char *text)
{
    return pattern == NULL || strcmp(pattern, text) == 0;
}

enum kp_aggregation kp_aggregation_of(const char *profile_type, const char *sample_type, bool has_window)
{
    if (has_window)
        return KP_AGGREGATE_SUM; // what changed within it, whatever it is
    for (size_t i = 0; i < KP_COUNT(kinds); i++)
        if (fits(kinds[i].profile_type, profile_type) && fits(kinds[i].sample_type, sample_type))
            return kinds[i].aggregation;
    return KP_AGGREGATE_NONE;
}
