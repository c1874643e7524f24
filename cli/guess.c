#include "cli/guess.h"

#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/banned.h"

bool kp_guess_is_trace(const void *data, size_t len)
{
    const char *text = data;
    return len >= 16 && memcmp(text, "go 1.", 5) == 0 && memmem(text, 16, " trace", 6) != NULL;
}

static bool has(const struct kp_profile *p, const char *type)
{
    for (uint32_t t = 0; t < p->n_sample_types; t++)
        if (kp_profile_str_is(p, p->sample_types[t].type, type))
            return true;
    return false;
}

// Name of the function a stack ends in; empty where nothing is known.
static struct kp_str leaf_of(const struct kp_profile *p, const struct kp_sample *sample)
{
    if (sample->n_frames == 0)
        return (struct kp_str){"", 0};
    const struct kp_location *location = &p->locations[p->frames[sample->first_frame]];
    if (location->n_lines == 0)
        return (struct kp_str){"", 0};
    return p->strings[p->functions[p->lines[location->first_line].function].name];
}

// A mutex profile blames who let others wait, in Unlock; a block profile who waited.
static bool is_mutex(const struct kp_profile *p)
{
    double unlocks = 0;
    double all = 0;
    for (uint32_t s = 0; s < p->n_samples; s++) {
        struct kp_str leaf = leaf_of(p, &p->samples[s]);
        double value = (double)p->values[(size_t)s * p->n_sample_types]; // contentions
        bool is_unlock = memmem(leaf.data, leaf.len, "nlock", 5) != NULL ||
                         memmem(leaf.data, leaf.len, "_LostContended", 14);
        all += value;
        unlocks += is_unlock ? value : 0;
    }
    return unlocks * 2 > all;
}

static bool is_type_name(const char *text)
{
    size_t len = strlen(text);
    return len > 0 && len <= KP_MAX_TYPE_NAME && text[0] >= 'a' && text[0] <= 'z' &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

const char *kp_guess_type(const struct kp_profile *p, char *out, size_t size)
{
    int at = kp_profile_type_index(p, NULL);
    if (has(p, "cpu"))
        return "cpu";
    if (has(p, "inuse_space") || has(p, "alloc_space"))
        return kp_profile_str_is(p, p->default_type, "alloc_space") ? "allocs" : "heap";
    if (has(p, "contentions"))
        return is_mutex(p) ? "mutex" : "block";
    if (has(p, "samples") && has(p, "time"))
        return "fgprof";
    if (at < 0)
        return NULL;
    struct kp_str name = p->strings[p->sample_types[at].type];
    snprintf(out, size, "%.*s", (int)(name.len < size ? name.len : size - 1), name.data);
    return is_type_name(out) ? out : NULL;
}

// Types with one number have the same values; 0: not one of these.
static int values_of(const char *type)
{
    static const char *const types[][2] = {{"cpu", "cpu"}, {"heap", "allocs"}, {"block", "mutex"},
        {"goroutine", "goroutine"}, {"threadcreate", "threadcreate"}, {"trace", "trace"}};
    for (int i = 0; i < (int)KP_COUNT(types); i++)
        if (kp_streq(type, types[i][0]) || kp_streq(type, types[i][1]))
            return i + 1;
    return 0;
}

bool kp_guess_contradicts(const char *guessed, const char *said)
{
    int a = values_of(guessed);
    int b = values_of(said);
    return a != 0 && b != 0 && a != b;
}
