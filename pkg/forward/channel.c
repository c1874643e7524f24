#include "forward/channel.h"

#include <string.h>

#include "base/text.h"
#include "base/banned.h"

static int take_port(
    struct kp_channels *channels, bool last, const uint8_t *data, size_t len, struct kp_error *err)
{
    uint8_t *port = channels->in[channels->channel].port;
    size_t *n = &channels->in[channels->channel].n;
    if (len > 2 - *n || (last && *n + len != 2))
        return kp_fail(err, KP_INVALID, "the first message of channel %d is not a port", channels->channel);
    if (len > 0)
        memcpy(port + *n, data, len);
    *n += len;
    if (!last)
        return 0;
    channels->in[channels->channel].begun = true;
    int told = port[0] | port[1] << 8;
    if (told != channels->port)
        return kp_fail(err, KP_INVALID, "the server forwards to port %d", told);
    return 0;
}

static void keep_error(struct kp_channels *channels, const uint8_t *data, size_t len)
{
    size_t room = KP_CHANNEL_MAX_ERROR - channels->error_len;
    size_t n = len < room ? len : room;
    if (n > 0)
        memcpy(channels->error + channels->error_len, data, n);
    channels->error_len += n;
    channels->error[channels->error_len] = '\0';
}

int kp_channels_take(struct kp_channels *channels, bool first, bool last, const uint8_t *data, size_t len,
    const uint8_t **ret, size_t *ret_len, struct kp_error *err)
{
    *ret_len = 0;
    if (first)
        channels->has_channel = false;
    if (!channels->has_channel && len == 0)
        return last ? kp_fail(err, KP_INVALID, "a message without a channel") : 0;
    if (!channels->has_channel) {
        channels->channel = *data++;
        channels->has_channel = true;
        len--;
    }
    if (channels->channel > KP_CHANNEL_ERROR)
        return kp_fail(err, KP_INVALID, "a message of channel %d, which is not there", channels->channel);
    if (!channels->in[channels->channel].begun)
        return take_port(channels, last, data, len, err);
    if (channels->channel == KP_CHANNEL_ERROR) {
        keep_error(channels, data, len);
        return 0;
    }
    *ret = data;
    *ret_len = len;
    return 0;
}

void kp_channels_failure(const struct kp_channels *channels, struct kp_error *err)
{
    enum { SHOWN = 140 };
    char text[SHOWN + 1];
    if (channels->error_len == 0)
        return;
    if (strstr(channels->error, "connection refused") != NULL) {
        kp_fail(err, KP_NETWORK,
            "nothing listens there: connection refused in the pod's network namespace, on 127.0.0.1 and ::1");
        return;
    }
    // kubelets put the cause last, behind long names of the sandbox
    size_t skip = channels->error_len > SHOWN - 4 ? channels->error_len - (SHOWN - 4) : 0;
    kp_printable(text, sizeof text, channels->error + skip, channels->error_len - skip);
    kp_fail(err, KP_UNAVAILABLE, "%s%s", skip > 0 ? "..." : "", text);
}
