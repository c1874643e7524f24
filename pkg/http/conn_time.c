// Time on a connection: deadlines of the wall clock, minimum rates, a client that leaves while it is being
// answered.
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "http/private.h"
#include "base/banned.h"

void kp_conn_enter(struct kp_conn *conn, enum kp_conn_state state)
{
    const struct kp_http_server_options *options = &conn->server->options;
    int64_t now = kp_loop_mono_ms(conn->server->loop), body_ms;
    conn->state = state;
    conn->deadline_ms = 0;
    switch (state) {
    case CONN_IDLE:
        conn->deadline_ms = now + options->idle_timeout_ms;
        break;
    case CONN_HEAD:
        conn->deadline_ms = now + options->header_timeout_ms;
        break;
    case CONN_BODY:
        body_ms = conn->x->match.route->body_timeout_ms;
        conn->deadline_ms = now + (body_ms > 0 ? body_ms : 60000);
        conn->body_since_ms = conn->in_window_ms = now;
        conn->in_window = 0;
        break;
    case CONN_LINGER:
        conn->deadline_ms = now + KP_HTTP_LINGER_MS;
        conn->lingered = 0;
        break;
    case CONN_GATE:
    case CONN_ANSWER:
    case CONN_DEAD:
        break;
    }
}

// ---- rates ----

static bool body_is_too_slow(struct kp_conn *conn, int64_t now)
{
    if (conn->paused) { // our fault, not the client's
        int64_t waited = now - conn->in_window_ms;
        conn->deadline_ms += waited;
        conn->in_window_ms = now;
        conn->in_window = 0;
        return false;
    }
    if (now - conn->in_window_ms < KP_HTTP_RATE_GRACE)
        return false;
    bool slow = conn->in_window < conn->server->options.min_rate_bytes_per_s * KP_HTTP_RATE_GRACE / 1000;
    conn->in_window_ms = now;
    conn->in_window = 0;
    return slow;
}

// Bytes the client's side has acknowledged: what merely fills the kernel's buffer is no progress.
static uint64_t bytes_left_for_good(const struct kp_conn *conn)
{
    int queued = 0;
    if (ioctl(lws_get_socket_fd(conn->wsi), SIOCOUTQ, &queued) != 0)
        queued = 0;
    return conn->sent_total > (uint64_t)queued ? conn->sent_total - (uint64_t)queued : 0;
}

static bool reader_is_too_slow(struct kp_conn *conn, int64_t now)
{
    if (conn->unsent == 0 && !lws_partial_buffered(conn->wsi)) {
        conn->out_window_ms = 0;
        return false;
    }
    uint64_t gone = bytes_left_for_good(conn);
    if (conn->out_window_ms == 0) {
        conn->out_window_ms = now;
        conn->out_window_start = gone;
        return false;
    }
    if (now - conn->out_window_ms < KP_HTTP_RATE_GRACE)
        return false;
    int64_t moved = (int64_t)(gone - conn->out_window_start);
    conn->out_window_ms = now;
    conn->out_window_start = gone;
    return moved < conn->server->options.min_rate_bytes_per_s * KP_HTTP_RATE_GRACE / 1000;
}

// ---- the client's side ----

// While a request is answered nothing is read, so its end has to be looked for.
static bool client_has_left(struct kp_conn *conn, int64_t now)
{
    struct pollfd fd = {.fd = lws_get_socket_fd(conn->wsi), .events = POLLRDHUP};
    if (poll(&fd, 1, 0) <= 0)
        return false;
    if ((fd.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0)
        return true;
    if (conn->half_open_ms == 0)
        conn->half_open_ms = now;
    bool is_stream = conn->x != NULL && conn->x->streaming;
    return now - conn->half_open_ms >= (is_stream ? 0 : KP_HTTP_HALF_OPEN_MS) && conn->unsent == 0;
}

static void too_late(struct kp_conn *conn)
{
    if (conn->state == CONN_HEAD || conn->state == CONN_BODY) {
        if (conn->x == NULL)
            conn->x = kp_exchange_create(conn);
        kp_reply_early(conn->x, 408, "the request did not come in whole in time");
    } else {
        kp_conn_kill(conn);
    }
}

void kp_conn_tick(struct kp_conn *conn, int64_t now)
{
    bool is_answering = conn->state == CONN_GATE || conn->state == CONN_ANSWER;
    if (conn->state == CONN_DEAD || conn->wsi == NULL)
        return;
    if (conn->doomed || reader_is_too_slow(conn, now) || (is_answering && client_has_left(conn, now)))
        kp_conn_kill(conn);
    else if (conn->state == CONN_BODY && body_is_too_slow(conn, now))
        too_late(conn);
    else if (conn->deadline_ms != 0 && now >= conn->deadline_ms)
        too_late(conn);
}
