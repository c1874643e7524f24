// Two profiles side by side: whatever they hold, merging keeps totals, does not depend on the order, and what
// comes out of it and of filters is a valid profile that survives the wire.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "profile/digest.h"
#include "profile/filter.h"
#include "profile/merge.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void insist(bool holds)
{
    if (!holds)
        abort();
}

static const struct kp_profile_limits limits = {
    .max_inflated_bytes = 1 << 20, .max_entities = 10000, .max_depth = 1000, .max_labels = 64};

static struct kp_profile *decoded(const uint8_t *data, size_t size)
{
    struct kp_profile *p = NULL;
    return kp_profile_decode(data, size, &limits, &p, NULL) == 0 ? p : NULL;
}

static struct kp_profile *through_the_wire(const struct kp_profile *p, int level)
{
    kp_auto_strbuf bytes;
    kp_strbuf_init(&bytes, 64 << 20);
    kp_profile_encode(p, level, &bytes);
    if (bytes.len == 0) // an empty message is no profile
        return NULL;
    const struct kp_profile_limits wide = {.max_inflated_bytes = 64 << 20, .max_ratio = 100000};
    struct kp_profile *q = NULL;
    insist(!bytes.overflow && kp_profile_decode(bytes.data, bytes.len, &wide, &q, NULL) == 0);
    insist(kp_digest_equal(kp_profile_digest(p), kp_profile_digest(q)));
    return q;
}

static bool is_tame(const struct kp_profile *p)
{
    for (size_t i = 0; i < (size_t)p->n_samples * p->n_sample_types; i++)
        if (p->values[i] > INT64_MAX / 100000 || p->values[i] < INT64_MIN / 100000)
            return false;
    return true;
}

static void merge_both(const struct kp_profile *a, const struct kp_profile *b)
{
    const struct kp_profile *there[] = {a, b}, *back[] = {b, a};
    struct kp_profile *sum = NULL, *turned = NULL;
    if (kp_profile_merge(there, 2, &sum, NULL) != 0) {
        insist(kp_profile_merge(back, 2, &turned, NULL) != 0);
        return;
    }
    insist(kp_profile_merge(back, 2, &turned, NULL) == 0);
    insist(sum->n_samples == turned->n_samples);
    for (uint32_t t = 0; t < a->n_sample_types && is_tame(a) && is_tame(b); t++) {
        insist(kp_profile_total(sum, t) == kp_profile_total(a, t) + kp_profile_total(b, t));
        insist(kp_profile_total(turned, t) == kp_profile_total(sum, t));
    }
    kp_profile_free(through_the_wire(sum, 1));
    kp_profile_free(sum);
    kp_profile_free(turned);
}

static void less_itself(const struct kp_profile *p)
{
    struct kp_merger *m = kp_merger_create();
    insist(kp_merger_add(m, p, 1, NULL) == 0 && kp_merger_add(m, p, -1, NULL) == 0);
    struct kp_profile *none = kp_merger_profile(m);
    insist(none->n_samples == 0);
    kp_profile_free(none);
    insist(kp_merger_add(m, p, 0.3, NULL) == 0);
    kp_profile_free(kp_merger_profile(m));
    kp_merger_destroy(m);
}

static void change(struct kp_profile *p, unsigned how, const struct kp_regex *regex)
{
    struct kp_profile_filter filter = {0};
    const struct kp_regex **asked[] = {
        &filter.focus, &filter.ignore, &filter.hide, &filter.show, &filter.tag_focus, &filter.tag_ignore};
    *asked[how % KP_COUNT(asked)] = regex;
    kp_profile_filter(p, &filter);
    (void)!kp_profile_prune(p, NULL);
    kp_profile_aggregate(p, how >> 1);
    kp_profile_mark_base(p);
    insist(kp_profile_common_types(&p, 1, NULL) == 0 || p->n_sample_types == 0);
    double factors[256] = {-1, 0.5, 1e300, 1};
    kp_profile_scale(p, factors);
    insist(kp_profile_compact(&p, NULL) == 0);
    struct kp_profile *same = through_the_wire(p, 0);
    if (same) {
        insist(kp_profile_compact(&same, NULL) == 0);
        insist(kp_digest_equal(kp_profile_digest(p), kp_profile_digest(same)));
    }
    kp_profile_free(same);
    kp_profile_free(p);
}

// Two bytes: where the first profile ends. One byte: what to do.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    size_t cut = (size_t)(data[0] << 8 | data[1]) % (size - 2);
    unsigned how = data[2];
    struct kp_profile *a = decoded(data + 3, cut), *b = decoded(data + 3 + cut, size - 3 - cut);
    struct kp_regex *regex = NULL;
    insist(kp_regex_compile("(?i)main|^a.*[x-z]", &regex, NULL) == 0);
    if (a && b)
        merge_both(a, b);
    if (a) {
        less_itself(a);
        change(a, how, regex);
    }
    kp_profile_free(b);
    kp_regex_destroy(regex);
    return 0;
}
