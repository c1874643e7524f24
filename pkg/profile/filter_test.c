#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "profile/filter.h"
#include "profile/merge.h"
#include "profile/merge_fixture.h"
#include "base/banned.h"

static struct kp_regex *regex_of(const char *text)
{
    struct kp_regex *regex = NULL;
    struct kp_error err = {0};
    if (text && text[0] && kp_regex_compile(text, &regex, &err) != 0)
        fail_msg("%s", err.text);
    return regex;
}

// ---- against google/pprof: testdata/reference has the same cases ----

// file, focus, ignore, hide, show, tag focus, tag ignore
static const char *const filters[][7] = {
    {"corpus/etcd-cpu.pb.gz", "grpc"},
    {"corpus/etcd-cpu.pb.gz", "", "^runtime\\."},
    {"corpus/etcd-cpu.pb.gz", "(?i)RAFT|bbolt", "syscall\\.Syscall$"},
    {"corpus/etcd-cpu.pb.gz", "", "", "^runtime\\.|google"},
    {"corpus/etcd-cpu.pb.gz", "", "", "", "etcd"},
    {"corpus/etcd-cpu.pb.gz", "server", "mvcc", "^net", "etcd|grpc|net"},
    {"corpus/etcd-cpu.pb.gz", "nothing has this name"},
    {"corpus/prom-cpu.pb.gz", "tsdb/.*\\.go"},
    {"corpus/prom-cpu.pb.gz", "bin/prometheus$"},
    {"corpus/etcd-cpu.pb.gz", "", "libc|vdso|pthread"},
    {"corpus/prom-heap.pb.gz", "scrape", "labels\\.\\(|append$"},
    {"corpus/prom-goroutine.pb.gz", "", "", "gopark", "prometheus"},
    {"odd/labels-1.pb.gz", "", "", "", "", "^red$"},
    {"odd/labels-1.pb.gz", "", "", "", "", "tenant:b|env:"},
    {"odd/labels-1.pb.gz", "", "", "", "", "", "^tenant:red"},
    {"odd/sample-without-stack.pb.gz", "", "nothing has this name"},
    {"odd/no-mapping.pb.gz", "", "", "x"},
};

static void say_filter(struct kp_strbuf *b, const char *const *row)
{
    struct kp_profile *p = fixture_decode(row[0]);
    struct kp_regex *regex[6];
    struct kp_strbuf title;
    kp_strbuf_init(&title, 1000);
    kp_strbuf_adds(&title, row[0]);
    for (size_t i = 0; i < 6; i++) {
        regex[i] = regex_of(row[i + 1]);
        kp_strbuf_addf(&title, " %s", row[i + 1] ? row[i + 1] : "");
    }
    const struct kp_profile_filter filter = {
        regex[0], regex[1], regex[2], regex[3], regex[4], regex[5], NULL};
    uint32_t n = kp_profile_filter(p, &filter);
    assert_int_equal(n, p->n_samples);
    fixture_check(p);
    fixture_say(b, title.data, p);
    for (size_t i = 0; i < 6; i++)
        kp_regex_destroy(regex[i]);
    kp_strbuf_finish(&title);
    kp_profile_free(p);
}

static void say_aggregate(struct kp_strbuf *b, unsigned keep)
{
    struct kp_profile *p = fixture_decode("corpus/etcd-cpu.pb.gz");
    kp_profile_aggregate(p, keep | KP_KEEP_LABELS);
    kp_auto_free char *title = kp_asprintf("aggregate %u", keep);
    fixture_say(b, title, p);
    assert_int_equal(kp_profile_compact(&p, NULL), 0);
    kp_auto_free char *compact = kp_asprintf("aggregate %u, compact", keep);
    fixture_say(b, compact, p);
    kp_profile_free(p);
}

static uint32_t put_string(struct kp_profile *p, const char *text)
{
    struct kp_str *strings = KP_ARENA_ARRAY(&p->arena, struct kp_str, (size_t)p->n_strings + 1);
    memcpy(strings, p->strings, p->n_strings * sizeof *strings);
    strings[p->n_strings] = (struct kp_str){text, (uint32_t)strlen(text)};
    p->strings = strings;
    return p->n_strings++;
}

static void say_drop(struct kp_strbuf *b, const char *drop, const char *keep)
{
    struct kp_profile *p = fixture_decode("corpus/etcd-cpu.pb.gz");
    struct kp_error err = {0};
    p->drop_frames = put_string(p, drop);
    p->keep_frames = put_string(p, keep);
    if (kp_profile_prune(p, &err) != 0)
        fail_msg("%s", err.text);
    fixture_check(p);
    kp_auto_free char *title = kp_asprintf("drop %s keep %s", drop, keep);
    fixture_say(b, title, p);
    kp_profile_free(p);
}

