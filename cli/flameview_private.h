// The parts of the view.
#ifndef KP_CLI_FLAMEVIEW_PRIVATE_H
#define KP_CLI_FLAMEVIEW_PRIVATE_H

#include "base/array.h"
#include "base/strbuf.h"
#include "cli/flameview.h"
#include "report/flame.h"

// A frame as it lies on its row, or several that share an ellipsis.
struct kp_span {
    uint32_t node; // of several the first, which is the heaviest
    uint32_t end;  // behind the last node below them
    uint32_t n;    // nodes side by side; 1: a frame
    double at;     // where it begins, in units of weight from the zoomed node's beginning
    int x, width;
};

// A row that may go on with narrower frames below it is known when it is asked for.
struct kp_layout {
    KP_ARRAY(struct kp_span) spans;
    KP_ARRAY(size_t) rows; // where each begins in spans; one more for the end
    bool is_whole;         // there are no more rows
};

#define KP_SEARCH_MAX 120

struct kp_search {
    char text[KP_SEARCH_MAX + 4];
    uint8_t *frames;  // of each frame: whether it matches
    uint32_t *before; // matching nodes before each node, and in all
    uint32_t n_frames;
    int64_t value, base; // of stacks with a match
    uint32_t only;       // this frame and nothing else (from the table), or KP_FLAME_NO_FRAME
    bool is_active;
};

struct kp_flametable_row {
    uint32_t frame, node; // the heaviest node of it
    int64_t flat, cum, base_flat, base_cum;
};

enum kp_flametable_order { KP_ORDER_FLAT, KP_ORDER_CUM, KP_ORDER_NAME };

struct kp_flametable {
    struct kp_flametable_row *rows; // made when it is first looked at
    uint32_t n;
    enum kp_flametable_order order;
    uint32_t selected, top;
};

// What Esc in the search's prompt goes back to.
struct kp_place {
    uint32_t *zooms;
    size_t n_zooms;
    uint32_t selected, row;
    int top;
};

struct kp_flameview {
    const struct kp_flame *flame;
    char *title;
    bool has_colors;
    int width, height;
    uint32_t *sizes;          // nodes of each node's subtree, itself counted
    int64_t *below;           // weight of all children
    KP_ARRAY(uint32_t) zooms; // the first is node 0, the last is shown
    uint32_t selected;        // at or below the last zoom
    int top;                  // row of the graph that is shown first
    struct kp_layout layout;
    struct kp_search search;
    struct kp_place origin;
    struct kp_flametable table;
    bool is_table, is_help, is_prompt;
    char message[160]; // until the next key
};

static inline uint32_t kp_flameview_zoom(const struct kp_flameview *view)
{
    return view->zooms.items[view->zooms.n - 1];
}

// ---- rows of the screen ----
struct kp_flameview_lines {
    int title, path, body, n_body, status, n_status, hint; // -1: not there
};
struct kp_flameview_lines kp_flameview_lines(const struct kp_flameview *view);

// ---- layout ----
void kp_layout_reset(struct kp_flameview *view);
void kp_layout_finish(struct kp_layout *layout);
// Makes rows up to n, as far as there are any; returns how many are there.
int kp_layout_rows(struct kp_flameview *view, int n);
// Spans of a row that is there.
const struct kp_span *kp_layout_row(const struct kp_flameview *view, int row, size_t *ret_n);
// Where a node at or below the zoomed one is drawn, NULL if it is not (even as part of an ellipsis). Makes
// the rows that takes.
const struct kp_span *kp_layout_find(struct kp_flameview *view, uint32_t node);
// Row of a node: 0 is that of the zoomed one.
int kp_layout_row_of(const struct kp_flameview *view, uint32_t node);
bool kp_flameview_is_below(const struct kp_flameview *view, uint32_t node, uint32_t top);

// ---- search ----
void kp_search_init(struct kp_flameview *view);
void kp_search_finish(struct kp_flameview *view);
void kp_search_clear(struct kp_flameview *view);
void kp_search_set(struct kp_flameview *view, const char *text); // "": matches nothing
void kp_search_frame(struct kp_flameview *view, uint32_t frame);
bool kp_search_matches(const struct kp_flameview *view, uint32_t node);
bool kp_search_has(
    const struct kp_flameview *view, const struct kp_span *span); // for an ellipsis: below as well
// The next matching node behind one, or before it, around the end; KP_FLAME_NO_FRAME if there is none.
uint32_t kp_search_next(const struct kp_flameview *view, uint32_t node, bool is_back);
uint32_t kp_search_number(const struct kp_flameview *view, uint32_t node); // 1 is the first
uint32_t kp_search_count(const struct kp_flameview *view);
// Keys while the text is typed.
enum kp_flameview_answer kp_search_key(struct kp_flameview *view, const struct kp_key *key);
void kp_search_begin(struct kp_flameview *view);
// n and N.
void kp_search_go(struct kp_flameview *view, bool is_back);

// ---- table ----
void kp_flametable_show(struct kp_flameview *view);
void kp_flametable_sort(struct kp_flameview *view, enum kp_flametable_order order);
void kp_flametable_move(struct kp_flameview *view, int64_t by);
void kp_flametable_draw(struct kp_flameview *view, struct kp_screen *screen);

// ---- moving (flameview.c) ----
// Selects a node and changes zoom and rows so that it can be seen.
void kp_flameview_select(struct kp_flameview *view, uint32_t node);
void kp_flameview_scroll_to_selected(struct kp_flameview *view);

// ---- drawing ----
// "main.(*Server).handle" of "example.com/shop/main.(*Server).handle" where columns are few.
const char *kp_flameview_label(const char *name, int columns);
void kp_flameview_draw_help(const struct kp_flameview *view, struct kp_screen *screen);

#define KP_TEXT_LINE 512 // a line of text before it is cut to the screen

#endif
