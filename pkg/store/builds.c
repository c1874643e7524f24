#include "store/builds.h"

#include "base/alloc.h"
#include "base/banned.h"

uint64_t kp_build_key(struct kp_str build_id, struct kp_str filename, uint64_t size, const char *digest)
{
    if (build_id.len > 0)
        return kp_hash64(build_id.data, build_id.len, 1);
    uint64_t h = kp_hash64(filename.data, filename.len, 2);
    return digest[0] ? kp_hash64_str(digest, h) : kp_hash64_mix(h, size);
}

struct kp_build *kp_builds_get(struct kp_builds *builds, uint64_t key, uint32_t n_types)
{
    struct kp_build *build = NULL;
    HASH_FIND(hh, builds->all, &key, sizeof key, build);
    if (build)
        return build;
    build = KP_NEW(struct kp_build);
    build->key = key;
    build->owns_symbols = builds->n > 0 || builds->lent == NULL;
    build->symbols = build->owns_symbols ? kp_symbols_create(KP_SYMBOLS_MERGE) : builds->lent;
    build->sums.n_types = n_types;
    HASH_ADD(hh, builds->all, key, sizeof build->key, build);
    builds->n++;
    return build;
}

size_t kp_builds_bytes(const struct kp_builds *builds)
{
    size_t bytes = 0;
    for (const struct kp_build *b = builds->all; b; b = b->hh.next)
        bytes += sizeof *b + kp_symbols_bytes(b->symbols) + kp_sums_bytes(&b->sums) + b->cap_marks;
    return bytes;
}

void kp_builds_finish(struct kp_builds *builds)
{
    struct kp_build *build;
    struct kp_build *next;
    HASH_ITER (hh, builds->all, build, next) {
        HASH_DEL(builds->all, build);
        if (build->owns_symbols)
            kp_symbols_destroy(build->symbols);
        kp_sums_finish(&build->sums);
        kp_free(build->marks);
        kp_free(build);
    }
    *builds = (struct kp_builds){0};
}
