// Profiles as people look at them: top, tree, flame graph, differences, callers and callees. Pure: a profile
// in, rows or text out. Every function reads one sample type of a profile, chosen by name (NULL or "": the
// default). Percentages are of the whole profile (of the base, for differences).
#ifndef KP_REPORT_REPORT_H
#define KP_REPORT_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/stop.h"
#include "base/strbuf.h"
#include "profile/profile.h"

enum kp_report_by {
    KP_BY_FUNCTION,
    KP_BY_LINE,    // function file:line
    KP_BY_FILE,    // source file
    KP_BY_PACKAGE, // of the function name, Go's way; else the mapping
    KP_BY_LABEL,   // value of one sample label
};

struct kp_report_options {
    const char *sample_type;
    enum kp_report_by by;
    const char *label; // for KP_BY_LABEL
    // Regular expressions (base/regex.h), found anywhere in the names of function, file or mapping, with
    // google/pprof's meaning: stacks to keep, stacks to leave out, frames to take out of stacks. NULL = none.
    const char *focus, *ignore, *hide;
    bool sort_cum;    // top: by cumulated instead of own value
    size_t limit;     // rows of top (0 = 100), nodes of a graph (0 = 5000)
    double min_share; // nodes below this share of the total (top: of what is in focus) are left out; 0 = none
    const char *below; // flame graph: only what is below this node (its id in the answer)
    const struct kp_stop
        *stop; // asked now and then: KP_CANCELED, KP_TIMEOUT. NULL = takes as long as it takes
};

// "function", "line", ...; false if it is none of them. "label=KEY" sets *ret_label into text.
bool kp_report_by_parse(const char *text, enum kp_report_by *ret, const char **ret_label);

// ---- top ----
// Values as `go tool pprof -top` has them: flat of the frame a stack ends in, cum of every function in it,
// once (recursion); inlined functions are frames. KP_INVALID: no such sample type, or a wrong expression.
// Names are valid UTF-8 without control characters.
//
// JSON: {"sampleType", "unit", "by", "total", "shownFlat", "timeNanos", "durationNanos", "period", "leftOut"
// (rows), "rows": [{"name", "file"?, "line"?, "flat", "cum", "samples", "inlined"?: "always" | "partly"}]}; a
// difference has "baseTotal" and in each row "baseFlat", "baseCum" as well, and flat and cum are what came on
// top of those.
struct kp_top_row {
    const char *name, *file; // file may be ""
    int64_t line;            // 0 = unknown
    int64_t flat, cum;
    int64_t base_flat, base_cum; // differences only: what they were before
    uint64_t samples;            // that have it somewhere in their stack
    bool inlined;                // into a caller: always, or
    bool partly;                 // sometimes
};
struct kp_top {
    struct kp_arena *arena; // owns everything
    struct kp_top_row *rows;
    size_t n;
    size_t n_left_out, n_small; // beyond limit or below min_share; of those, below min_share
    double min_share;
    int64_t total, base_total, shown_flat; // totals of the whole profile and base (as scaled), before focus
    const char *sample_type, *unit;
    int64_t time_ns, duration_ns, period;
    int64_t base_time_ns, base_duration_ns; // differences only
    enum kp_report_by by;
    bool is_diff;
    const char *binary, *build_id, *doc_url; // of the main mapping; "" = unknown
    const char **comments;
    size_t n_comments;
};
KP_MUST_CHECK int kp_report_top(const struct kp_profile *profile, const struct kp_report_options *options,
    struct kp_top **ret, struct kp_error *err);
// profile against base. normalize: base is scaled to the profile's total first. Shares are of the (scaled)
// base; as text, time and duration are of both as in pprof: the earlier time, the sum of durations.
KP_MUST_CHECK int kp_report_top_diff(const struct kp_profile *profile, const struct kp_profile *base,
    bool normalize, const struct kp_report_options *options, struct kp_top **ret, struct kp_error *err);
void kp_top_free(struct kp_top *top); // NULL is fine
void kp_top_json(const struct kp_top *top, struct kp_strbuf *out);
// As `go tool pprof -top` prints it, human units; with base columns for a difference.
void kp_top_text(const struct kp_top *top, struct kp_strbuf *out);

// ---- flame graph ----
// A tree from the root, merged by function (or by what options say; by label: the label's value, then
// functions), cut to options->limit nodes, the heaviest first. base may be NULL; with one, values are of
// both. KP_INVALID as for top, KP_NOT_FOUND for a `below` that is not there, KP_LIMIT for a tree of millions.
//
// JSON: {"sampleType", "unit", "by", "total", "baseTotal"?, "timeNanos", "durationNanos", "period",
//   "leftOut": {"nodes", "value"}, "path": [names of the callers of node 0, if `below` was asked for],
//   "frames": [[name, file, line, package], ...], "files": [...], "packages": [...] (a frame's file and
//   package are indices of these; line 0 = unknown), "hues": [of each package, degrees], "nodes": {"parent":
//   [...], "frame": [...], "value": [...], "self": [...], "leftOut": [...], "id": [...], and with a base
//   "base", "baseSelf", "weight"}}.
// nodes are columns of equal length in preorder: node 0 is the root ("parent" -1, "frame" -1 unless it is
// below a node), a parent comes before its children, siblings the heaviest first. "leftOut" counts nodes
// below that were cut. "weight" (also there when values are negative) is what they are ordered by and is at
// least the sum of the children's; where it is missing it equals "value". "id" is the same in every graph of
// stacks that begin the same: ask for more with `below`.
struct kp_flame;
KP_MUST_CHECK int kp_report_flame(const struct kp_profile *profile, const struct kp_profile *base,
    bool normalize, const struct kp_report_options *options, struct kp_flame **ret, struct kp_error *err);
void kp_flame_free(struct kp_flame *flame);           // NULL is fine
bool kp_flame_is_empty(const struct kp_flame *flame); // nothing below the root, and nothing was cut
void kp_flame_json(const struct kp_flame *flame, struct kp_strbuf *out);
// "a;b;c 12" a line, for other programs; with a base "a;b;c BASE VALUE", by line "a:12;b:7 3". What was cut
// counts for its caller.
void kp_flame_folded(const struct kp_flame *flame, struct kp_strbuf *out);
void kp_flame_svg(const struct kp_flame *flame, const char *title, struct kp_strbuf *out);
// One self-contained file: search, zoom, hover, colour by package, dark mode; no outside reference at all.
void kp_flame_html(const struct kp_flame *flame, const char *title, struct kp_strbuf *out);
void kp_flame_tree(const struct kp_flame *flame, struct kp_strbuf *out); // indented text for a terminal

// ---- who calls a function, and what it calls ----
// JSON: {"function", "sampleType", "unit", "total", "flat", "cum", "fromRoot" (value of stacks that begin
// with it), "callers": {"leftOut", "rows": [{"name", "file"?, "line"?, "value"}]}, "callees": the same}. A
// call counts once in a stack; calls of itself are not told. KP_NOT_FOUND if no stack can have the function.
KP_MUST_CHECK int kp_report_peers(const struct kp_profile *profile, const struct kp_report_options *options,
    const char *function, struct kp_strbuf *out_json, struct kp_error *err);

// "1.53s", "12.4MB", "380": a value of a unit as people read it.
void kp_report_value(int64_t value, const char *unit, char *out, size_t size);

#endif
