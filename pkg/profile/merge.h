// Sums of profiles, with the meaning of google/pprof's merge: samples of equal stack and labels add up, what
// sums to nothing is dropped, headers: time = the earliest that is not 0, duration = sum, period = largest,
// period type, drop and keep frames of the first, default type and doc URL = first non-empty, comments =
// union in order of sight. An accumulator takes profiles one by one, so memory follows the result, not the
// input.
#ifndef KP_PROFILE_MERGE_H
#define KP_PROFILE_MERGE_H

#include "profile/profile.h"
#include "profile/symbols.h"

struct kp_merger;

struct kp_merger *kp_merger_create(void);
void kp_merger_destroy(struct kp_merger *merger); // NULL is fine
// What it holds, and what the samples of kp_merger_profile() will take.
size_t kp_merger_bytes(const struct kp_merger *merger);

// Samples of the result: values, stacks, labels. (Many deep stacks are small as a tree, but not as samples.)
#define KP_MERGER_MAX_SAMPLE_BYTES (1U << 30)

// Adds factor times the profile. KP_CONFLICT with a sentence when period type or sample types differ from
// those of the first: nothing is changed then. KP_LIMIT past KP_MERGER_MAX_SAMPLE_BYTES: a part was added.
KP_MUST_CHECK int kp_merger_add(
    struct kp_merger *merger, const struct kp_profile *profile, double factor, struct kp_error *err);

// For those who sum by themselves (segments): the header is taken in first, then rows of ids in the merger's
// own symbol space; values are sums of n_types doubles (rounded at the end; whole numbers below 2^53 add up
// exactly). Past KP_MERGER_MAX_FRAMES new rows are left out: ask kp_merger_is_full() once at the end.
struct kp_symbols *kp_merger_symbols(struct kp_merger *merger);
struct kp_merge_header {
    const struct kp_profile *profile; // sample types, period type, period, default type, ...; its samples and
                                      // tables are not looked at
    int64_t time_ns, duration_ns;     // to be taken in: earliest and sum
};
KP_MUST_CHECK int kp_merger_add_header(
    struct kp_merger *merger, const struct kp_merge_header *header, struct kp_error *err);
void kp_merger_add_row(struct kp_merger *merger, uint32_t node, uint32_t label_set, const double *values);
bool kp_merger_is_full(const struct kp_merger *merger);

// The sum so far as a profile. An empty merger gives an empty profile. The merger can go on afterwards.
// Tables and samples are sorted by what they say (strings by bytes, samples as a walk down the tree of
// stacks), but for mapping 0, which is the first that was seen: the same samples give the same profile in
// whatever order they came, as long as their mappings were loaded to the same places.
struct kp_profile *kp_merger_profile(struct kp_merger *merger);

// All at once.
KP_MUST_CHECK int kp_profile_merge(
    const struct kp_profile *const *profiles, size_t n, struct kp_profile **ret, struct kp_error *err);

#endif
