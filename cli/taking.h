// One process being captured by hand: its profiles one after the other (a CPU profile is not disturbed by the
// others), each into a file that appears whole or not at all.
#ifndef KP_CLI_TAKING_H
#define KP_CLI_TAKING_H

#include "base/array.h"
#include "cli/reach.h"
#include "target/target.h"

struct kp_taking;

struct kp_taking_options {
    const struct kp_target *target; // referenced
    const char *dir;                // where the files go; it is there
    const char *socket_dir;         // private, for port-forward
    enum kp_reach_via via;
    const char *prefix;    // see reach.h
    bool with_credentials; // see reach.h
    int64_t duration_ms;   // of what takes time; 0 = as is usual for the type
    // A file is complete. Its path is borrowed.
    void (*on_file)(void *user, struct kp_taking *taking, const char *path, const char *type, uint64_t bytes);
    // One type failed; the others go on. what: "shop/web-1 cpu".
    void (*on_failure)(void *user, const char *what, const struct kp_error *err);
    // All of it is over; the last callback. The taking may be destroyed from here on, not within it.
    void (*on_done)(void *user, struct kp_taking *taking);
    void *user;
};

struct kp_taking *kp_taking_create(struct kp_cli *cli, const struct kp_taking_options *options);
void kp_taking_start(struct kp_taking *taking);  // once
void kp_taking_cancel(struct kp_taking *taking); // on_done comes; half files are gone then
void kp_taking_destroy(struct kp_taking *taking);
const struct kp_target *kp_taking_target(const struct kp_taking *taking);
// "web-0 cpu 7s": for the line of progress. Empty when nothing runs.
void kp_taking_describe(const struct kp_taking *taking, int64_t now_mono_ms, char out[160]);

#endif
