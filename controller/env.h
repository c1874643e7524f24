// The environment, which only programs read: to be handed to what asks for it.
#ifndef KP_CONTROLLER_ENV_H
#define KP_CONTROLLER_ENV_H

const char *kp_env(const char *name); // NULL = not set; good for the life of the process

#endif
