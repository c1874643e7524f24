// Any bytes as a profile: no crash, bounded memory, and the verdict on gzip and on its inflated bytes must
// agree.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "profile/inflate.h"
#include "profile/walk.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same_text(const char *a, const char *b)
{
    if (strcmp(a, b) != 0)
        abort();
}

// The walker must say what decoding said.
static void compare(const uint8_t *raw, size_t len, const struct kp_profile_limits *limits,
    enum kp_profile_verdict verdict, const struct kp_profile_summary *s)
{
    const struct kp_profile_limits l = kp_profile_limits_of(limits);
    struct kp_profile_summary w = {0};
    int rc = kp_profile_walk(raw, len, &l, &w, NULL);
    bool good = verdict == KP_PROFILE_VALID || verdict == KP_PROFILE_EMPTY;
    if ((rc == KP_LIMIT) > (verdict == KP_PROFILE_TOO_LARGE) || (rc == 0) != (good && !s->legacy))
        abort();
    if (rc != 0)
        return;
    if (w.n_samples != s->n_samples || w.n_locations != s->n_locations || w.n_functions != s->n_functions ||
        w.n_mappings != s->n_mappings || w.n_strings != s->n_strings ||
        w.n_sample_types != s->n_sample_types || w.inflated_bytes != s->inflated_bytes ||
        w.time_ns != s->time_ns || w.duration_ns != s->duration_ns || w.period != s->period)
        abort();
    same_text(w.first_type, s->first_type);
    same_text(w.first_unit, s->first_unit);
    same_text(w.default_type, s->default_type);
    same_text(w.build_id, s->build_id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct kp_profile_limits limits = {.max_inflated_bytes = 16 << 20, .max_entities = 100000};
    struct kp_profile_summary summary;
    struct kp_error err = {0};
    enum kp_profile_verdict verdict = kp_profile_check(data, size, &limits, &summary, &err);
    if ((verdict == KP_PROFILE_VALID) != (err.code == 0))
        abort(); // every other verdict comes with its sentence
    kp_profile_sniff(data, size);
    uint8_t *raw;
    size_t len;
    if (kp_profile_inflate(data, size, &limits, &raw, &len, NULL) == 0) {
        compare(raw, len, &limits, verdict, &summary);
        bool nested = len >= 2 && raw[0] == 0x1f && raw[1] == 0x8b;
        if (!nested && kp_profile_check(raw, len, &limits, NULL, NULL) != verdict)
            abort();
        kp_free(raw);
    }
    return 0;
}
