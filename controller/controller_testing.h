// For the tests of the controller: their peers listen on loopback, which is never scraped otherwise, and they
// stop it when nothing is on its way to the API server.
#ifndef KP_CONTROLLER_CONTROLLER_TESTING_H
#define KP_CONTROLLER_CONTROLLER_TESTING_H

#include "controller/controller.h"

struct kp_controller_parts {
    struct kp_capturer *capturer;
    struct kp_kube *kube;
};

struct kp_controller_parts kp_controller_parts(const struct kp_controller *controller);

#endif
