// The graph as a picture.
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "report/flame.h"
#include "report/markup.h"
#include "report/unit.h"
#include "base/banned.h"

#define WIDTH     1200
#define MARGIN    10
#define ROW       17
#define HEAD      56   // title and its line
#define LETTER    6.7  // width of one, about: nobody measures text here
#define MIN_WIDTH 0.25 // what is narrower is not drawn

struct drawing {
    const struct kp_flame *flame;
    struct kp_strbuf *out;
    double *x, *used; // of each node: where it begins, and where its next child does; in units of weight
    double scale;     // pixels of a unit of weight
};

static void add_style(struct kp_strbuf *out)
{
    kp_strbuf_adds(out,
        "<style>"
        "text{font:11px ui-monospace,Menlo,Consolas,monospace;fill:#1b1f24}"
        ".t{font:600 16px system-ui,sans-serif}.m{font:12px system-ui,sans-serif;fill:#5d6672}"
        ".b{fill:#fff}rect.f{stroke:#fff;stroke-width:.6}"
        "g.n text{pointer-events:none}g.n:hover rect{stroke:#1b1f24;stroke-width:1.2}"
        "@media(prefers-color-scheme:dark){text{fill:#f0f2f5}.m{fill:#9aa4b0}.b{fill:#14171b}"
        "rect.f{stroke:#14171b;filter:brightness(.48) saturate(1.25)}g.n:hover rect{stroke:#e6e9ed}}"
        "</style>\n");
}

static void add_title(const struct kp_flame *flame, const char *title, struct kp_strbuf *out)
{
    char total[KP_VALUE_TEXT], before[KP_VALUE_TEXT];
    kp_unit_text(flame->total, flame->unit, "auto", total);
    kp_strbuf_addf(out, "<text class=\"t\" x=\"%d\" y=\"24\">", MARGIN);
    kp_markup_add(out, title);
    kp_strbuf_addf(out, "</text>\n<text class=\"m\" x=\"%d\" y=\"43\">", MARGIN);
    kp_markup_add(out, flame->sample_type);
    kp_strbuf_addf(out, ": %s", total);
    if (flame->is_diff)
        kp_strbuf_addf(out, " against %s; orange takes more, blue less, red is new, violet gone",
            kp_unit_text(flame->base_total, flame->unit, "auto", before));
    if (flame->n_left_out > 0)
        kp_strbuf_addf(out, "; %" PRIu32 " of %" PRIu64 " nodes are too small to show", flame->n_left_out,
            (uint64_t)flame->n + flame->n_left_out);
    kp_strbuf_adds(out, "</text>\n");
}

static void add_colour(const struct kp_flame *flame, const struct kp_flame_node *node, struct kp_strbuf *out)
{
    struct kp_flame_colour c = kp_flame_colour(flame, node);
    kp_strbuf_addf(out, "hsl(%u,%u%%,%u%%)", c.hue, c.saturation, c.lightness);
}

static void add_facts(const struct kp_flame *flame, const struct kp_flame_node *node, struct kp_strbuf *out)
{
    char value[KP_VALUE_TEXT], percent[KP_VALUE_TEXT];
    const char *share = kp_unit_percent(node->value, flame->total, percent);
    kp_markup_add(out, kp_flame_name(flame, node));
    if (node->frame != KP_FLAME_NO_FRAME && flame->frames[node->frame].file[0] != '\0') {
        const struct kp_flame_frame *frame = &flame->frames[node->frame];
        kp_strbuf_addc(out, '\n');
        kp_markup_add(out, frame->file);
        if (frame->line > 0)
            kp_strbuf_addf(out, ":%" PRId64, frame->line);
    }
    kp_strbuf_addf(out, "\n%s (%s), self ", kp_unit_text(node->value, flame->unit, "auto", value),
        share + strspn(share, " "));
    kp_strbuf_adds(out, kp_unit_text(node->self, flame->unit, "auto", value));
    if (flame->is_diff)
        kp_strbuf_addf(out, ", before %s", kp_unit_text(node->base, flame->unit, "auto", value));
    if (node->n_cut > 0)
        kp_strbuf_addf(out, "\n%" PRIu32 " smaller nodes below are not shown", node->n_cut);
}

