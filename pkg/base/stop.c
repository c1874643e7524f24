#include "base/stop.h"

#include <stddef.h>

#include "base/clock.h"
#include "base/banned.h"

int kp_stop_check(const struct kp_stop *stop, struct kp_error *err)
{
    if (stop == NULL)
        return 0;
    if (stop->cancelled && __atomic_load_n(stop->cancelled, __ATOMIC_RELAXED) != 0)
        return kp_fail(err, KP_CANCELED, "the answer is not waited for any more");
    if (stop->deadline_ms != 0 && kp_mono_ms() >= stop->deadline_ms)
        return kp_fail(err, KP_TIMEOUT,
            "the answer takes longer than it may: ask for less time, fewer pods or one service, with simpler "
            "expressions, or for a longer timeout");
    return 0;
}
