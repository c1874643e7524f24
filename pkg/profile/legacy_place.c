// Mappings as a whole: split ones joined, the main binary first, and which one an address lies in. The
// heuristics are google/pprof's.
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "profile/legacy_private.h"
#include "base/banned.h"

#define MAX_STEPS  ((uint64_t)1 << 28)
#define MAIN_START UINT64_C(0x400000)

static bool same_or_empty(const char *a, const char *b)
{
    return a[0] == '\0' || b[0] == '\0' || kp_streq(a, b);
}

static bool continues(const struct kp_legacy_mapping *a, const struct kp_legacy_mapping *b)
{
    return same_or_empty(a->file, b->file) && same_or_empty(a->build_id, b->build_id) &&
           a->limit == b->start &&
           (a->offset == 0 || b->offset == 0 || a->offset + (a->limit - a->start) == b->offset);
}

static void take_over(char **to, char **from)
{
    if ((*from)[0] != '\0') {
        kp_free(*to);
        *to = *from;
    } else {
        kp_free(*from);
    }
    *from = NULL;
}

// ".so" at the end, or ".so." or ".so_" and a digit anywhere.
static bool is_library(const char *file, size_t len)
{
    for (size_t i = 0; i + 3 <= len; i++) {
        if (memcmp(file + i, ".so", 3) != 0)
            continue;
        if (i + 3 == len)
            return true;
        if (i + 4 < len && (file[i + 3] == '.' || file[i + 3] == '_') && kp_text_is_digit(file[i + 4]))
            return true;
    }
    return false;
}

static bool may_be_main(const char *file)
{
    struct kp_text name = kp_text_trim((struct kp_text){file, strlen(file)});
    const char deleted[] = "(deleted)"; // what the kernel puts behind a file that is gone
    if (name.len >= sizeof deleted - 1 &&
        memcmp(name.data + name.len - (sizeof deleted - 1), deleted, sizeof deleted - 1) == 0)
        name = kp_text_trim((struct kp_text){name.data, name.len - (sizeof deleted - 1)});
    return name.len > 0 && name.data[0] != '[' && !is_library(name.data, name.len);
}

void kp_legacy_tidy_mappings(struct kp_legacy *l)
{
    struct kp_legacy_mapping *m = l->mappings.items;
    size_t n = 0;
    for (size_t i = 0; i < l->mappings.n; i++) {
        if (n > 0 && continues(&m[n - 1], &m[i])) {
            m[n - 1].limit = m[i].limit;
            take_over(&m[n - 1].file, &m[i].file);
            take_over(&m[n - 1].build_id, &m[i].build_id);
        } else {
            m[n++] = m[i];
        }
    }
    l->mappings.n = n;
    for (size_t i = 0; i < n; i++) {
        if (!may_be_main(m[i].file))
            continue;
        struct kp_legacy_mapping first = m[0];
        m[0] = m[i];
        m[i] = first;
        break;
    }
}

static void mend_first(struct kp_legacy *l)
{
    struct kp_legacy_mapping *m = l->mappings.items;
    if (l->mappings.n > 1 && kp_starts_with(m[0].file, "/anon_hugepage") && m[0].limit == m[1].start) {
        kp_free(m[0].file);
        kp_free(m[0].build_id);
        memmove(m, m + 1, --l->mappings.n * sizeof *m);
    }
    if (l->mappings.n > 0 && m[0].start - m[0].offset == MAIN_START) {
        m[0].start = MAIN_START;
        m[0].offset = 0;
    }
}

// n: of the mappings that are real.
static uint32_t find(struct kp_legacy *l, size_t n, uint64_t address)
{
    struct kp_legacy_mapping *m = l->mappings.items;
    for (size_t i = 0; i < n; i++)
        if (m[i].start <= address && address < m[i].limit)
            return (uint32_t)i;
    for (size_t i = 0; i < n; i++) { // the first part of a split mapping may be missing
        if (m[i].offset == 0 || m[i].start - m[i].offset > address || address >= m[i].start)
            continue;
        m[i].start -= m[i].offset;
        m[i].offset = 0;
        return (uint32_t)i;
    }
    return KP_NO_MAPPING;
}

int kp_legacy_place(struct kp_legacy *l, const uint64_t *addresses, uint32_t n, uint32_t *ret)
{
    mend_first(l);
    size_t n_real = l->mappings.n;
    if ((uint64_t)n * n_real > MAX_STEPS)
        return kp_fail(l->err, KP_LIMIT, "%zu mappings for %u addresses are too many", n_real, n);
    for (uint32_t i = 0; i < n; i++) {
        ret[i] = addresses[i] == 0 ? KP_NO_MAPPING : find(l, l->mappings.n, addresses[i]);
        if (ret[i] != KP_NO_MAPPING || addresses[i] == 0)
            continue;
        // once made, it holds every address but the last
        if (l->mappings.n == n_real)
            *kp_array_add(&l->mappings) = (struct kp_legacy_mapping){
                .limit = UINT64_MAX, .file = kp_strdup(""), .build_id = kp_strdup("")};
        ret[i] = (uint32_t)n_real;
    }
    return 0;
}
