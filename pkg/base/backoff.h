// Exponential waiting with jitter. Pure: the caller waits.
#ifndef KP_BASE_BACKOFF_H
#define KP_BASE_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

struct kp_backoff {
    int64_t first_ms, max_ms;
    double jitter;          // 0.5: each wait is drawn from [w, 1.5 w)
    int64_t reset_after_ms; // that long without a failure starts again at first_ms
    // private
    int64_t next_ms, last_failure_ms;
    uint64_t random;
};

void kp_backoff_init(struct kp_backoff *b, int64_t first_ms, int64_t max_ms, double jitter, uint64_t seed);
// How long to wait after a failure at now_ms (monotonic).
int64_t kp_backoff_next_ms(struct kp_backoff *b, int64_t now_ms);
void kp_backoff_reset(struct kp_backoff *b);

// A small generator for jitter and tests, not for secrets (splitmix64).
uint64_t kp_random_next(uint64_t *state);

// A token bucket: `rate` per second up to `burst`. Pure.
struct kp_bucket {
    double rate, burst, tokens;
    int64_t last_ms;
};
void kp_bucket_init(struct kp_bucket *b, double rate, double burst, int64_t now_ms);
bool kp_bucket_take(struct kp_bucket *b, int64_t now_ms);
// Milliseconds until one can be taken; 0 = now.
int64_t kp_bucket_wait_ms(const struct kp_bucket *b, int64_t now_ms);

#endif
