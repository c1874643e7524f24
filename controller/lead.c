#include "controller/lead.h"

#include "base/log.h"
#include "base/text.h"
#include "base/banned.h"

void kp_lead_tell(const char *identity, const char *holder, bool leads)
{
    bool taken = holder[0] != '\0' && !kp_streq(holder, identity);
    if (leads)
        KP_INFO("this replica leads", KP_S("identity", identity));
    else
        KP_WARN("this replica does not lead any more: it starts nothing, and delivers what it has",
            KP_S("identity", identity), KP_S("holder", holder),
            KP_S("because",
                taken ? "another replica took the Lease"
                      : "the Lease was not renewed in time: the API server could not be reached, or this "
                        "process was stopped for a while"));
}
