#include "base/outcome.h"

#include <string.h>

#include "base/banned.h"

static const struct kp_outcome_info infos[KP_OUTCOME_COUNT] = {
    [KP_OUTCOME_NONE] = {"None", KP_CLASS_NONE, "no capture was attempted yet"},
    [KP_OUTCOME_SUCCEEDED] = {"Succeeded", KP_CLASS_SUCCEEDED, "nothing to do"},
    [KP_OUTCOME_BUSY] = {"Busy", KP_CLASS_SKIPPED,
        "another profiler holds the CPU profile or trace of this process; it will be tried again at the next "
        "slot"},
    [KP_OUTCOME_CONTENDED] = {"Contended", KP_CLASS_SKIPPED,
        "another profiler holds it all the time; switch that one off or drop the type from the policy (asked "
        "hourly now)"},
    [KP_OUTCOME_THROTTLED] = {"Throttled", KP_CLASS_SKIPPED,
        "the capture did not fit the budget; lengthen intervals, sample fewer pods or raise the controller's "
        "limits"},
    [KP_OUTCOME_POD_GONE] = {"PodGone", KP_CLASS_SKIPPED,
        "the pod or its container was replaced during the capture; nothing to do"},
    [KP_OUTCOME_CANCELLED] = {"Cancelled", KP_CLASS_SKIPPED,
        "the policy changed or the controller stopped; nothing to do"},
    [KP_OUTCOME_NOT_SERVED] = {"NotServed", KP_CLASS_SKIPPED,
        "the program answers 404 for this profile; check the path, or drop the type from the policy"},
    [KP_OUTCOME_EMPTY] = {"Empty", KP_CLASS_SKIPPED,
        "the profile holds no samples; for mutex and block set the rates in the program, or drop the type "
        "from the policy"},
    [KP_OUTCOME_UNREACHABLE] = {"Unreachable", KP_CLASS_FAILED,
        "no connection to the port; check that the program listens on the pod's address (not on 127.0.0.1) "
        "and that a "
        "NetworkPolicy lets the controller in"},
    [KP_OUTCOME_TIMEOUT] = {"Timeout", KP_CLASS_FAILED,
        "no whole answer in time; check that the program is alive and that no proxy in between cuts long "
        "requests"},
    [KP_OUTCOME_HTTP_ERROR] = {"HTTPError", KP_CLASS_FAILED,
        "the program answered with an error status; ask for the same path by hand and look at its answer"},
    [KP_OUTCOME_NOT_PPROF] = {"NotPprof", KP_CLASS_FAILED,
        "the answer is not a pprof profile; check port and path: something else answers there"},
    [KP_OUTCOME_INVALID] = {"Invalid", KP_CLASS_FAILED,
        "the registry refused the profile as broken; check the program's profiling library"},
    [KP_OUTCOME_TOO_LARGE] = {"TooLarge", KP_CLASS_FAILED,
        "the profile is larger than allowed; raise budget.profileBytes or the platform's limit"},
    [KP_OUTCOME_DENIED] = {"Denied", KP_CLASS_FAILED,
        "the endpoint wants credentials (401 or 403); set endpoints[].authorization in the policy"},
    [KP_OUTCOME_TLS_ERROR] = {"TLSError", KP_CLASS_FAILED,
        "the TLS handshake failed; set endpoints[].tls (ca, serverName) in the policy, or scheme HTTP"},
    [KP_OUTCOME_REFUSED] = {"Refused", KP_CLASS_FAILED,
        "the address, path or credential is not allowed here, so nothing was sent; see the message"},
    [KP_OUTCOME_UNDELIVERED] = {"Undelivered", KP_CLASS_FAILED,
        "the registry was away for so long that the spool was full; see to the registry"},
    [KP_OUTCOME_STORE_FULL] = {"StoreFull", KP_CLASS_FAILED,
        "the registry's store is full; give it more space or shorten the retention"},
};

const struct kp_outcome_info *kp_outcome_info(enum kp_outcome outcome)
{
    return (unsigned)outcome < KP_OUTCOME_COUNT ? &infos[outcome] : &infos[KP_OUTCOME_NONE];
}

bool kp_outcome_parse(const char *name, enum kp_outcome *ret)
{
    for (int i = 0; i < KP_OUTCOME_COUNT; i++) {
        if (strcmp(infos[i].name, name) == 0) {
            *ret = (enum kp_outcome)i;
            return true;
        }
    }
    return false;
}
