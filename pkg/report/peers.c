// Who calls a function, and what it calls.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "report/by.h"
#include "report/report.h"
#include "report/unit.h"
#include "report/view.h"
#include "base/banned.h"

#define DEFAULT_LIMIT 100

struct peer {
    int64_t value;
    uint32_t key, seen;
};

struct peers {
    struct kp_view *view;
    uint32_t function;              // its key
    struct peer *callers, *callees; // by key
    int64_t flat, cum, from_root;
};

static void add_peer(struct peer *peers, uint32_t key, uint32_t sample, int64_t value)
{
    if (peers[key].seen == sample) // the same call twice in one stack counts once
        return;
    peers[key].seen = sample;
    peers[key].value = kp_add_capped(peers[key].value, value);
}

static void add_sample(struct peers *p, uint32_t sample, int64_t value)
{
    const struct kp_view *view = p->view;
    const struct kp_sample *s = &view->profile->samples[sample];
    uint32_t caller = KP_NO_KEY;
    bool is_in = false, is_root = false;
    for (uint32_t i = s->n_frames; i-- > 0;) {
        uint32_t l = view->profile->frames[s->first_frame + i];
        for (uint32_t k = view->runs[l + 1]; k-- > view->runs[l];) {
            uint32_t key = view->run[k];
            is_root |= key == p->function && caller == KP_NO_KEY;
            is_in |= key == p->function;
            if (key == p->function && caller != KP_NO_KEY && caller != key)
                add_peer(p->callers, caller, sample + 1, value);
            if (caller == p->function && caller != key)
                add_peer(p->callees, key, sample + 1, value);
            caller = key;
        }
    }
    if (is_in)
        p->cum = kp_add_capped(p->cum, value);
    if (is_root)
        p->from_root = kp_add_capped(p->from_root, value);
    if (caller == p->function && is_in)
        p->flat = kp_add_capped(p->flat, value);
}

static int compare_peers(const void *a, const void *b, void *context)
{
    const struct peer *x = a, *y = b;
    int64_t v = kp_magnitude(x->value), w = kp_magnitude(y->value);
    if (v != w)
        return v > w ? -1 : 1;
    return kp_keys_compare(context, x->key, y->key);
}

static void add_text(const struct kp_keys *keys, uint32_t string, struct kp_strbuf *out)
{
    struct kp_str s = keys->symbols->strings[string];
    kp_auto_free char *text = kp_strndup(s.data, s.len);
    kp_strbuf_add_json(out, text);
}

static void add_row(const struct kp_keys *keys, const struct peer *peer, struct kp_strbuf *out)
{
    const struct kp_key_info *info = &keys->infos.items[peer->key];
    kp_strbuf_adds(out, "{\"name\":");
    add_text(keys, keys->symbols->functions[peer->key].name, out);
    if (info->file != 0) {
        kp_strbuf_adds(out, ",\"file\":");
        add_text(keys, info->file, out);
    }
    if (info->line != 0)
        kp_strbuf_addf(out, ",\"line\":%" PRId64, info->line);
    kp_strbuf_addf(out, ",\"value\":%" PRId64 "}", peer->value);
}

static void add_list(const struct peers *p, const char *name, struct peer *peers, struct kp_strbuf *out)
{
    struct kp_keys *keys = p->view->keys;
    size_t n = 0, limit = p->view->options->limit != 0 ? p->view->options->limit : DEFAULT_LIMIT;
    for (uint32_t key = 0; key < keys->symbols->n_functions; key++)
        if (peers[key].value != 0)
            peers[n++] = (struct peer){.value = peers[key].value, .key = key};
    qsort_r(peers, n, sizeof *peers, compare_peers, keys);
    kp_strbuf_addf(out, ",\"%s\":{\"leftOut\":%zu,\"rows\":[", name, n > limit ? n - limit : 0);
    for (size_t i = 0; i < n && i < limit; i++) {
        if (i > 0)
            kp_strbuf_addc(out, ',');
        add_row(keys, &peers[i], out);
    }
    kp_strbuf_adds(out, "]}");
}

static void add_json(const struct peers *p, struct kp_strbuf *out)
{
    const struct kp_keys *keys = p->view->keys;
    struct kp_arena *arena = NULL;
    kp_strbuf_adds(out, "{\"function\":");
    add_text(keys, keys->symbols->functions[p->function].name, out);
    kp_strbuf_adds(out, ",\"sampleType\":");
    kp_strbuf_add_json(out, kp_view_type(p->view, &arena));
    kp_strbuf_adds(out, ",\"unit\":");
    kp_strbuf_add_json(out, kp_view_unit(p->view, &arena));
    kp_strbuf_addf(out,
        ",\"total\":%" PRId64 ",\"flat\":%" PRId64 ",\"cum\":%" PRId64 ",\"fromRoot\":%" PRId64,
        p->view->total, p->flat, p->cum, p->from_root);
    add_list(p, "callers", p->callers, out);
    add_list(p, "callees", p->callees, out);
    kp_strbuf_addc(out, '}');
    kp_arena_free(arena);
}

static int find_key(const struct kp_keys *keys, const char *name, uint32_t *ret, struct kp_error *err)
{
    size_t len = strlen(name);
    for (uint32_t key = 0; key < keys->symbols->n_functions; key++) {
        struct kp_str s = kp_keys_name(keys, key);
        if (s.len == len && memcmp(s.data, name, len) == 0) {
            *ret = key;
            return 0;
        }
    }
    return kp_fail(
        err, KP_NOT_FOUND, "no function '%.120s' in the profile: give its whole name, as top tells it", name);
}

static int sum_up(struct peers *p, struct kp_error *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < p->view->profile->n_samples; i++) {
        int64_t value = kp_view_value(p->view, i);
        rc = kp_view_go_on(p->view, i, err);
        if (rc == 0 && value != 0)
            add_sample(p, i, value);
    }
    return rc;
}

int kp_report_peers(const struct kp_profile *profile, const struct kp_report_options *options,
    const char *function, struct kp_strbuf *out_json, struct kp_error *err)
{
    struct kp_report_options own = *options;
    if (own.by == KP_BY_LINE || own.by == KP_BY_LABEL) // a name there is not one key
        own.by = KP_BY_FUNCTION;
    struct kp_keys keys;
    struct kp_view view;
    kp_keys_init(&keys);
    struct peers p = {.view = &view};
    int rc = kp_view_init(&view, &keys, profile, &own, err);
    if (rc == 0) {
        rc = find_key(&keys, function, &p.function, err);
        if (rc == 0) {
            p.callers = KP_NEW_ARRAY(struct peer, keys.symbols->n_functions);
            p.callees = KP_NEW_ARRAY(struct peer, keys.symbols->n_functions);
            rc = sum_up(&p, err);
        }
        if (rc == 0)
            add_json(&p, out_json);
        kp_view_finish(&view);
    }
    kp_free(p.callers);
    kp_free(p.callees);
    kp_keys_finish(&keys);
    return rc;
}