static void say_common(struct kp_strbuf *b)
{
    struct kp_profile *two[] = {
        fixture_decode("corpus/prom-heap.pb.gz"), fixture_decode("corpus/etcd-heap.pb.gz")};
    const struct kp_value_type types[] = {two[1]->sample_types[3], {put_string(two[1], "extra"), 0},
        {put_string(two[1], "more"), 0}, two[1]->sample_types[0]};
    memcpy(two[1]->sample_types, types, sizeof types);
    two[1]->default_type = types[2].type;
    assert_int_equal(kp_profile_common_types(two, 2, NULL), 0);
    fixture_say(b, "common types, first", two[0]);
    fixture_say(b, "common types, second", two[1]);
    kp_profile_free(two[0]);
    kp_profile_free(two[1]);
}

static void test_as_google_pprof(void **state)
{
    (void)state;
    static const char *const drops[][2] = {
        {"runtime\\.mallocgc", ""},
        {"runtime\\..*", ""},
        {"runtime\\..*", "runtime\\.(mcall|gcBgMarkWorker.*)"},
        {"syscall\\.Sys", ""},
        {"(.*\\.)?(Read|Write|Sync)|google.golang.org/grpc.*", ".*\\(\\*serverConn\\).*"},
        {".*", ""},
    };
    kp_auto_strbuf b;
    kp_strbuf_init(&b, 1 << 20);
    for (size_t i = 0; i < KP_COUNT(filters); i++)
        say_filter(&b, filters[i]);
    for (unsigned keep = 0; keep < 64; keep += 7)
        say_aggregate(&b, keep);
    for (size_t i = 0; i < KP_COUNT(drops); i++)
        say_drop(&b, drops[i][0], drops[i][1]);
    struct kp_profile *heap = fixture_decode("corpus/prom-heap.pb.gz");
    kp_profile_scale(heap, (const double[]){0.5, 1.0 / 3, 0.00001, -2});
    fixture_say(&b, "scale", heap);
    kp_profile_free(heap);
    say_common(&b);
    kp_test_golden(KP_TESTDATA "/filter.golden", b.data);
}

// ---- what has no counterpart there ----

static void test_nothing_asked_changes_nothing(void **state)
{
    (void)state;
    struct kp_profile *p = fixture_decode("odd/sample-without-stack.pb.gz");
    uint32_t n = p->n_samples;
    kp_auto_free char *before = fixture_samples(p);
    assert_int_equal(kp_profile_filter(p, &(struct kp_profile_filter){0}), n);
    kp_profile_aggregate(p, ~0U);
    assert_int_equal(kp_profile_prune(p, NULL), 0);
    kp_auto_free char *after = fixture_samples(p);
    assert_string_equal(before, after);
    kp_profile_free(p);
}

static void test_scale(void **state)
{
    (void)state;
    struct kp_profile *p = fixture_decode("corpus/prom-cpu.pb.gz");
    struct kp_profile *q = fixture_decode("corpus/prom-cpu.pb.gz");
    p->values[0] = INT64_MAX - 1; // past what a double can tell apart
    q->values[0] = INT64_MAX - 1;
    kp_profile_scale(q, (const double[]){-1, -1});
    assert_int_equal(q->values[0], -(INT64_MAX - 1));
    const struct kp_profile *both[] = {p, q};
    struct kp_profile *none = NULL;
    assert_int_equal(kp_profile_merge(both, 2, &none, NULL), 0);
    assert_int_equal(none->n_samples, 0);
    kp_profile_free(none);
    q->values[0] = INT64_MIN;
    kp_profile_scale(q, (const double[]){-1, 0});
    assert_int_equal(q->values[0], INT64_MAX);
    uint32_t n = p->n_samples;
    kp_profile_scale(p, (const double[]){1, 0});
    assert_int_equal(p->n_samples, n); // one value is enough to stay
    kp_profile_scale(p, (const double[]){0, 0});
    assert_int_equal(p->n_samples, 0);
    kp_profile_free(p);
    kp_profile_free(q);
}

static void test_base_is_marked_once(void **state)
{
    (void)state;
    struct kp_profile *p = fixture_decode("odd/labels-1.pb.gz");
    int64_t total = kp_profile_total(p, 0);
    kp_profile_mark_base(p);
    kp_profile_mark_base(p);
    fixture_check(p);
    assert_int_equal(kp_profile_total(p, 0), total);
    kp_profile_mark_base(p);
    assert_int_equal(kp_profile_total(p, 0), -total);
    kp_auto_free char *samples = fixture_samples(p);
    size_t n = 0;
    for (const char *at = samples; (at = strstr(at, "pprof::base=true")); at++)
        n++;
    assert_int_equal(n, p->n_samples);
    assert_non_null(strstr(samples, "tenant=red"));
    kp_profile_free(p);
}

