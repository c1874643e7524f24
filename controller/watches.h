// The watches of the controller: policies, pods, namespaces; one set per watched namespace or one for the
// cluster. They feed the inventory and tell when every cache is complete.
#ifndef KP_CONTROLLER_WATCHES_H
#define KP_CONTROLLER_WATCHES_H

#include <stdbool.h>
#include <stdint.h>

#include "controller/inventory.h"
#include "kube/reflector.h"
#include "status/status.h"

struct kp_watches;

struct kp_watches_options {
    struct kp_kube *kube;
    struct kp_inventory *inventory;
    struct kp_statuses *statuses;
    struct kp_metrics *metrics;
    const char *const *namespaces; // as in kp_controller_config
    bool cluster_policies;
    void (*on_synced)(void *user);                        // every cache is complete, once
    void (*on_change)(void *user, const char *namespace); // something changed; namespace may be NULL
    // NULL = not told. created: as the API server says it, NULL when the namespace is gone.
    void (*on_namespace)(void *user, const char *name, const char *created);
    void *user;
};

struct kp_watches *kp_watches_create(const struct kp_watches_options *options);
void kp_watches_start(struct kp_watches *watches);
void kp_watches_destroy(struct kp_watches *watches);

bool kp_watches_synced(const struct kp_watches *watches, const char **ret_why_not);
// What keeps a cache from becoming complete, a sentence, borrowed until the next call; NULL = nothing, those
// that are not complete are being read.
const char *kp_watches_hindrance(const struct kp_watches *watches);
// What keeps a watch whose cache was complete from being in step, a sentence, borrowed until the next call;
// NULL = nothing.
const char *kp_watches_trouble(const struct kp_watches *watches);
// The same for a policy's status: of the watches that matter to it, and only what people have to mend or what
// has lasted. That nobody answers is not told: a status cannot be written then, and must not say afterwards
// what is over.
const char *kp_watches_trouble_of(const struct kp_watches *watches, const char *policy_key);
// When the watch of pods last delivered something, monotonic: the oldest over all of them.
int64_t kp_watches_pods_mono_ms(const struct kp_watches *watches);
// Has it deliver something soon, also where nothing happens.
void kp_watches_ask_pods(struct kp_watches *watches);

#endif
