// Opening the registry's data folder, or waiting until it can be.
#ifndef KP_CONTROLLER_REGISTRY_WAIT_H
#define KP_CONTROLLER_REGISTRY_WAIT_H

#include "store/store.h"

// What keeps a folder from being opened may pass: another process holds it, its disk is full, read-only or
// gone, a newer program wrote it and is to come back. Until then /healthz, /readyz, which says why, and
// /metrics are served on `listen`; with "" nothing waits, and the error is returned. KP_CANCELED: asked to
// end.
KP_MUST_CHECK int kp_registry_open_store(
    const struct kp_store_options *options, const char *listen, struct kp_store **ret, struct kp_error *err);

#endif
