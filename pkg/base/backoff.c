#include "base/backoff.h"

#include "base/banned.h"

uint64_t kp_random_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void kp_backoff_init(struct kp_backoff *b, int64_t first_ms, int64_t max_ms, double jitter, uint64_t seed)
{
    *b = (struct kp_backoff){.first_ms = first_ms,
        .max_ms = max_ms,
        .jitter = jitter,
        .reset_after_ms = 120000,
        .next_ms = first_ms,
        .random = seed};
}

int64_t kp_backoff_next_ms(struct kp_backoff *b, int64_t now_ms)
{
    if (b->last_failure_ms != 0 && now_ms - b->last_failure_ms > b->next_ms + b->reset_after_ms)
        b->next_ms = b->first_ms;
    b->last_failure_ms = now_ms;
    int64_t wait = b->next_ms;
    b->next_ms = wait >= b->max_ms / 2 ? b->max_ms : wait * 2;
    double unit = (double)(kp_random_next(&b->random) >> 11) / 9007199254740992.0;
    return wait + (int64_t)((double)wait * b->jitter * unit);
}

void kp_backoff_reset(struct kp_backoff *b)
{
    b->next_ms = b->first_ms;
}

void kp_bucket_init(struct kp_bucket *b, double rate, double burst, int64_t now_ms)
{
    *b = (struct kp_bucket){.rate = rate, .burst = burst, .tokens = burst, .last_ms = now_ms};
}

static double tokens_at(const struct kp_bucket *b, int64_t now_ms)
{
    int64_t passed = now_ms > b->last_ms ? now_ms - b->last_ms : 0;
    double tokens = b->tokens + b->rate * (double)passed / 1000;
    return tokens > b->burst ? b->burst : tokens;
}

bool kp_bucket_take(struct kp_bucket *b, int64_t now_ms)
{
    b->tokens = tokens_at(b, now_ms);
    b->last_ms = now_ms;
    if (b->tokens < 1)
        return false;
    b->tokens -= 1;
    return true;
}

int64_t kp_bucket_wait_ms(const struct kp_bucket *b, int64_t now_ms)
{
    double tokens = tokens_at(b, now_ms);
    if (tokens >= 1)
        return 0;
    double wait = b->rate > 0 ? (1 - tokens) * 1000 / b->rate : 1e15;
    return wait < 1e15 ? (int64_t)wait + 1 : INT64_MAX / 2;
}
