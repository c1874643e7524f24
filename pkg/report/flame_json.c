#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "profile/symbols.h"
#include "report/by.h"
#include "report/flame.h"
#include "base/banned.h"

static void add_string(struct kp_strbuf *out, const char *name, const char *value)
{
    kp_strbuf_addf(out, "\"%s\":", name);
    kp_strbuf_add_json(out, value);
    kp_strbuf_addc(out, ',');
}

static void add_header(const struct kp_flame *flame, struct kp_strbuf *out)
{
    add_string(out, "sampleType", flame->sample_type);
    add_string(out, "unit", flame->unit);
    add_string(out, "by", kp_report_by_name(flame->by));
    kp_strbuf_addf(out, "\"total\":%" PRId64 ",", flame->total);
    if (flame->is_diff)
        kp_strbuf_addf(out, "\"baseTotal\":%" PRId64 ",", flame->base_total);
    kp_strbuf_addf(out, "\"timeNanos\":%" PRId64 ",\"durationNanos\":%" PRId64 ",\"period\":%" PRId64 ",",
        flame->time_ns, flame->duration_ns, flame->period);
    kp_strbuf_addf(out, "\"leftOut\":{\"nodes\":%" PRIu32 ",\"value\":%" PRId64 "},", flame->n_left_out,
        flame->left_out);
    kp_strbuf_adds(out, "\"path\":[");
    for (uint32_t i = 0; i < flame->n_path; i++) {
        if (i > 0)
            kp_strbuf_addc(out, ',');
        kp_strbuf_add_json(out, flame->path[i]);
    }
    kp_strbuf_adds(out, "],");
}

// Files and packages repeat from frame to frame: frames name them by number.
struct texts {
    struct kp_symbols *symbols;
    KP_ARRAY(const char *) list; // by number
};

static uint32_t number_of(struct texts *texts, const char *text)
{
    uint32_t id = kp_symbols_string(texts->symbols, text, (uint32_t)strlen(text));
    while (texts->list.n <= id)
        *kp_array_add(&texts->list) = "";
    texts->list.items[id] = text;
    return id;
}

static void add_texts(const struct texts *texts, struct kp_strbuf *out)
{
    for (size_t i = 0; i < texts->list.n; i++) {
        if (i > 0)
            kp_strbuf_addc(out, ',');
        kp_strbuf_add_json(out, texts->list.items[i]);
    }
}

static void finish_texts(struct texts *texts)
{
    kp_symbols_destroy(texts->symbols);
    kp_array_free(&texts->list);
}

static void add_frames(const struct kp_flame *flame, struct kp_strbuf *out)
{
    struct texts files = {.symbols = kp_symbols_create(KP_SYMBOLS_EXACT)};
    struct texts packages = {.symbols = kp_symbols_create(KP_SYMBOLS_EXACT)};
    kp_strbuf_adds(out, "\"frames\":[");
    for (uint32_t i = 0; i < flame->n_frames; i++) {
        const struct kp_flame_frame *frame = &flame->frames[i];
        kp_strbuf_adds(out, i > 0 ? ",[" : "[");
        kp_strbuf_add_json(out, frame->name);
        kp_strbuf_addf(out, ",%" PRIu32 ",%" PRId64 ",%" PRIu32 "]", number_of(&files, frame->file),
            frame->line, number_of(&packages, frame->package));
    }
    kp_strbuf_adds(out, "],\"files\":[");
    add_texts(&files, out);
    kp_strbuf_adds(out, "],\"packages\":[");
    add_texts(&packages, out);
    kp_strbuf_adds(out, "],\"hues\":[");
    for (size_t i = 0; i < packages.list.n; i++)
        kp_strbuf_addf(out, "%s%u", i > 0 ? "," : "", kp_flame_hue(packages.list.items[i]));
    kp_strbuf_adds(out, "],");
    finish_texts(&files);
    finish_texts(&packages);
}

// ---- the columns of nodes ----

static int64_t parent(const struct kp_flame_node *node)
{
    return node->parent;
}

static int64_t frame(const struct kp_flame_node *node)
{
    return node->frame == KP_FLAME_NO_FRAME ? -1 : (int64_t)node->frame;
}

static int64_t value(const struct kp_flame_node *node)
{
    return node->value;
}

static int64_t self(const struct kp_flame_node *node)
{
    return node->self;
}

static int64_t left_out(const struct kp_flame_node *node)
{
    return node->n_cut;
}

static int64_t weight(const struct kp_flame_node *node)
{
    return node->weight;
}

static int64_t base(const struct kp_flame_node *node)
{
    return node->base;
}

static int64_t base_self(const struct kp_flame_node *node)
{
    return node->base_self;
}

static void add_column(const struct kp_flame *flame, const char *name,
    int64_t (*of)(const struct kp_flame_node *), struct kp_strbuf *out)
{
    kp_strbuf_addf(out, "\"%s\":[", name);
    for (uint32_t i = 0; i < flame->n; i++) {
        int64_t n = i == 0 && of == parent ? -1 : of(&flame->nodes[i]);
        kp_strbuf_addf(out, "%s%" PRId64, i > 0 ? "," : "", n);
    }
    kp_strbuf_adds(out, "],");
}

void kp_flame_json(const struct kp_flame *flame, struct kp_strbuf *out)
{
    kp_strbuf_addc(out, '{');
    add_header(flame, out);
    add_frames(flame, out);
    kp_strbuf_adds(out, "\"nodes\":{");
    add_column(flame, "parent", parent, out);
    add_column(flame, "frame", frame, out);
    add_column(flame, "value", value, out);
    add_column(flame, "self", self, out);
    add_column(flame, "leftOut", left_out, out);
    if (flame->is_diff) {
        add_column(flame, "base", base, out);
        add_column(flame, "baseSelf", base_self, out);
    }
    if (flame->is_diff || flame->has_negative)
        add_column(flame, "weight", weight, out);
    kp_strbuf_adds(out, "\"id\":[");
    for (uint32_t i = 0; i < flame->n; i++)
        kp_strbuf_addf(out, "%s\"%016" PRIx64 "\"", i > 0 ? "," : "", flame->nodes[i].id);
    kp_strbuf_adds(out, "]}}");
}
