// The text that testdata/reference prints for a profile. Tests only.
#ifndef KP_PROFILE_MERGE_FIXTURE_H
#define KP_PROFILE_MERGE_FIXTURE_H

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "profile/profile_fixture.h"

#define STR(p, at) (int)(p)->strings[at].len, (p)->strings[at].data

static inline int fixture_by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static inline void fixture_frame(struct kp_strbuf *b, const struct kp_profile *p, uint32_t location)
{
    const struct kp_location *l = &p->locations[location];
    uint32_t file = l->mapping == KP_NO_MAPPING ? 0 : p->mappings[l->mapping].filename;
    kp_strbuf_addf(b, "0x%" PRIx64 "@%.*s%s", l->address, STR(p, file), l->folded ? " folded" : "");
    for (uint32_t i = l->first_line; i < l->first_line + l->n_lines; i++) {
        const struct kp_function *f = &p->functions[p->lines[i].function];
        kp_strbuf_addf(b, " %.*s|%.*s|%.*s|%" PRId64 ":%" PRId64 ":%" PRId64, STR(p, f->name),
            STR(p, f->system_name), STR(p, f->filename), f->start_line, p->lines[i].line, p->lines[i].column);
    }
    kp_strbuf_adds(b, ";");
}

static inline void fixture_labels(struct kp_strbuf *b, const struct kp_profile *p, const struct kp_sample *s)
{
    char *texts[256];
    size_t n = 0;
    for (uint32_t i = s->first_label; i < s->first_label + s->n_labels && n < 256; i++) {
        const struct kp_sample_label *l = &p->labels[i];
        texts[n++] = l->str != 0
                         ? kp_asprintf("%.*s=%.*s", STR(p, l->key), STR(p, l->str))
                         : kp_asprintf("%.*s=%" PRId64 " %.*s", STR(p, l->key), l->num, STR(p, l->unit));
    }
    qsort(texts, n, sizeof texts[0], fixture_by_text);
    for (size_t i = 0; i < n; i++) {
        kp_strbuf_addf(b, "%s%s", i > 0 ? "," : "", texts[i]);
        kp_free(texts[i]);
    }
}

static inline char *fixture_sample(const struct kp_profile *p, uint32_t at)
{
    const struct kp_sample *s = &p->samples[at];
    struct kp_strbuf b;
    kp_strbuf_init(&b, 1 << 20);
    for (uint32_t i = 0; i < s->n_frames; i++)
        fixture_frame(&b, p, p->frames[s->first_frame + i]);
    kp_strbuf_adds(&b, " ");
    fixture_labels(&b, p, s);
    for (uint32_t t = 0; t < p->n_sample_types; t++)
        kp_strbuf_addf(&b, " %" PRId64, p->values[(size_t)at * p->n_sample_types + t]);
    return kp_strbuf_take(&b, NULL);
}

// The samples as sorted lines; free it.
static inline char *fixture_samples(const struct kp_profile *p)
{
    kp_auto_free char **lines = KP_NEW_ARRAY(char *, (size_t)p->n_samples + 1);
    struct kp_strbuf b;
    for (uint32_t i = 0; i < p->n_samples; i++)
        lines[i] = fixture_sample(p, i);
    qsort(lines, p->n_samples, sizeof lines[0], fixture_by_text);
    kp_strbuf_init(&b, 64 << 20);
    for (uint32_t i = 0; i < p->n_samples; i++) {
        kp_strbuf_addf(&b, "%s%s", i > 0 ? "\n" : "", lines[i]);
        kp_free(lines[i]);
    }
    return kp_strbuf_take(&b, NULL);
}

static inline void fixture_say(struct kp_strbuf *b, const char *title, const struct kp_profile *p)
{
    kp_strbuf_addf(b,
        "%s\n  time %" PRId64 " duration %" PRId64 " period %" PRId64 " default '%.*s' samples %u\n ", title,
        p->time_ns, p->duration_ns, p->period, STR(p, p->default_type), p->n_samples);
    for (uint32_t t = 0; t < p->n_sample_types; t++)
        kp_strbuf_addf(b, " %.*s/%.*s %" PRId64, STR(p, p->sample_types[t].type),
            STR(p, p->sample_types[t].unit), kp_profile_total(p, t));
    kp_auto_free char *samples = fixture_samples(p);
    kp_strbuf_addf(b, "\n  stacks %016" PRIx64 "\n", kp_hash64(samples, strlen(samples), 0));
}

// Every index points somewhere; equal to what a decoder would insist on.
static inline void fixture_check(const struct kp_profile *p)
{
    kp_auto_strbuf bytes;
    kp_strbuf_init(&bytes, 64 << 20);
    kp_profile_encode(p, 0, &bytes);
    struct kp_error err = {0};
    enum kp_profile_verdict verdict = kp_profile_check(bytes.data, bytes.len, NULL, NULL, &err);
    if (verdict != KP_PROFILE_VALID && verdict != KP_PROFILE_EMPTY)
        fail_msg("not a valid profile: %s", err.text);
}

#endif
