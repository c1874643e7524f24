// The program behind generated profiles. Private to testkit.
#ifndef KP_TESTKIT_PROFILE_GEN_PRIVATE_H
#define KP_TESTKIT_PROFILE_GEN_PRIVATE_H

#include "base/array.h"
#include "testkit/profile_gen.h"

#define KP_GEN_SITES     8 // call sites of a function
#define KP_GEN_MAX_DEPTH 200

struct kp_gen_function {
    char *name;
    uint32_t file;
    int64_t start_line;
};

// Call sites from the leaf to the root: function * KP_GEN_SITES + site.
struct kp_gen_stack {
    uint32_t *sites;
    uint32_t n;
};

struct kp_gen {
    struct kp_gen_program program;
    char *binary;
    char build_id[41];
    struct kp_gen_function *functions;
    char **files;
    unsigned n_files;
    struct kp_gen_stack *stacks[KP_GEN_KINDS]; // made when first asked for
    uint32_t *seen_sites, *seen_functions;     // of the capture being made: index + 1
    uint32_t *seen_files;                      // string
};

// splitmix64
static inline uint64_t kp_gen_random(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static inline uint64_t kp_gen_seed(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    uint64_t state = a;
    state = kp_gen_random(&state) ^ b;
    state = kp_gen_random(&state) ^ c;
    state = kp_gen_random(&state) ^ d;
    return kp_gen_random(&state);
}

void kp_gen_make_functions(struct kp_gen *gen);
const struct kp_gen_stack *kp_gen_stacks(struct kp_gen *gen, enum kp_gen_kind kind);
// A stack nobody else has: the callers of `from`, then a way of its own. sites has KP_GEN_MAX_DEPTH entries.
void kp_gen_new_stack(
    const struct kp_gen *gen, const struct kp_gen_stack *from, uint64_t seed, struct kp_gen_stack *ret);

#endif
