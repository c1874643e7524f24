// What the tests of reports share: profiles of the corpus, and small ones made of text.
#ifndef KP_REPORT_REPORT_FIXTURE_H
#define KP_REPORT_REPORT_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "profile/symbols.h"
#include "report/report.h"
#include "testkit/testkit.h"

// NAME.pb.gz of this module's test data or of the codec's corpus.
static inline struct kp_profile *kp_load(const char *name)
{
    kp_auto_free char *own = kp_asprintf("%s/profiles/%s.pb.gz", KP_TESTDATA, name);
    kp_auto_free char *corpus = kp_asprintf("%s/../../profile/testdata/corpus/%s.pb.gz", KP_TESTDATA, name);
    size_t len;
    kp_auto_free char *data = kp_test_read_file(access(own, R_OK) == 0 ? own : corpus, &len);
    struct kp_profile *profile = NULL;
    struct kp_error err = {0};
    if (kp_profile_decode(data, len, NULL, &profile, &err) < 0)
        fail_msg("%s: %s", name, err.text);
    return profile;
}

// "a;b+c;d 5|e -2": samples divided by |, frames from the root, what is inlined behind a +, values of the one
// type "cpu/nanoseconds". A frame may be name@file:line. "k=v a;b 3" has a label. The mapping is /bin/app.
struct kp_folded {
    struct kp_profile *p;
    struct kp_symbols *s;
};

static inline uint32_t kp_folded_line(struct kp_folded *f, char *text, struct kp_line *ret)
{
    char *colon = NULL, *at = strchr(text, '@');
    if (at) {
        *at++ = '\0';
        colon = strchr(at, ':');
        if (colon)
            *colon++ = '\0';
    }
    struct kp_function function = {.name = kp_symbols_string(f->s, text, (uint32_t)strlen(text)),
        .filename = at ? kp_symbols_string(f->s, at, (uint32_t)strlen(at)) : 0};
    ret->function = kp_symbols_function(f->s, &function);
    ret->line = colon ? strtol(colon, NULL, 10) : 0;
    ret->column = 0;
    return ret->function;
}

static inline uint32_t kp_folded_location(struct kp_folded *f, char *text)
{
    struct kp_line lines[8], leaf_first[8];
    uint32_t n = 0;
    char *state = NULL;
    for (char *part = strtok_r(text, "+", &state); part && n < 8; part = strtok_r(NULL, "+", &state))
        kp_folded_line(f, part, &lines[n++]);
    for (uint32_t i = 0; i < n; i++)
        leaf_first[i] = lines[n - 1 - i];
    return kp_symbols_location(f->s, &(struct kp_sym_location){.mapping = 0, .n_lines = n}, leaf_first);
}

static inline void kp_folded_sample(struct kp_folded *f, char *text)
{
    struct kp_profile *p = f->p;
    struct kp_sample *sample = &p->samples[p->n_samples];
    sample->first_frame = p->n_frames;
    sample->first_label = p->n_labels;
    char *end = strrchr(text, ' ');
    p->values[p->n_samples++] = strtoll(end + 1, NULL, 10);
    *end = '\0';
    char *equals = strchr(text, '='), *space = strchr(text, ' ');
    if (equals && space && equals < space) {
        *equals++ = '\0';
        *space = '\0';
        p->labels[p->n_labels++] = (struct kp_sample_label){
            .key = kp_symbols_string(f->s, text, (uint32_t)strlen(text)),
            .str = kp_symbols_string(f->s, equals, (uint32_t)strlen(equals)),
        };
        sample->n_labels = 1;
        text = space + 1;
    }
    char *state = NULL;
    for (char *part = strtok_r(text, ";", &state); part; part = strtok_r(NULL, ";", &state)) {
        p->frames[p->n_frames++] = kp_folded_location(f, part);
        sample->n_frames++;
    }
    for (uint32_t i = 0; i < sample->n_frames / 2; i++) { // the leaf first
        uint32_t *a = &p->frames[sample->first_frame + i], t = *a;
        uint32_t *b = &p->frames[sample->first_frame + sample->n_frames - 1 - i];
        *a = *b;
        *b = t;
    }
}

static inline void kp_folded_tables(struct kp_folded *f)
{
    struct kp_profile *p = f->p;
    struct kp_symbols *s = f->s;
    p->n_strings = s->n_strings;
    p->strings = KP_ARENA_ARRAY(&p->arena, struct kp_str, s->n_strings);
    for (uint32_t i = 0; i < s->n_strings; i++)
        p->strings[i] = (struct kp_str){
            kp_arena_memdup(&p->arena, s->strings[i].data, s->strings[i].len), s->strings[i].len};
    p->n_functions = s->n_functions;
    p->functions = kp_arena_memdup(&p->arena, s->functions, s->n_functions * sizeof *s->functions);
    p->n_lines = s->n_lines;
    p->lines = kp_arena_memdup(&p->arena, s->lines, s->n_lines * sizeof *s->lines);
    p->n_locations = s->n_locations;
    p->locations = KP_ARENA_ARRAY(&p->arena, struct kp_location, s->n_locations + 1);
    for (uint32_t i = 0; i < s->n_locations; i++)
        p->locations[i] = (struct kp_location){
            .mapping = 0, .first_line = s->locations[i].first_line, .n_lines = s->locations[i].n_lines};
}

static inline struct kp_profile *kp_folded(const char *text)
{
    struct kp_folded f = {kp_profile_new(), kp_symbols_create(KP_SYMBOLS_EXACT)};
    struct kp_profile *p = f.p;
    size_t n = strlen(text) + 1;
    p->samples = KP_ARENA_ARRAY(&p->arena, struct kp_sample, n);
    p->values = KP_ARENA_ARRAY(&p->arena, int64_t, n);
    p->frames = KP_ARENA_ARRAY(&p->arena, uint32_t, n);
    p->labels = KP_ARENA_ARRAY(&p->arena, struct kp_sample_label, n);
    p->sample_types = KP_ARENA_ARRAY(&p->arena, struct kp_value_type, 1);
    p->sample_types[0] =
        (struct kp_value_type){kp_symbols_string(f.s, "cpu", 3), kp_symbols_string(f.s, "nanoseconds", 11)};
    p->n_sample_types = 1;
    p->mappings = KP_ARENA_ARRAY(&p->arena, struct kp_mapping, 1);
    p->mappings[0].filename = kp_symbols_string(f.s, "/bin/app", 8);
    p->n_mappings = 1;
    kp_auto_free char *copy = kp_strdup(text);
    char *state = NULL;
    for (char *part = strtok_r(copy, "|", &state); part; part = strtok_r(NULL, "|", &state))
        kp_folded_sample(&f, part);
    kp_folded_tables(&f);
    kp_symbols_destroy(f.s);
    return p;
}

#endif
