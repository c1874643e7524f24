// Counters that run since a process began: what they grew by from one capture of a life to the next. A
// decrease is a reset, after which the new value counts; a stack that is not there is unchanged. Private to
// this module.
#ifndef KP_STORE_LIVES_H
#define KP_STORE_LIVES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The captures of one life after the other, and of a life by time.
struct kp_lives {
    uint32_t n_types;
    // private, by row
    uint32_t cap;
    double *before, *now; // in the capture before, in this one; n_types each
    uint32_t *life;       // for which `before` is known
    uint32_t *touched, n_touched;
    bool *is_touched;
    uint32_t this_life;
};

void kp_lives_begin_life(struct kp_lives *lives);
// One capture: values of its rows (a row may come more than once), then end, which turns the values of each
// row touched into growth, in `now`, in the order of touched.
double *kp_lives_at(struct kp_lives *lives, uint32_t row);
void kp_lives_end_capture(
    struct kp_lives *lives, void (*each)(void *user, uint32_t row, const double *grown), void *user);
size_t kp_lives_bytes(const struct kp_lives *lives);
void kp_lives_finish(struct kp_lives *lives);

#endif
