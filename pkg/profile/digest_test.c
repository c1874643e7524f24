#include "profile/digest.h"

#include "profile/profile_fixture.h"
#include "base/banned.h"

static struct kp_profile *etcd(void)
{
    return fixture_decode_corpus("etcd-goroutine");
}

static void expect_digest(
    const char *what, const struct kp_profile *a, const struct kp_profile *b, bool equal)
{
    if (kp_digest_equal(kp_profile_digest(a), kp_profile_digest(b)) != equal)
        fail_msg("%s: the digests are %s", what, equal ? "unequal" : "equal");
}

static void swap_samples(struct kp_profile *p, uint32_t a, uint32_t b)
{
    struct kp_sample s = p->samples[a];
    p->samples[a] = p->samples[b];
    p->samples[b] = s;
    for (uint32_t t = 0; t < p->n_sample_types; t++) {
        int64_t *x = &p->values[(size_t)a * p->n_sample_types + t];
        int64_t *y = &p->values[(size_t)b * p->n_sample_types + t];
        int64_t v = *x;
        *x = *y;
        *y = v;
    }
}

static void test_order_and_ids_do_not_matter(void **state)
{
    (void)state;
    kp_auto_profile *p = etcd();
    kp_auto_profile *q = etcd();
    for (uint32_t i = 0; i < q->n_samples / 2; i++)
        swap_samples(q, i, q->n_samples - 1 - i);
    expect_digest("samples turned round", p, q, true);
    for (uint32_t i = 0, k = q->n_functions - 1; i < k; i++, k--) {
        struct kp_function f = q->functions[i];
        q->functions[i] = q->functions[k];
        q->functions[k] = f;
    }
    for (uint32_t i = 0; i < q->n_lines; i++)
        q->lines[i].function = q->n_functions - 1 - q->lines[i].function;
    expect_digest("functions turned round", p, q, true);
    for (uint32_t i = 0, k = q->n_locations - 1; i < k; i++, k--) {
        struct kp_location l = q->locations[i];
        q->locations[i] = q->locations[k];
        q->locations[k] = l;
    }
    for (uint32_t i = 0; i < q->n_frames; i++)
        q->frames[i] = q->n_locations - 1 - q->frames[i];
    expect_digest("locations turned round", p, q, true);
    q->functions[3].start_line++;
    expect_digest("and one line moved", p, q, false);
}

static void test_order_of_labels_does_not_matter(void **state)
{
    (void)state;
    kp_auto_profile *p = fixture_decode("odd/labels-1.pb.gz");
    kp_auto_profile *q = fixture_decode("odd/labels-1.pb.gz");
    bool any = false;
    for (uint32_t i = 0; i < q->n_samples; i++) {
        if (q->samples[i].n_labels < 2)
            continue;
        struct kp_sample_label *l = &q->labels[q->samples[i].first_label];
        struct kp_sample_label t = l[0];
        l[0] = l[1];
        l[1] = t;
        any = true;
    }
    assert_true(any);
    expect_digest("labels turned round", p, q, true);
}

#define CHANGES(field)                                                                                       \
    do {                                                                                                     \
        (field)++;                                                                                           \
        expect_digest(#field, p, q, false);                                                                  \
        (field)--;                                                                                           \
        expect_digest(#field " put back", p, q, true);                                                       \
    } while (0)

static void test_every_field_matters(void **state)
{
    (void)state;
    kp_auto_profile *p = fixture_decode("odd/labels-1.pb.gz");
    kp_auto_profile *q = fixture_decode("odd/labels-1.pb.gz");
    assert_true(q->n_comments > 1 && q->n_labels > 1 && q->n_mappings > 0);
    CHANGES(q->time_ns);
    CHANGES(q->duration_ns);
    CHANGES(q->period);
    CHANGES(q->period_type.type);
    CHANGES(q->period_type.unit);
    CHANGES(q->drop_frames);
    CHANGES(q->keep_frames);
    CHANGES(q->default_type);
    CHANGES(q->doc_url);
    CHANGES(q->comments[1]);
    CHANGES(q->sample_types[0].type);
    CHANGES(q->sample_types[1].unit);
    CHANGES(q->values[0]);
    CHANGES(q->values[q->n_samples * q->n_sample_types - 1]);
    CHANGES(q->frames[0]);
    CHANGES(q->labels[0].key);
    CHANGES(q->labels[0].str);
    CHANGES(q->labels[0].unit);
    CHANGES(q->labels[0].num);
    CHANGES(q->mappings[0].start);
    CHANGES(q->mappings[0].limit);
    CHANGES(q->mappings[0].offset);
    CHANGES(q->mappings[0].filename);
    CHANGES(q->mappings[0].build_id);
    CHANGES(q->mappings[0].flags);
    CHANGES(q->locations[0].address);
    CHANGES(q->lines[0].function);
    CHANGES(q->lines[0].line);
    CHANGES(q->lines[0].column);
    CHANGES(q->functions[0].name);
    CHANGES(q->functions[0].system_name);
    CHANGES(q->functions[0].filename);
    CHANGES(q->functions[0].start_line);
    q->locations[0].folded = true;
    expect_digest("folded", p, q, false);
    q->locations[0].folded = false;
    q->locations[0].mapping = KP_NO_MAPPING;
    expect_digest("mapping", p, q, false);
}

// Twice the same sample is not none, and not once.
static void test_samples_are_a_multiset(void **state)
{
    (void)state;
    kp_auto_profile *p = etcd();
    kp_auto_profile *q = etcd();
    q->n_samples--;
    expect_digest("one less", p, q, false);
    q->n_samples++;
    q->samples[1] = q->samples[0];
    q->values[1] = q->values[0];
    p->samples[0] = p->samples[1];
    p->values[0] = p->values[1];
    expect_digest("another one twice", p, q, false);
}

static void test_ordinals(void **state)
{
    (void)state;
    struct kp_str strings[] = {{"", 0}, {"a", 1}, {"a", 1}};
    struct kp_mapping m[] = {{.start = 0, .limit = 10, .filename = 1},
        {.start = 20, .limit = 31, .filename = 1}, {.start = 40, .limit = 50, .filename = 2},
        {.start = 60, .limit = 70, .filename = 1, .flags = 1}, {.start = 80, .limit = 90, .filename = 1}};
    const struct kp_profile p = {.strings = strings, .n_strings = 3, .mappings = m, .n_mappings = 5};
    uint32_t ordinals[5];
    kp_mapping_ordinals(&p, ordinals);
    const uint32_t want[] = {0, 0, 1, 0, 2};
    assert_memory_equal(ordinals, want, sizeof want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_ids_do_not_matter),
        cmocka_unit_test(test_order_of_labels_does_not_matter),
        cmocka_unit_test(test_every_field_matters),
        cmocka_unit_test(test_samples_are_a_multiset),
        cmocka_unit_test(test_ordinals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
