// Runs an exec plugin once, in a job: its output is bounded, and so is its time unless it may talk to
// somebody at the terminal. Internal to kube.
#ifndef KP_KUBE_PLUGIN_H
#define KP_KUBE_PLUGIN_H

#include "aio/loop.h"
#include "kube/exec_credential.h"

struct kp_plugin_run;

// credential: may be emptied by the receiver; the rest is freed afterwards. err: NULL on success.
typedef void (*kp_plugin_done_fn)(
    void *user, struct kp_exec_credential *credential, const struct kp_error *err);

// terminal: stdin is one. The plugin has it then unless interactiveMode is Never, and /dev/null otherwise;
// its stderr is ours. Never calls back from inside.
struct kp_plugin_run *kp_plugin_start(struct kp_loop *loop, const struct kp_kube_exec *exec, bool terminal,
    kp_plugin_done_fn on_done, void *user);
// Ends the plugin; on_done does not come any more. The loop ends what is left.
void kp_plugin_abandon(struct kp_plugin_run *run);

#endif
