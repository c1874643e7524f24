// Top as text and as JSON.
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "report/by.h"
#include "report/report.h"
#include "report/unit.h"
#include "base/banned.h"

static int64_t whole(const struct kp_top *top)
{
    return top->is_diff && top->base_total > 0 ? top->base_total : top->total;
}

static int64_t smallest_shown(const struct kp_top *top)
{
    int64_t min = 0;
    for (size_t i = 0; i < top->n; i++) {
        int64_t v = kp_magnitude(top->rows[i].flat != 0 ? top->rows[i].flat : top->rows[i].cum);
        if (v > 0 && (min == 0 || v < min))
            min = v;
    }
    return min != 0 ? min : whole(top);
}

// One unit for all rows, in which the smallest can still be told.
static const char *common_unit(const struct kp_top *top)
{
    if (top->n == 0)
        return "minimum";
    const char *unit, *max_unit;
    int64_t min = smallest_shown(top), max = whole(top);
    kp_unit_scale(min, top->unit, "minimum", &unit);
    kp_unit_scale(max, top->unit, "minimum", &max_unit);
    if (!kp_streq(unit, max_unit) && min < max / 100 + (max % 100 != 0))
        kp_unit_scale(min * 100, top->unit, "minimum", &unit);
    return unit[0] != '\0' ? unit : top->unit;
}

// Of both: the base's share of the profile's duration alone would mean nothing.
static int64_t whole_duration(const struct kp_top *top)
{
    return kp_add_capped(top->duration_ns, top->base_duration_ns);
}

static int64_t earliest(const struct kp_top *top)
{
    bool is_base = top->base_time_ns != 0 && (top->time_ns == 0 || top->base_time_ns < top->time_ns);
    return is_base ? top->base_time_ns : top->time_ns;
}

static void add_time(int64_t ns, struct kp_strbuf *out)
{
    char text[KP_TIME_TEXT]; // 2026-11-24T13:00:00Z
    int64_t ms = ns / 1000000 - (ns % 1000000 < 0);
    kp_time_format(text, ms);
    kp_strbuf_addf(out, "Time: %.10s %.8s UTC\n", text, strlen(text) > 19 ? text + 11 : "");
}

static void add_duration(const struct kp_top *top, const char *unit, struct kp_strbuf *out)
{
    char duration[KP_VALUE_TEXT], total[KP_VALUE_TEXT], percent[KP_VALUE_TEXT];
    kp_unit_text(whole_duration(top), "nanoseconds", "auto", duration);
    kp_unit_text(whole(top), top->unit, unit, total);
    kp_strbuf_addf(out, "Duration: %s, Total samples = %s ", duration, total);
    const char *total_unit;
    double ns = kp_unit_scale(whole(top), top->unit, "nanoseconds", &total_unit);
    if (kp_streq(total_unit, "ns") && ns >= 1 && ns < 0x1p63)
        kp_strbuf_addf(out, "(%s)", kp_unit_percent((int64_t)ns, whole_duration(top), percent));
    kp_strbuf_addc(out, '\n');
}

static void add_header(const struct kp_top *top, const char *unit, struct kp_strbuf *out)
{
    if (top->binary[0] != '\0')
        kp_strbuf_addf(out, "File: %s\n", top->binary);
    if (top->build_id[0] != '\0')
        kp_strbuf_addf(out, "Build ID: %s\n", top->build_id);
    for (size_t i = 0; i < top->n_comments; i++)
        if (top->comments[i][0] != '#')
            kp_strbuf_addf(out, "%s\n", top->comments[i]);
    if (top->sample_type[0] != '\0')
        kp_strbuf_addf(out, "Type: %s\n", top->sample_type);
    if (top->doc_url[0] != '\0')
        kp_strbuf_addf(out, "Doc: %s\n", top->doc_url);
    if (earliest(top) != 0)
        add_time(earliest(top), out);
    if (whole_duration(top) != 0)
        add_duration(top, unit, out);
}

static void add_summary(const struct kp_top *top, const char *unit, struct kp_strbuf *out)
{
    char a[KP_VALUE_TEXT], b[KP_VALUE_TEXT], percent[KP_VALUE_TEXT];
    const char *share = kp_unit_percent(top->shown_flat, whole(top), percent);
    kp_strbuf_addf(out, "Showing nodes accounting for %s, %s of %s total\n",
        kp_unit_text(top->shown_flat, top->unit, unit, a), share + strspn(share, " "),
        kp_unit_text(whole(top), top->unit, unit, b));
    if (top->n_small > 0)
        kp_strbuf_addf(out, "Dropped %zu node%s (cum <= %s)\n", top->n_small, top->n_small > 1 ? "s" : "",
            kp_unit_text((int64_t)((double)whole(top) * top->min_share), top->unit, unit, a));
    size_t n_large = top->n + top->n_left_out - top->n_small;
    if (top->n > 0 && top->n < n_large)
        kp_strbuf_addf(out, "Showing top %zu nodes out of %zu\n", top->n, n_large);
}

