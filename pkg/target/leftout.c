#include "target/target.h"

#include "base/banned.h"

static const struct kp_leftout_info infos[KP_LEFTOUT_COUNT] = {
    [KP_LEFTOUT_NONE] = {"None", false},
    [KP_LEFTOUT_OPTED_OUT] = {"OptedOut", false},
    [KP_LEFTOUT_NOT_OPTED_IN] = {"NotOptedIn", false},
    [KP_LEFTOUT_NO_ENDPOINT] = {"NoEndpoint", true},
    [KP_LEFTOUT_CONTAINER_NOT_FOUND] = {"ContainerNotFound", true},
    [KP_LEFTOUT_PORT_NOT_FOUND] = {"PortNotFound", true},
    [KP_LEFTOUT_BAD_ANNOTATION] = {"BadAnnotation", true},
    [KP_LEFTOUT_NOT_RUNNING] = {"NotRunning", true},
    [KP_LEFTOUT_NOT_READY] = {"NotReady", true},
    [KP_LEFTOUT_TERMINATING] = {"Terminating", false},
    [KP_LEFTOUT_FINISHED] = {"Finished", false},
    [KP_LEFTOUT_HOST_NETWORK] = {"HostNetwork", true},
    [KP_LEFTOUT_PATH_NOT_ALLOWED] = {"PathNotAllowed", true},
    [KP_LEFTOUT_NO_ADDRESS] = {"NoAddress", true},
    [KP_LEFTOUT_ADDRESS_CONFLICT] = {"AddressConflict", true},
};

const struct kp_leftout_info *kp_leftout_info(enum kp_leftout reason)
{
    return (unsigned)reason < KP_LEFTOUT_COUNT ? &infos[reason] : &infos[KP_LEFTOUT_NONE];
}
