// Digests of what a profile says, whatever the ids and the order of its tables and samples: header fields,
// mappings in order, and the samples with values, labels, addresses, functions and lines as a multiset. Equal
// profiles have equal digests; unequal ones do not, but by chance. The parts are public so that a stored form
// can be digested without building a profile from it. Within one version of the program only: digests are not
// stored. Pure.
#ifndef KP_PROFILE_DIGEST_H
#define KP_PROFILE_DIGEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "profile/profile.h"

struct kp_digest {
    uint64_t lo, hi;
};

static inline bool kp_digest_equal(struct kp_digest a, struct kp_digest b)
{
    return a.lo == b.lo && a.hi == b.hi;
}

struct kp_digest kp_profile_digest(const struct kp_profile *profile);

// ---- the parts; `h` are the hashes of what is referred to ----
static inline uint64_t kp_digest_mix(uint64_t h, uint64_t v)
{
    h ^= v * 0x9E3779B185EBCA87u;
    h = (h << 29 | h >> 35) * 0xC2B2AE3D27D4EB4Fu;
    return h ^ h >> 32;
}

static inline uint64_t kp_digest_string(struct kp_str s)
{
    return kp_hash64(s.data, s.len, 0x70726f66);
}
uint64_t kp_digest_function(const struct kp_function *function, const uint64_t *h_strings);
// ordinal: how many before it are of the same kind (all fields but start equal).
uint64_t kp_digest_mapping(uint64_t size, uint64_t offset, uint64_t h_filename, uint64_t h_build_id,
    uint32_t flags, uint32_t ordinal);
// address relative to the start of the mapping; h_mapping 0 without one.
uint64_t kp_digest_location(uint64_t h_mapping, uint64_t address, bool folded, const struct kp_line *lines,
    uint32_t n_lines, const uint64_t *h_functions);
#define KP_DIGEST_EMPTY_STACK UINT64_C(0x51ac)
static inline uint64_t kp_digest_frame(uint64_t h_callers, uint64_t h_location)
{
    return kp_digest_mix(h_callers, h_location);
}
uint64_t kp_digest_labels(const struct kp_sample_label *labels, uint32_t n, const uint64_t *h_strings);
static inline void kp_digest_add_sample(
    struct kp_digest *d, uint64_t h_stack, uint64_t h_labels, const int64_t *values, uint32_t n)
{
    uint64_t h = kp_digest_mix(h_stack, h_labels);
    for (uint32_t i = 0; i < n; i++)
        h = kp_digest_mix(h, (uint64_t)values[i]);
    d->lo += h;
    d->hi += kp_digest_mix(h, 0x68690a);
}
// Everything but the samples: header, comments, mappings with their starts, in order.
void kp_digest_add_header(struct kp_digest *d, const struct kp_profile *profile, const uint64_t *h_strings);

// The ordinal of each mapping; ret has n_mappings entries.
void kp_mapping_ordinals(const struct kp_profile *profile, uint32_t *ret);

#endif
