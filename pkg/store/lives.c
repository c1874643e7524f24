#include "store/lives.h"

#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

#define FIRST_ROWS 256

void kp_lives_begin_life(struct kp_lives *lives)
{
    lives->this_life++; // rows of another life count as 0
}

static void make_room(struct kp_lives *lives, uint32_t row)
{
    uint32_t old = lives->cap;
    uint32_t cap = old == 0 ? FIRST_ROWS : old;
    while (cap <= row)
        cap *= 2;
    size_t size = (lives->n_types > 0 ? lives->n_types : 1) * sizeof(double);
    lives->before = kp_grow(lives->before, cap, size);
    lives->now = kp_grow(lives->now, cap, size);
    lives->life = kp_grow(lives->life, cap, sizeof *lives->life);
    lives->touched = kp_grow(lives->touched, cap, sizeof *lives->touched);
    lives->is_touched = kp_grow(lives->is_touched, cap, sizeof *lives->is_touched);
    memset(lives->life + old, 0, (cap - old) * sizeof *lives->life);
    memset(lives->is_touched + old, 0, (cap - old) * sizeof *lives->is_touched);
    lives->cap = cap;
}

double *kp_lives_at(struct kp_lives *lives, uint32_t row)
{
    if (row >= lives->cap)
        make_room(lives, row);
    double *now = lives->now + (size_t)row * lives->n_types;
    if (!lives->is_touched[row]) {
        lives->is_touched[row] = true;
        lives->touched[lives->n_touched++] = row;
        memset(now, 0, lives->n_types * sizeof *now);
    }
    return now;
}

void kp_lives_end_capture(
    struct kp_lives *lives, void (*each)(void *user, uint32_t row, const double *grown), void *user)
{
    for (uint32_t i = 0; i < lives->n_touched; i++) {
        uint32_t row = lives->touched[i];
        double *now = lives->now + (size_t)row * lives->n_types;
        double *before = lives->before + (size_t)row * lives->n_types;
        bool is_known = lives->life[row] == lives->this_life;
        for (uint32_t t = 0; t < lives->n_types; t++) {
            double value = now[t];
            if (is_known && value >= before[t])
                now[t] = value - before[t];
            before[t] = value;
        }
        lives->life[row] = lives->this_life;
        lives->is_touched[row] = false;
        if (each)
            each(user, row, now);
    }
    lives->n_touched = 0;
}

size_t kp_lives_bytes(const struct kp_lives *lives)
{
    size_t row = 2 * lives->n_types * sizeof(double) + sizeof *lives->life + sizeof *lives->touched +
                 sizeof *lives->is_touched;
    return lives->cap * row;
}

void kp_lives_finish(struct kp_lives *lives)
{
    kp_free(lives->before);
    kp_free(lives->now);
    kp_free(lives->life);
    kp_free(lives->touched);
    kp_free(lives->is_touched);
    *lives = (struct kp_lives){0};
}
