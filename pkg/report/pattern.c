#include "report/pattern.h"

#include <string.h>

#include "base/alloc.h"
#include "base/regex.h"
#include "profile/filter.h"
#include "base/banned.h"

int kp_pattern_init(struct kp_pattern *pattern, const struct kp_profile *profile, const char *what,
    const char *text, const struct kp_stop *stop, struct kp_error *err)
{
    *pattern = (struct kp_pattern){.profile = profile, .stop = stop};
    if (text == NULL || text[0] == '\0')
        return 0;
    if (strpbrk(text, "\\|()[]{}.^$*+?") == NULL) {
        pattern->literal = text;
    } else {
        int rc = kp_regex_compile(text, &pattern->regex, err);
        if (rc < 0) {
            kp_wrap(err, "cannot use '%.60s' as %s", text, what);
            return rc;
        }
    }
    pattern->known = KP_NEW_ARRAY(uint8_t, profile->n_strings);
    return 0;
}

void kp_pattern_finish(struct kp_pattern *pattern)
{
    kp_regex_destroy(pattern->regex);
    kp_free(pattern->known);
    *pattern = (struct kp_pattern){0};
}

static bool look(const struct kp_pattern *pattern, struct kp_str s)
{
    if (pattern->literal)
        return memmem(s.data, s.len, pattern->literal, strlen(pattern->literal)) != NULL;
    return kp_regex_finds(pattern->regex, s.data, s.len < KP_FILTER_MAX_NAME ? s.len : KP_FILTER_MAX_NAME);
}

bool kp_pattern_matches(struct kp_pattern *pattern, uint32_t string)
{
    uint8_t *known = &pattern->known[string];
    if (*known == 0 && !pattern->stopped)
        pattern->stopped = kp_stop_check(pattern->stop, NULL) != 0;
    if (*known == 0 && !pattern->stopped)
        *known = look(pattern, kp_profile_str(pattern->profile, string)) ? 2 : 1;
    return *known == 2;
}
