#include "store/facts.h"

#include "base/hash.h"
#include "base/banned.h"

static bool known(const char *s)
{
    return s && s[0];
}

// A container id names one life; without it the start, or the number of restarts, tells lives of a pod apart.
static uint32_t life_of(const struct kp_record *r)
{
    uint64_t h;
    if (known(r->container_id)) {
        h = kp_hash64_str(r->container_id, 1);
    } else if (known(r->pod_uid)) {
        h = kp_hash64_str(r->pod_uid, 2);
        h = kp_hash64_str(r->container ? r->container : "", h);
        h = kp_hash64_mix(
            h, r->container_started_ms > 0 ? (uint64_t)r->container_started_ms : (uint64_t)r->restarts);
    } else {
        return 0;
    }
    uint32_t life = (uint32_t)(h ^ h >> 32);
    return life == 0 ? 1 : life;
}

static uint32_t duration_of(const struct kp_record *r)
{
    return r->duration_ms <= 0 ? 0 : r->duration_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)r->duration_ms;
}

static float weight_of(const struct kp_record *r)
{
    bool sampled = r->sample_k > 0 && r->sample_n > r->sample_k;
    return sampled ? (float)r->sample_n / (float)r->sample_k : 1.0F;
}

void kp_row_set_facts(struct kp_segment_row *row, const struct kp_record *record)
{
    int64_t started = record->container_started_ms;
    row->life = life_of(record);
    row->duration_ms = duration_of(record);
    row->weight = weight_of(record);
    row->flags &= ~(uint32_t)KP_SROW_STARTUP;
    if (started > 0 && record->start_ms >= started && record->start_ms - started < KP_STARTUP_MS)
        row->flags |= KP_SROW_STARTUP;
}
