// Any bytes through the codec: decode and the walker agree, what was decoded survives encoding, and a symbol
// space made of it stays sound.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "profile/digest.h"
#include "profile/symbols.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define expect(what)                                                                                         \
    do {                                                                                                     \
        if (!(what)) {                                                                                       \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #what);                                       \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

static void round_trip(const struct kp_profile *p, const struct kp_profile_limits *limits)
{
    kp_auto_strbuf out;
    kp_auto_strbuf again;
    kp_strbuf_init(&out, 64 << 20);
    kp_strbuf_init(&again, 64 << 20);
    kp_profile_encode(p, 0, &out);
    expect(!out.overflow);
    kp_auto_profile *q = NULL;
    expect(kp_profile_decode(out.data, out.len, limits, &q, NULL) == 0);
    expect(kp_digest_equal(kp_profile_digest(p), kp_profile_digest(q)));
    kp_profile_encode(q, 0, &again);
    expect(again.len == out.len && memcmp(again.data, out.data, out.len) == 0);
}

static void intern(const struct kp_profile *p, enum kp_symbols_mode mode)
{
    struct kp_symbols *s = kp_symbols_create(mode);
    struct kp_symbols_map *map = kp_symbols_map_profile(s, p);
    for (uint32_t i = 0; i < p->n_samples; i++) {
        uint32_t node = kp_symbols_map_stack(map, i);
        uint32_t depth = 0;
        for (; node != 0; node = s->nodes[node].parent, depth++)
            expect(s->nodes[node].parent < node && s->nodes[node].location < s->n_locations);
        expect(depth == p->samples[i].n_frames);
        expect(kp_symbols_map_labels(map, i) < s->n_label_sets);
    }
    kp_symbols_map_destroy(map);
    kp_symbols_destroy(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct kp_profile_limits limits = {.max_inflated_bytes = 4 << 20, .max_entities = 100000};
    struct kp_error err = {0};
    kp_auto_profile *p = NULL;
    enum kp_profile_verdict verdict = kp_profile_check(data, size, &limits, NULL, NULL);
    int rc = kp_profile_decode(data, size, &limits, &p, &err);
    expect(rc == err.code && (rc == 0) == (p != NULL));
    expect((verdict == KP_PROFILE_VALID || verdict == KP_PROFILE_EMPTY) == (rc == 0));
    expect((verdict == KP_PROFILE_TOO_LARGE) == (rc == KP_LIMIT));
    if (p == NULL)
        return 0;
    expect((verdict == KP_PROFILE_EMPTY) == (p->n_samples == 0));
    round_trip(p, &limits);
    intern(p, KP_SYMBOLS_EXACT);
    intern(p, KP_SYMBOLS_MERGE);
    return 0;
}
