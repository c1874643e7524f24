// A flame graph that people walk through on a terminal: keys and sizes in, a drawn screen out. Pure; see
// flameview_run.h for what joins it to a terminal.
//
// The root is on top. A row of cells is divided among the callees of the frame above, the heaviest left;
// those narrower than a cell share one "…". The table lists what is in the graph by function (or what the
// graph was made by): flat and cum are those of `top`, unless nodes were cut.
#ifndef KP_CLI_FLAMEVIEW_H
#define KP_CLI_FLAMEVIEW_H

#include "cli/keys.h"
#include "cli/screen.h"
#include "report/report.h"

struct kp_flameview;

enum kp_flameview_answer {
    KP_FLAMEVIEW_NOTHING, // nothing changed
    KP_FLAMEVIEW_DRAW,
    KP_FLAMEVIEW_QUIT,
};

// flame has to outlive the view. has_colors: false draws borders between frames instead.
struct kp_flameview *kp_flameview_create(const struct kp_flame *flame, const char *title, bool has_colors);
void kp_flameview_destroy(struct kp_flameview *view); // NULL is fine
// To be called before the first key and drawing. Any size.
void kp_flameview_resize(struct kp_flameview *view, int width, int height);
enum kp_flameview_answer kp_flameview_key(struct kp_flameview *view, const struct kp_key *key);
void kp_flameview_draw(struct kp_flameview *view, struct kp_screen *screen); // of the same size

#endif
