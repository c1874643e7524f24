// Operations on one profile, with the meaning of google/pprof (profile/filter.go, prune.go, profile.go). Each
// changes the profile in place (what goes away is left unreferenced; kp_profile_compact() drops it).
#ifndef KP_PROFILE_FILTER_H
#define KP_PROFILE_FILTER_H

#include "base/regex.h"
#include "base/stop.h"
#include "profile/profile.h"

// Keeps samples with a frame that matches focus and none that matches ignore; drops frames that match hide,
// and all but those that match show. A frame matches by function name, file name or mapping file; an
// expression may match any part of them (kp_regex_finds). NULL = not asked for. Returns how many samples are
// left. A location's lines must be its own (they are in what is decoded or merged). Of longer names only the
// first KP_FILTER_MAX_NAME bytes are looked at. An expression can take a good part of a second for one name,
// so stop is asked before each; ask it yourself afterwards: when it says stop, the profile is good for
// nothing.
#define KP_FILTER_MAX_NAME 4096
struct kp_profile_filter {
    const struct kp_regex *focus, *ignore, *hide, *show;
    const struct kp_regex *tag_focus, *tag_ignore; // "key:value" of text labels, or "value"
    const struct kp_stop *stop;                    // NULL = takes as long as it takes
};
uint32_t kp_profile_filter(struct kp_profile *profile, const struct kp_profile_filter *filter);

// Multiplies each type by its factor, rounds, drops samples that are nothing but zeros.
void kp_profile_scale(struct kp_profile *profile, const double *factors);

// Gives every sample this label, in the place of what it has of the key.
void kp_profile_set_label(struct kp_profile *profile, const char *key, const char *value);

// Marks every sample as base (label pprof::base=true) and negates it: for -diff_base. `go tool pprof` then
// shows percentages of the base's total.
void kp_profile_mark_base(struct kp_profile *profile);
// Scales a base to the totals of the profile it is compared with, type by type.
void kp_profile_normalize_base(struct kp_profile *base, const struct kp_profile *profile);

// Blanks what is not wanted, so that a merge joins more. Without addresses mappings start at 0.
enum {
    KP_KEEP_FUNCTION = 1,
    KP_KEEP_FILE = 2,
    KP_KEEP_LINE = 4,
    KP_KEEP_COLUMN = 8,
    KP_KEEP_ADDRESS = 16,
    KP_KEEP_INLINE = 32,
    KP_KEEP_LABELS = 64,
};
void kp_profile_aggregate(struct kp_profile *profile, unsigned keep);

// Cuts the frames the profile itself asks to drop (drop_frames, keep_frames).
KP_MUST_CHECK int kp_profile_prune(struct kp_profile *profile, struct kp_error *err);

// Keeps the sample types in common, in the order of the first, so that the profiles can be merged.
// KP_CONFLICT if there is none.
KP_MUST_CHECK int kp_profile_common_types(struct kp_profile *const *profiles, size_t n, struct kp_error *err);

// What is referenced, each once: a merge of one. The old one is freed.
KP_MUST_CHECK int kp_profile_compact(struct kp_profile **profile, struct kp_error *err);

#endif