static void test_without_addresses_places_join(void **state)
{
    (void)state;
    struct kp_profile *one = fixture_decode("corpus/prom-cpu.pb.gz");
    struct kp_profile *two = fixture_decode("corpus/prom-cpu.pb.gz");
    for (uint32_t i = 0; i < two->n_mappings; i++) {
        two->mappings[i].start += 0x10000000;
        two->mappings[i].limit += 0x10000000;
    }
    kp_profile_aggregate(one, KP_KEEP_FUNCTION);
    kp_profile_aggregate(two, KP_KEEP_FUNCTION);
    const struct kp_profile *both[] = {one, two};
    struct kp_profile *sum = NULL;
    assert_int_equal(kp_profile_merge(both, 2, &sum, NULL), 0);
    assert_int_equal(kp_profile_compact(&one, NULL), 0);
    assert_int_equal(sum->n_samples, one->n_samples);
    assert_int_equal(sum->n_locations, one->n_locations);
    assert_int_equal(kp_profile_total(sum, 0), 2 * kp_profile_total(one, 0));
    kp_profile_free(sum);
    kp_profile_free(one);
    kp_profile_free(two);
}

static void test_labels_go(void **state)
{
    (void)state;
    struct kp_profile *p = fixture_decode("odd/labels-1.pb.gz");
    int64_t total = kp_profile_total(p, 0);
    kp_profile_aggregate(p, ~(unsigned)KP_KEEP_LABELS);
    assert_int_equal(kp_profile_compact(&p, NULL), 0);
    assert_int_equal(p->n_labels, 0);
    assert_int_equal(p->n_samples, 3); // the two that differ in labels only are one
    assert_int_equal(kp_profile_total(p, 0), total);
    kp_profile_free(p);
}

static void test_c_names_are_simplified(void **state)
{
    (void)state;
    static const struct {
        const char *name, *drop;
        bool dropped;
    } cases[] = {
        {"tcmalloc::Alloc(unsigned long)", "tcmalloc::Alloc", true},
        {"(anonymous namespace)::Pool::Get(int)", "\\(anonymous namespace\\)::Pool::Get", true},
        {"Fn::operator()(int)::(anonymous namespace)", "Fn::operator\\(\\)", true},
        {".malloc", "malloc", true},
        {"..malloc", "malloc", false},
        {"malloc_hook", "malloc", false},
        {"", ".*", false},
    };
    for (size_t i = 0; i < KP_COUNT(cases); i++) {
        struct kp_profile *p = fixture_decode("odd/labels-1.pb.gz");
        const struct kp_sample *s = &p->samples[0]; // main.leaf, main.mid, main.main
        p->functions[p->lines[p->locations[p->frames[s->first_frame]].first_line].function].name =
            put_string(p, cases[i].name);
        p->drop_frames = put_string(p, cases[i].drop);
        assert_int_equal(kp_profile_prune(p, NULL), 0);
        if (s->n_frames != (cases[i].dropped ? 2 : 3))
            fail_msg("'%s': %u frames", cases[i].name, s->n_frames);
        kp_profile_free(p);
    }
}

static void test_what_cannot_be_done_is_said(void **state)
{
    (void)state;
    struct kp_profile *p = fixture_decode("corpus/prom-cpu.pb.gz");
    struct kp_profile *q = fixture_decode("corpus/prom-heap.pb.gz");
    struct kp_profile *both[] = {p, q};
    struct kp_error err = {0};
    assert_int_equal(kp_profile_common_types(both, 2, &err), KP_CONFLICT);
    assert_string_equal(err.text, "the profiles have no sample type in common");
    assert_int_equal(kp_profile_common_types(both, 0, NULL), 0);
    kp_error_clear(&err);
    p->drop_frames = put_string(p, "(");
    assert_int_equal(kp_profile_prune(p, &err), KP_INVALID);
    assert_string_equal(err.text, "drop_frames of the profile: regex '(' is wrong: ')' is missing");
    kp_error_clear(&err);
    p->drop_frames = put_string(p, "a");
    p->keep_frames = put_string(p, "*");
    assert_int_equal(kp_profile_prune(p, &err), KP_INVALID);
    assert_non_null(strstr(err.text, "keep_frames of the profile"));
    kp_profile_free(p);
    kp_profile_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_google_pprof),
        cmocka_unit_test(test_nothing_asked_changes_nothing),
        cmocka_unit_test(test_scale),
        cmocka_unit_test(test_base_is_marked_once),
        cmocka_unit_test(test_without_addresses_places_join),
        cmocka_unit_test(test_labels_go),
        cmocka_unit_test(test_c_names_are_simplified),
        cmocka_unit_test(test_what_cannot_be_done_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
