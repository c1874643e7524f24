// What a profile itself asks to leave out: runtime frames below the program's own, e.g. the inside of malloc.
#include <string.h>

#include "base/alloc.h"
#include "profile/filter.h"
#include "base/banned.h"

// Of C++ names the arguments go; what only looks like arguments stays.
static size_t simple_length(const char *name, size_t len)
{
    static const char *const reserved[] = {"(anonymous namespace)", "operator()"};
    for (size_t i = 0; i < len; i++) {
        size_t skip = 0;
        for (size_t k = 0; k < KP_COUNT(reserved); k++) {
            size_t n = strlen(reserved[k]);
            if (len - i >= n && memcmp(name + i, reserved[k], n) == 0)
                skip = n;
        }
        if (skip > 0)
            i += skip - 1;
        else if (name[i] == '(')
            return i;
    }
    return len;
}

static bool is_dropped(struct kp_str name, const struct kp_regex *drop, const struct kp_regex *keep)
{
    if (name.len == 0)
        return false;
    size_t dot = name.data[0] == '.'; // of the PPC ELF ABI
    const char *start = name.data + dot;
    kp_auto_free char *simple = kp_strndup(start, simple_length(start, name.len - dot));
    return kp_regex_matches(drop, simple) && !(keep && kp_regex_matches(keep, simple));
}

static bool *dropped_functions(
    const struct kp_profile *p, const struct kp_regex *drop, const struct kp_regex *keep)
{
    bool *dropped = KP_NEW_ARRAY(bool, (size_t)p->n_functions + 1);
    for (uint32_t i = 0; i < p->n_functions; i++)
        dropped[i] = is_dropped(p->strings[p->functions[i].name], drop, keep);
    return dropped;
}

enum { STAYS, BENEATH_GOES, GOES };

// Cuts inlined lines from the leaf to the outermost that is dropped.
static uint8_t prune_location(const struct kp_profile *p, struct kp_location *l, const bool *dropped)
{
    uint32_t i = l->n_lines;
    while (i > 0 && !dropped[p->lines[l->first_line + i - 1].function])
        i--;
    if (i == 0)
        return STAYS;
    if (i == l->n_lines)
        return GOES;
    l->first_line += i;
    l->n_lines -= i;
    return BENEATH_GOES;
}

// From the root on; what comes before the first frame of the program itself stays, or nothing might.
static void prune_sample(const struct kp_profile *p, struct kp_sample *s, const uint8_t *verdicts)
{
    bool found = false;
    for (uint32_t i = s->n_frames; i-- > 0;) {
        uint8_t verdict = verdicts[p->frames[s->first_frame + i]];
        if (verdict == STAYS) {
            found = true;
        } else if (found) {
            uint32_t cut = verdict == GOES ? i + 1 : i;
            s->first_frame += cut;
            s->n_frames -= cut;
            return;
        }
    }
}

static int compile(const struct kp_profile *p, uint32_t string, const char *what, struct kp_regex **ret,
    struct kp_error *err)
{
    kp_auto_free char *text = kp_strndup(p->strings[string].data, p->strings[string].len);
    if (kp_regex_compile(text, ret, err) == 0)
        return 0;
    return kp_wrap(err, "%s of the profile", what);
}

int kp_profile_prune(struct kp_profile *p, struct kp_error *err)
{
    struct kp_regex *drop = NULL, *keep = NULL;
    if (p->strings[p->drop_frames].len == 0)
        return 0;
    int rc = compile(p, p->drop_frames, "drop_frames", &drop, err);
    if (rc == 0 && p->strings[p->keep_frames].len > 0)
        rc = compile(p, p->keep_frames, "keep_frames", &keep, err);
    if (rc == 0) {
        kp_auto_free bool *dropped = dropped_functions(p, drop, keep);
        kp_auto_free uint8_t *verdicts = KP_NEW_ARRAY(uint8_t, (size_t)p->n_locations + 1);
        for (uint32_t i = 0; i < p->n_locations; i++)
            verdicts[i] = prune_location(p, &p->locations[i], dropped);
        for (uint32_t i = 0; i < p->n_samples; i++)
            prune_sample(p, &p->samples[i], verdicts);
    }
    kp_regex_destroy(drop);
    kp_regex_destroy(keep);
    return rc;
}
