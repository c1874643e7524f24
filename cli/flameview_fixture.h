// A view for tests, driven by bytes, its screens as text.
#ifndef KP_CLI_FLAMEVIEW_FIXTURE_H
#define KP_CLI_FLAMEVIEW_FIXTURE_H

#include "report/report_fixture.h"

#include "cli/flameview.h"
#include "cli/flameview_private.h"

struct kp_viewing {
    struct kp_profile *profile, *base;
    struct kp_flame *flame;
    struct kp_flameview *view;
    struct kp_screen screen;
    struct kp_keys keys;
    enum kp_flameview_answer answer; // to the last key
};

static inline void kp_viewing_open(struct kp_viewing *v, const char *title, bool has_colors, uint32_t limit)
{
    struct kp_report_options options = {.limit = limit};
    struct kp_error err = {0};
    if (kp_report_flame(v->profile, v->base, false, &options, &v->flame, &err) < 0)
        fail_msg("%s", err.text);
    v->view = kp_flameview_create(v->flame, title, has_colors);
    kp_screen_init(&v->screen);
    kp_screen_resize(&v->screen, 80, 24);
}

static inline void kp_viewing_folded(struct kp_viewing *v, const char *folded, const char *base)
{
    *v = (struct kp_viewing){.profile = kp_folded(folded), .base = base ? kp_folded(base) : NULL};
    kp_viewing_open(v, "a title", true, 0);
}

// Of the codec's corpus.
static inline void kp_viewing_corpus(struct kp_viewing *v, const char *name)
{
    kp_auto_free char *path = kp_asprintf("%s/../../pkg/profile/testdata/corpus/%s.pb.gz", KP_TESTDATA, name);
    size_t len;
    kp_auto_free char *data = kp_test_read_file(path, &len);
    *v = (struct kp_viewing){0};
    assert_int_equal(kp_profile_decode(data, len, NULL, &v->profile, NULL), 0);
    kp_viewing_open(v, name, true, 100000);
}

static inline void kp_viewing_close(struct kp_viewing *v)
{
    kp_flameview_destroy(v->view);
    kp_screen_finish(&v->screen);
    kp_flame_free(v->flame);
    kp_profile_free(v->profile);
    kp_profile_free(v->base);
}

static inline void kp_viewing_size(struct kp_viewing *v, int width, int height)
{
    kp_screen_resize(&v->screen, width, height);
    kp_flameview_resize(v->view, width, height);
}

static inline void kp_viewing_press(struct kp_viewing *v, const char *bytes)
{
    struct kp_key keys[2];
    for (size_t i = 0; bytes[i] != '\0'; i++) {
        size_t n = kp_keys_add(&v->keys, (unsigned char)bytes[i], keys);
        for (size_t k = 0; k < n; k++)
            v->answer = kp_flameview_key(v->view, &keys[k]);
    }
    if (kp_keys_is_pending(&v->keys) && kp_keys_timeout(&v->keys, keys) > 0)
        v->answer = kp_flameview_key(v->view, &keys[0]);
}

static inline void kp_viewing_trim(struct kp_strbuf *out)
{
    while (out->len > 0 && out->data[out->len - 1] == ' ')
        out->data[--out->len] = '\0';
    kp_strbuf_addc(out, '\n');
}

// A letter for each look: capitals are backgrounds in the order they are first seen.
static inline char kp_viewing_letter(struct kp_style style, uint32_t seen[1024])
{
    static const char flags[] = " bdBuUvVrRsStTwW"; // by bits
    int i = 0;
    if (style.bg == 0)
        return flags[style.flags & 15];
    while (seen[i] != 0 && seen[i] != style.bg)
        i++;
    assert_true(i < 1023);
    seen[i] = style.bg;
    return (char)('A' + i % 26);
}

// The screen's text; has_style: with its looks below. Free it.
static inline char *kp_viewing_text(struct kp_viewing *v, bool has_style)
{
    struct kp_strbuf out;
    uint32_t seen[1024] = {0};
    const struct kp_screen *s = &v->screen;
    kp_strbuf_init(&out, 1 << 20);
    kp_flameview_draw(v->view, &v->screen);
    for (int y = 0; y < s->height; kp_viewing_trim(&out), y++)
        for (int x = 0; x < s->width; x++)
            kp_strbuf_add(&out, s->cells[y * s->width + x].text, (size_t)s->cells[y * s->width + x].len);
    if (has_style)
        kp_strbuf_adds(&out, "----\n");
    for (int y = 0; has_style && y < s->height; kp_viewing_trim(&out), y++)
        for (int x = 0; x < s->width; x++)
            kp_strbuf_addc(&out, kp_viewing_letter(s->cells[y * s->width + x].style, seen));
    return kp_strbuf_take(&out, NULL);
}

static inline void kp_viewing_golden(struct kp_viewing *v, const char *name)
{
    kp_auto_free char *text = kp_viewing_text(v, true);
    kp_auto_free char *path = kp_asprintf("%s/flameview/%s.txt", KP_TESTDATA, name);
    kp_test_golden(path, text);
}

static inline const char *kp_viewing_selected(const struct kp_viewing *v)
{
    return kp_flame_name(v->flame, &v->flame->nodes[v->view->selected]);
}

static inline const char *kp_viewing_zoom(const struct kp_viewing *v)
{
    return kp_flame_name(v->flame, &v->flame->nodes[kp_flameview_zoom(v->view)]);
}

#endif
