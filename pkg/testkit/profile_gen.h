// Makes profiles as real Go programs give them, any number of them, for tests and benchmarks: long names with
// shared beginnings, stacks that share their callers, inlined lines, skewed values. Deterministic: the same
// program, kind, pod and round give the same bytes on every machine. A program is one build; its pods share
// its stacks. Every capture has the stacks of the program with values of its own, and some stacks nobody has
// seen before.
#ifndef KP_TESTKIT_PROFILE_GEN_H
#define KP_TESTKIT_PROFILE_GEN_H

#include <stddef.h>
#include <stdint.h>

#include "profile/profile.h"

enum kp_gen_kind { KP_GEN_CPU, KP_GEN_HEAP, KP_GEN_GOROUTINE, KP_GEN_MUTEX, KP_GEN_KINDS };

struct kp_gen_program {
    uint64_t seed;        // which program; its functions and stacks
    unsigned build;       // of this program: another build id, other addresses, every tenth function moved
    const char *binary;   // NULL: "/app/server"
    unsigned functions;   // that exist; 0: 1000
    unsigned stacks;      // of a capture, of each kind; 0: 300
    unsigned depth;       // of a stack on average; 0: 20
    unsigned new_percent; // of a capture's stacks, seen in no other
    unsigned labels;      // values of the label "handler", which every second CPU or goroutine sample then
                          // has; 0: no labels
    int64_t start_ns;     // time of round 0; 0: 2026-01-01
    int64_t interval_ns;  // from round to round; 0: one minute
};

struct kp_gen;
struct kp_gen *kp_gen_create(const struct kp_gen_program *program); // the texts in it are copied
void kp_gen_destroy(struct kp_gen *gen);                            // NULL is fine

// One capture. Free it with kp_profile_free.
struct kp_profile *kp_gen_profile(struct kp_gen *gen, enum kp_gen_kind kind, unsigned pod, unsigned round);
// The same encoded: gzip of this level, 0: bare. Free it with kp_free.
uint8_t *kp_gen_bytes(
    struct kp_gen *gen, enum kp_gen_kind kind, unsigned pod, unsigned round, int gzip_level, size_t *ret_len);

const char *kp_gen_build_id(const struct kp_gen *gen);
const char *kp_gen_kind_name(enum kp_gen_kind kind); // "cpu", "heap", ...

#endif