// Without the path of its package where there is no room for it; at most n characters.
static void add_label(const char *name, size_t n, struct kp_strbuf *out)
{
    const char *end = name + strcspn(name, "([<{ ");
    const char *slash = strlen(name) > n ? memrchr(name, '/', (size_t)(end - name)) : NULL;
    const char *text = slash ? slash + 1 : name;
    size_t len = strlen(text), at = 0, count = 0;
    while (at < len && count < n) {
        size_t step = kp_utf8_length(text + at, len - at);
        at += step != 0 ? step : 1;
        count++;
    }
    kp_auto_free char *cut = kp_strndup(text, at);
    if (at < len && at > 0 && count > 2) { // room for the dots
        while (at > 0 && ((unsigned char)cut[at - 1] & 0xc0) == 0x80)
            at--;
        cut[at - 1] = '\0';
        kp_markup_add(out, cut);
        kp_strbuf_adds(out, "\xe2\x80\xa6");
    } else {
        kp_markup_add(out, cut);
    }
}

static void add_node(const struct drawing *d, const struct kp_flame_node *node, double x, double w)
{
    int y = HEAD + (int)node->depth * ROW;
    kp_strbuf_addf(d->out, "<g class=\"n\"><title>");
    add_facts(d->flame, node, d->out);
    kp_strbuf_addf(d->out,
        "</title><rect class=\"f\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"1.5\" fill=\"", x, y,
        w, ROW - 1);
    add_colour(d->flame, node, d->out);
    kp_strbuf_adds(d->out, "\"/>");
    if (w >= 4 * LETTER) {
        kp_strbuf_addf(d->out, "<text x=\"%.1f\" y=\"%d\">", x + 3, y + ROW - 5);
        add_label(kp_flame_name(d->flame, node), (size_t)((w - 6) / LETTER), d->out);
        kp_strbuf_adds(d->out, "</text>");
    }
    kp_strbuf_adds(d->out, "</g>\n");
}

// A node's place follows from its caller's, which comes before it.
static void add_nodes(struct drawing *d)
{
    for (uint32_t i = 0; i < d->flame->n && !d->out->overflow; i++) {
        const struct kp_flame_node *node = &d->flame->nodes[i];
        if (i > 0) {
            d->x[i] = d->used[node->parent];
            d->used[node->parent] += (double)node->weight;
        }
        d->used[i] = d->x[i];
        double w = (double)node->weight * d->scale;
        if (w >= MIN_WIDTH || i == 0)
            add_node(d, node, MARGIN + d->x[i] * d->scale, w);
    }
}

// Rows of nodes wide enough to be drawn.
static uint32_t count_rows(const struct drawing *d)
{
    uint32_t rows = 1;
    for (uint32_t i = 0; i < d->flame->n; i++)
        if ((double)d->flame->nodes[i].weight * d->scale >= MIN_WIDTH && d->flame->nodes[i].depth + 1 > rows)
            rows = d->flame->nodes[i].depth + 1;
    return rows;
}

void kp_flame_svg(const struct kp_flame *flame, const char *title, struct kp_strbuf *out)
{
    struct drawing d = {.flame = flame, .out = out};
    double whole = (double)flame->nodes[0].weight;
    d.scale = whole > 0 ? (WIDTH - 2.0 * MARGIN) / whole : 0;
    d.x = KP_NEW_ARRAY(double, (size_t)flame->n + 1);
    d.used = KP_NEW_ARRAY(double, (size_t)flame->n + 1);
    uint64_t height = HEAD + (uint64_t)count_rows(&d) * ROW + MARGIN;
    kp_strbuf_addf(out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" "
        "height=\"%" PRIu64 "\" viewBox=\"0 0 %d %" PRIu64 "\" role=\"img\">\n<title>",
        WIDTH, height, WIDTH, height);
    kp_markup_add(out, title);
    kp_strbuf_adds(out, "</title>\n");
    add_style(out);
    kp_strbuf_adds(out, "<rect class=\"b\" width=\"100%\" height=\"100%\"/>\n");
    add_title(flame, title, out);
    add_nodes(&d);
    kp_strbuf_adds(out, "</svg>\n");
    kp_free(d.x);
    kp_free(d.used);
}
