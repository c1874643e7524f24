// A profile as the options want it seen: every location as a run of keys, a key being what frames are merged
// by (a function, a line, a file, a package). Keys are made in a symbol space that two profiles can share.
// Private to this module.
#ifndef KP_REPORT_VIEW_H
#define KP_REPORT_VIEW_H

#include "base/array.h"
#include "profile/symbols.h"
#include "report/pattern.h"
#include "report/report.h"

// Frames of all samples of one profile, inlined ones counted: more are refused, not walked.
#define KP_VIEW_MAX_FRAMES (1u << 28)

#define KP_NO_KEY UINT32_MAX

// What people are shown of a key beside what makes it itself.
struct kp_key_info {
    uint32_t file, package; // strings of the symbol space
    int64_t line;
};

struct kp_keys {
    struct kp_symbols *symbols;         // key k is function k there: name, by line also file and line
    KP_ARRAY(struct kp_key_info) infos; // of each key
};

void kp_keys_init(struct kp_keys *keys);
void kp_keys_finish(struct kp_keys *keys);
struct kp_str kp_keys_name(const struct kp_keys *keys, uint32_t key);
// Name order; by line also file and line, as they are printed.
int kp_keys_compare(const struct kp_keys *keys, uint32_t a, uint32_t b);

struct kp_view {
    const struct kp_profile *profile;
    const struct kp_report_options *options;
    struct kp_keys *keys;
    int type;       // sample type, -1: the profile has none
    uint32_t *runs; // keys of location l: run[runs[l]] to run[runs[l + 1] - 1], the leaf first
    uint32_t *run;
    uint8_t *marks;              // of each location: private
    bool filtered;               // by focus or ignore or hide
    int64_t total;               // sum of the magnitudes of all values, before focus
    uint32_t *texts, *functions; // caches: private
    uint32_t until_look;         // private
};

KP_MUST_CHECK int kp_view_init(struct kp_view *view, struct kp_keys *keys, const struct kp_profile *profile,
    const struct kp_report_options *options, struct kp_error *err);
void kp_view_finish(struct kp_view *view);
// To be called for each sample before it is walked: whether to go on (see options->stop).
KP_MUST_CHECK int kp_view_go_on(struct kp_view *view, uint32_t sample, struct kp_error *err);
// The value of a sample, 0 if focus or ignore leave it out.
int64_t kp_view_value(const struct kp_view *view, uint32_t sample);
// By label: the key of the sample's first value of the label.
uint32_t kp_view_label(struct kp_view *view, uint32_t sample);
// A string of the profile as it may be shown, copied.
const char *kp_view_text(struct kp_view *view, uint32_t string, struct kp_arena **arena);
const char *kp_view_type(struct kp_view *view, struct kp_arena **arena);
const char *kp_view_unit(struct kp_view *view, struct kp_arena **arena);

#endif
