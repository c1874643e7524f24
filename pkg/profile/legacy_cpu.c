// gperftools' binary CPU profile: words of 32 or 64 bits in either order. Header 0, 3, 0 (1: of
// Java), period in microseconds, 0; then count, depth, addresses of each stack; 0, 1, 0 at the end; the
// memory map as text, or Java's frames.
#include <string.h>

#include "profile/legacy_private.h"
#include "base/banned.h"

struct words {
    const uint8_t *p, *end;
    unsigned size; // bytes
    bool big, ended;
};

// 0 behind the end, as google/pprof reads it.
static uint64_t next(struct words *w)
{
    uint64_t v = 0;
    if ((size_t)(w->end - w->p) < w->size) {
        w->ended = true;
        w->p = w->end;
        return 0;
    }
    for (unsigned i = 0; i < w->size; i++)
        v |= (uint64_t)w->p[i] << (w->big ? w->size - 1 - i : i) * 8;
    w->p += w->size;
    return v;
}

static bool take_header(struct words *w, uint64_t *ret_java, uint64_t *ret_period_us)
{
    const uint64_t want[] = {0, 3};
    for (size_t i = 0; i < KP_COUNT(want); i++)
        if (next(w) != want[i])
            return false;
    *ret_java = next(w);
    if (*ret_java > 1)
        return false;
    *ret_period_us = next(w);
    return next(w) == 0 && !w->ended && *ret_period_us > 0;
}

static int take_samples(struct kp_legacy *l, struct words *w)
{
    while (w->p < w->end) {
        uint64_t count = next(w);
        uint64_t depth = next(w);
        int rc = 0;
        if (w->ended || depth > (uint64_t)(w->end - w->p) / 4)
            return kp_fail(l->err, KP_NOT_FOUND, "not a CPU profile");
        if (count == 0 && depth == 1) {
            const struct words before = *w;
            if (next(w) == 0)
                return 0; // the end
            *w = before;
        }
        struct kp_legacy_sample *s = kp_legacy_add_sample(l, &rc);
        if (s == NULL)
            return rc;
        s->values[0] = (int64_t)count;
        s->values[1] = (int64_t)(count * (uint64_t)l->period);
        for (uint64_t i = 0; i < depth && rc == 0; i++)
            // onto the call, but the leaf is none
            rc = kp_legacy_add_address(l, next(w) - (i > 0 && !l->java ? 1 : 0));
        if (rc != 0)
            return rc;
    }
    return 0;
}

// Nearly all samples have the same frame above the leaf: the signal handler's, which says nothing.
static void drop_handler(struct kp_legacy *l)
{
    uint64_t common = 0;
    size_t lead = 0; // a majority vote
    size_t n = 0;
    for (size_t i = 0; i < l->samples.n; i++) {
        const struct kp_legacy_sample *s = &l->samples.items[i];
        if (s->n < 2)
            continue;
        uint64_t a = l->addresses.items[s->first + 1];
        if (lead == 0)
            common = a;
        lead = a == common ? lead + 1 : lead - 1;
    }
    for (size_t i = 0; i < l->samples.n; i++) {
        const struct kp_legacy_sample *s = &l->samples.items[i];
        n += s->n > 1 && l->addresses.items[s->first + 1] == common;
    }
    if (n == 0 || n < l->samples.n - l->samples.n / 32)
        return;
    for (size_t i = 0; i < l->samples.n; i++) {
        struct kp_legacy_sample *s = &l->samples.items[i];
        if (s->n > 1 && l->addresses.items[s->first + 1] == common)
            kp_legacy_drop_frame(l, s, 1);
    }
}

int kp_legacy_cpu(struct kp_legacy *l, const uint8_t *data, size_t len)
{
    uint64_t period_us = 0;
    uint64_t java = 0;
    struct words w = {0};
    unsigned i = 0;
    for (; i < 4; i++) {
        w = (struct words){data, data + len, i < 2 ? 4 : 8, i % 2 == 1, false};
        if (take_header(&w, &java, &period_us))
            break;
    }
    if (i == 4)
        return kp_fail(l->err, KP_NOT_FOUND, "not a CPU profile");
    *l = (struct kp_legacy){.types = {"samples", "cpu"},
        .units = {"count", "nanoseconds"},
        .n_types = 2,
        .period_type = "cpu",
        .period_unit = "nanoseconds",
        .period = (int64_t)(period_us * 1000),
        .leaf_twins = java == 0,
        .java = java == 1,
        .max_samples = l->max_samples,
        .max_depth = l->max_depth,
        .max_addresses = l->max_addresses,
        .err = l->err};
    int rc = take_samples(l, &w);
    if (rc != 0)
        return rc;
    if (l->java) {
        l->symbols = (struct kp_text){(const char *)w.p, (size_t)(w.end - w.p)};
        return 0;
    }
    drop_handler(l);
    drop_handler(l); // there may be two
    struct kp_legacy_lines lines = {.p = (const char *)w.p, .end = (const char *)w.end};
    return kp_legacy_read_maps(l, &lines);
}
