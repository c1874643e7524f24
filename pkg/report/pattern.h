// A regular expression that is looked for in the strings of one profile: anywhere in them, each string once.
// Private to this module.
#ifndef KP_REPORT_PATTERN_H
#define KP_REPORT_PATTERN_H

#include <stdbool.h>

#include "base/stop.h"
#include "profile/profile.h"

struct kp_pattern {
    const struct kp_profile *profile;
    struct kp_regex *regex;
    const char *literal; // it has no operators: what to look for
    uint8_t *known;      // of each string: 0 not yet, 1 no, 2 yes
    const struct kp_stop *stop;
    bool stopped; // matches nothing any more
};

// text NULL or "": matches nothing. The text is kept by reference. An expression can take a good part of a
// second for one long name, so stop is asked before each.
KP_MUST_CHECK int kp_pattern_init(struct kp_pattern *pattern, const struct kp_profile *profile,
    const char *what, const char *text, const struct kp_stop *stop, struct kp_error *err);
void kp_pattern_finish(struct kp_pattern *pattern);

static inline bool kp_pattern_given(const struct kp_pattern *pattern)
{
    return pattern->known != NULL;
}
bool kp_pattern_matches(struct kp_pattern *pattern, uint32_t string);

#endif
