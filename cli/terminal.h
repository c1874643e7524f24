// The terminal of this process: whether it can be used, how large it is, and taking it over for a while.
#ifndef KP_CLI_TERMINAL_H
#define KP_CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "cli/screen.h"

// Whether the file is a terminal that a program can draw on (TERM is set, and not "dumb").
bool kp_terminal_is_usable(int fd);

// What the environment says of colours: none with NO_COLOR (no-color.org), with TERM unset, dumb or of
// something without; COLORTERM says truecolor.
enum kp_colors kp_terminal_colors(const char *(*env)(const char *name));

// Columns and rows; 80 x 24 where the terminal does not know.
void kp_terminal_size(int fd, int *ret_width, int *ret_height);

// Takes it over: no echo, every key at once, the alternate screen, clicks are told. There is one at a time.
// However the process ends but by SIGKILL, or is stopped (Ctrl-Z), the terminal is given back as it was
// before. Handlers of SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGCONT and SIGWINCH are replaced until
// kp_terminal_leave().
KP_MUST_CHECK int kp_terminal_enter(int in_fd, int out_fd, struct kp_error *err);
void kp_terminal_leave(void); // fine when it was not entered

// Readable when a signal came.
int kp_terminal_signal_fd(void);
// The next of them; 0: no more.
int kp_terminal_next_signal(void);
// Whether it is taken over: not when this process was continued in the background. Then nothing must be
// drawn.
bool kp_terminal_is_entered(void);
// After SIGTSTP: gives the terminal back, stops, and takes it over again when continued.
void kp_terminal_suspend(void);
// After SIGCONT: somebody else may have used it.
void kp_terminal_reenter(void);
// All of it; KP_NETWORK if the terminal is gone.
KP_MUST_CHECK int kp_terminal_write(const char *bytes, size_t n, struct kp_error *err);

#endif