static void add_name(const struct kp_top *top, const struct kp_top_row *row, struct kp_strbuf *out)
{
    kp_strbuf_adds(out, row->name);
    if (top->by == KP_BY_LINE && row->line != 0)
        kp_strbuf_addf(out, " %s:%" PRId64, row->file, row->line);
    else if (top->by == KP_BY_LINE && row->file[0] != '\0')
        kp_strbuf_addf(out, " %s", row->file);
    if (row->inlined || row->partly)
        kp_strbuf_adds(out, row->inlined ? " (inline)" : " (partial-inline)");
    kp_strbuf_addc(out, '\n');
}

void kp_top_text(const struct kp_top *top, struct kp_strbuf *out)
{
    char flat[KP_VALUE_TEXT], cum[KP_VALUE_TEXT], p1[KP_VALUE_TEXT], p2[KP_VALUE_TEXT], p3[KP_VALUE_TEXT];
    const char *unit = common_unit(top);
    add_header(top, unit, out);
    add_summary(top, unit, out);
    kp_strbuf_adds(out, "      flat  flat%   sum%        cum   cum%");
    kp_strbuf_adds(out, top->is_diff ? "  base flat   base cum\n" : "\n");
    int64_t sum = 0;
    for (size_t i = 0; i < top->n; i++) {
        const struct kp_top_row *row = &top->rows[i];
        sum = kp_add_capped(sum, row->flat);
        kp_strbuf_addf(out, "%10s %s %s %10s %s", kp_unit_text(row->flat, top->unit, unit, flat),
            kp_unit_percent(row->flat, whole(top), p1), kp_unit_percent(sum, whole(top), p2),
            kp_unit_text(row->cum, top->unit, unit, cum), kp_unit_percent(row->cum, whole(top), p3));
        if (top->is_diff)
            kp_strbuf_addf(out, " %10s %10s", kp_unit_text(row->base_flat, top->unit, unit, flat),
                kp_unit_text(row->base_cum, top->unit, unit, cum));
        kp_strbuf_adds(out, "  ");
        add_name(top, row, out);
    }
}

static void add_row_json(const struct kp_top *top, const struct kp_top_row *row, struct kp_strbuf *out)
{
    kp_strbuf_adds(out, "{\"name\":");
    kp_strbuf_add_json(out, row->name);
    if (row->file[0] != '\0') {
        kp_strbuf_adds(out, ",\"file\":");
        kp_strbuf_add_json(out, row->file);
    }
    if (row->line != 0)
        kp_strbuf_addf(out, ",\"line\":%" PRId64, row->line);
    kp_strbuf_addf(out, ",\"flat\":%" PRId64 ",\"cum\":%" PRId64, row->flat, row->cum);
    if (top->is_diff)
        kp_strbuf_addf(out, ",\"baseFlat\":%" PRId64 ",\"baseCum\":%" PRId64, row->base_flat, row->base_cum);
    kp_strbuf_addf(out, ",\"samples\":%" PRIu64, row->samples);
    if (row->inlined || row->partly)
        kp_strbuf_addf(out, ",\"inlined\":\"%s\"", row->inlined ? "always" : "partly");
    kp_strbuf_addc(out, '}');
}

void kp_top_json(const struct kp_top *top, struct kp_strbuf *out)
{
    kp_strbuf_adds(out, "{\"sampleType\":");
    kp_strbuf_add_json(out, top->sample_type);
    kp_strbuf_adds(out, ",\"unit\":");
    kp_strbuf_add_json(out, top->unit);
    kp_strbuf_addf(out, ",\"by\":\"%s\",\"total\":%" PRId64, kp_report_by_name(top->by), top->total);
    if (top->is_diff)
        kp_strbuf_addf(out, ",\"baseTotal\":%" PRId64, top->base_total);
    kp_strbuf_addf(out,
        ",\"shownFlat\":%" PRId64 ",\"timeNanos\":%" PRId64 ",\"durationNanos\":%" PRId64
        ",\"period\":%" PRId64 ",\"leftOut\":%zu,\"rows\":[",
        top->shown_flat, top->time_ns, top->duration_ns, top->period, top->n_left_out);
    for (size_t i = 0; i < top->n; i++) {
        if (i > 0)
            kp_strbuf_addc(out, ',');
        add_row_json(top, &top->rows[i], out);
    }
    kp_strbuf_adds(out, "]}");
}
