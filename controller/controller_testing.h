// For the tests of the controller: their peers listen on loopback, which is never scraped otherwise.
#ifndef KP_CONTROLLER_CONTROLLER_TESTING_H
#define KP_CONTROLLER_CONTROLLER_TESTING_H

#include "controller/controller.h"

struct kp_capturer *kp_controller_capturer(struct kp_controller *controller);

#endif
