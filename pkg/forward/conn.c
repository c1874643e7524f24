// One connection: a client of the Unix socket on one side, a WebSocket on the other, a buffer for each
// direction. pump() moves what can be moved and says what to wait for; everything else sets a flag and pumps.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/text.h"
#include "forward/channel.h"
#include "forward/forward_private.h"
#include "forward/frame.h"
#include "forward/handshake.h"
#include "kube/upgrade.h"
#include "base/banned.h"

enum {
    BLOCK = 16 * 1024,
    MAX_ROUNDS = 16, // then the other objects of the loop have their turn
    MAX_SILENCES = 3,
};

enum conn_state {
    CONN_ASKING,   // for the WebSocket
    CONN_OPEN,     // bytes move
    CONN_DRAINING, // the server's side is over: what it sent goes to the client
    CONN_ENDED,    // to be freed
};

struct kp_forward_conn {
    struct kp_forward *forward;
    struct kp_list node;
    enum conn_state state;
    // the client
    int fd;
    struct kp_watch *watch;
    bool client_done; // sends nothing more
    // the server
    struct kp_kube_upgrade *upgrade; // NULL = gone
    struct kp_handshake handshake;
    struct kp_frames frames;
    struct kp_channels channels;
    struct kp_error failure;
    bool broken; // nothing can be sent any more
    // towards the server: one frame at a time, at the same address until it is out
    uint8_t up[KP_FRAME_MAX_HEAD + 1 + BLOCK];
    size_t up_len, up_at;
    bool pong_due, ping_due;
    uint8_t pong[KP_FRAME_MAX_CONTROL];
    size_t pong_len;
    // towards the client
    uint8_t down[BLOCK];
    size_t down_len, down_at;
    struct kp_timer *again, *quiet;
    bool heard; // since the last tick of quiet
    int silences;
};

// ---- states ----

static void enter_open(struct kp_forward_conn *conn)
{
    conn->state = CONN_OPEN;
    kp_timer_start(conn->quiet, conn->forward->ping_ms, conn->forward->ping_ms);
}

// The server's side is over, failed or not.
static void enter_draining(struct kp_forward_conn *conn)
{
    if (conn->state >= CONN_DRAINING)
        return;
    conn->state = CONN_DRAINING;
    kp_timer_stop(conn->quiet);
    kp_channels_failure(&conn->channels, &conn->failure);
    if (conn->failure.code != 0)
        kp_forward_failed(conn->forward, &conn->failure);
}

// ---- frames for the server ----

static void put_frame(struct kp_forward_conn *conn, enum kp_opcode opcode, size_t len)
{
    // the payload lies behind room for the longest head: move the head up to it
    uint8_t head[KP_FRAME_MAX_HEAD], mask[4] = {0};
    if (getrandom(mask, sizeof mask, 0) != sizeof mask) {
        kp_fail(&conn->failure, KP_INTERNAL, "no random numbers");
        enter_draining(conn);
        return;
    }
    size_t n = kp_frame_head(opcode, len, mask, head);
    kp_frame_mask(conn->up + KP_FRAME_MAX_HEAD, len, mask);
    memcpy(conn->up + KP_FRAME_MAX_HEAD - n, head, n);
    conn->up_at = KP_FRAME_MAX_HEAD - n;
    conn->up_len = KP_FRAME_MAX_HEAD + len;
}

static void put_pong(struct kp_forward_conn *conn)
{
    conn->pong_due = false;
    memcpy(conn->up + KP_FRAME_MAX_HEAD, conn->pong, conn->pong_len);
    put_frame(conn, KP_OP_PONG, conn->pong_len);
}

static void put_data(struct kp_forward_conn *conn)
{
    uint8_t *payload = conn->up + KP_FRAME_MAX_HEAD;
    ssize_t n = recv(conn->fd, payload + 1, BLOCK, 0);
    if (n > 0) {
        payload[0] = KP_CHANNEL_DATA;
        put_frame(conn, KP_OP_BINARY, (size_t)n + 1);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        conn->client_done = true;
    }
}

static void say_goodbye(struct kp_forward_conn *conn)
{
    unsigned code = conn->failure.code == KP_INVALID ? 1002 : 1000;
    if (conn->upgrade == NULL || conn->broken || conn->state == CONN_ASKING || conn->up_at < conn->up_len)
        return;
    conn->up[KP_FRAME_MAX_HEAD] = (uint8_t)(code >> 8);
    conn->up[KP_FRAME_MAX_HEAD + 1] = (uint8_t)code;
    put_frame(conn, KP_OP_CLOSE, 2);
    // once, as far as it goes: nobody waits for it
    if (kp_http_write(kp_kube_upgrade_connection(conn->upgrade), conn->up + conn->up_at,
            conn->up_len - conn->up_at, NULL) < 0)
        conn->broken = true;
}

// ---- frames of the server ----

static void take_data(struct kp_forward_conn *conn)
{
    const uint8_t *data = NULL;
    size_t len = 0;
    if (kp_channels_take(&conn->channels, conn->frames.first, conn->frames.last, conn->frames.data,
            conn->frames.data_len, &data, &len, &conn->failure) != 0) {
        enter_draining(conn);
        return;
    }
    if (len > 0)
        memcpy(conn->down + conn->down_len, data, len); // never more than was read, which is BLOCK
    conn->down_len += len;
}

static void take_control(struct kp_forward_conn *conn)
{
    if (conn->frames.opcode != KP_OP_PING)
        return;
    // only the last of several has to be answered (RFC 6455 5.5.3)
    conn->pong_due = true;
    conn->pong_len = conn->frames.control_len;
    memcpy(conn->pong, conn->frames.control, conn->pong_len);
}

static void take_close(struct kp_forward_conn *conn)
{
    char shown[100];
    unsigned code = conn->frames.close_code;
    kp_channels_failure(&conn->channels, &conn->failure);
    if (code != 0 && code != 1000)
        kp_fail(&conn->failure, KP_UNAVAILABLE, "the server closed the connection with code %u%s%s", code,
            conn->frames.control_len > 0 ? ": " : "",
            kp_printable(shown, sizeof shown, (const char *)conn->frames.control, conn->frames.control_len));
    enter_draining(conn);
}

static void take_bytes(struct kp_forward_conn *conn, const uint8_t *data, size_t len)
{
    size_t at = 0;
    enum kp_frame_event event = KP_FRAME_DATA;
    while (event != KP_FRAME_MORE && conn->state == CONN_OPEN) {
        at += kp_frames_feed(&conn->frames, data + at, len - at, &event);
        switch (event) {
        case KP_FRAME_DATA:
            take_data(conn);
            break;
        case KP_FRAME_CONTROL:
            take_control(conn);
            break;
        case KP_FRAME_CLOSE:
            take_close(conn);
            break;
        case KP_FRAME_FAILED:
            kp_fail(
                &conn->failure, KP_INVALID, "the server broke the WebSocket protocol: %s", conn->frames.why);
            enter_draining(conn);
            break;
        case KP_FRAME_MORE:
            break;
        }
    }
}

// ---- moving ----

static void broke(struct kp_forward_conn *conn)
{
    conn->broken = true;
    enter_draining(conn);
}

static bool move_up(struct kp_forward_conn *conn)
{
    if (conn->state != CONN_OPEN)
        return false;
    if (conn->up_at == conn->up_len) {
        if (conn->pong_due) {
            put_pong(conn);
        } else if (conn->ping_due) {
            conn->ping_due = false;
            put_frame(conn, KP_OP_PING, 0);
        } else if (!conn->client_done) {
            put_data(conn);
        }
    }
    if (conn->up_at == conn->up_len) {
        if (conn->client_done)
            conn->state = CONN_ENDED;
        return false;
    }
    int n = kp_http_write(kp_kube_upgrade_connection(conn->upgrade), conn->up + conn->up_at,
        conn->up_len - conn->up_at, &conn->failure);
    if (n == KP_THROTTLED)
        return false;
    if (n < 0) {
        // the server's last words, among them why it hung up, may still be there to be read
        conn->broken = true;
        return false;
    }
    conn->up_at += (size_t)n;
    return true;
}

static bool give_client(struct kp_forward_conn *conn)
{
    ssize_t n = send(conn->fd, conn->down + conn->down_at, conn->down_len - conn->down_at, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n < 0) {
        conn->client_done = true;
        conn->state = CONN_ENDED;
        return false;
    }
    conn->down_at += (size_t)n;
    return true;
}

static bool move_down(struct kp_forward_conn *conn)
{
    uint8_t bytes[BLOCK];
    if (conn->down_at < conn->down_len)
        return give_client(conn);
    if (conn->state == CONN_DRAINING)
        conn->state = CONN_ENDED;
    if (conn->state != CONN_OPEN)
        return false;
    conn->down_at = conn->down_len = 0;
    int n = kp_http_read(kp_kube_upgrade_connection(conn->upgrade), bytes, sizeof bytes, &conn->failure);
    if (n == KP_THROTTLED)
        return false;
    if (n > 0) {
        conn->heard = true;
        take_bytes(conn, bytes, (size_t)n);
        return true;
    }
    kp_channels_failure(&conn->channels, &conn->failure);
    if (n == 0)
        kp_fail(&conn->failure, KP_NETWORK, "the server hung up in the middle");
    broke(conn);
    return true;
}

static void wait_for_more(struct kp_forward_conn *conn)
{
    bool open = conn->state == CONN_OPEN;
    bool up = conn->up_at < conn->up_len, down = conn->down_at < conn->down_len;
    if (open)
        kp_http_want(kp_kube_upgrade_connection(conn->upgrade), !down, up && !conn->broken);
    else if (conn->upgrade != NULL && conn->state == CONN_DRAINING)
        kp_http_want(kp_kube_upgrade_connection(conn->upgrade), false, false);
    kp_watch_set(conn->watch, open && !up && !conn->client_done, down);
}

static void pump(struct kp_forward_conn *conn)
{
    bool moved = true;
    for (int i = 0; i < MAX_ROUNDS && moved && conn->state != CONN_ENDED; i++) {
        moved = !conn->broken && move_up(conn);
        moved |= conn->state != CONN_ENDED && move_down(conn);
    }
    if (conn->state == CONN_ENDED) {
        kp_forward_conn_end(conn);
        return;
    }
    wait_for_more(conn);
    if (moved)
        kp_timer_start(conn->again, 0, 0);
}

// ---- what happens ----

static void on_ready(void *user)
{
    pump(user);
}

static void on_header(void *user, const char *name, const char *value)
{
    struct kp_forward_conn *conn = user;
    kp_handshake_header(&conn->handshake, name, value);
}

static void on_upgraded(void *user)
{
    struct kp_forward_conn *conn = user;
    if (kp_handshake_check(&conn->handshake, &conn->failure) != 0)
        enter_draining(conn);
    else
        enter_open(conn);
    pump(conn);
}

// API servers from 1.35 on ask for a second verb, and leave out what is missing when it is that one: 'pods
// "web-0" is forbidden: '.
static void say_verbs(struct kp_error *err)
{
    size_t len = strlen(err->text);
    if (err->http_status != 403 || strstr(err->text, "pods/portforward") != NULL)
        return;
    while (len > 0 && strchr(": ", err->text[len - 1]) != NULL)
        err->text[--len] = '\0';
    kp_wrap(err, "needs get and create on pods/portforward");
}

static void on_failed(void *user, const struct kp_error *err)
{
    struct kp_forward_conn *conn = user;
    conn->upgrade = NULL;
    if (conn->failure.code == 0)
        conn->failure = *err;
    say_verbs(&conn->failure);
    broke(conn);
    pump(conn);
}

// Bytes the client does not take keep us from hearing the server: that is no silence of its.
static void on_quiet(void *user)
{
    struct kp_forward_conn *conn = user;
    bool listens = conn->down_at == conn->down_len;
    conn->silences = conn->heard || !listens ? 0 : conn->silences + 1;
    conn->heard = false;
    if (conn->silences > MAX_SILENCES) {
        kp_fail(&conn->failure, KP_TIMEOUT, "the server was silent for %lld s and answers no ping",
            (long long)(conn->forward->ping_ms * conn->silences / 1000));
        broke(conn);
    } else if (conn->silences > 0) {
        conn->ping_due = true;
    }
    pump(conn);
}

// ---- beginning and end ----

static int ask(struct kp_forward_conn *conn, struct kp_error *err)
{
    unsigned char key[16];
    if (getrandom(key, sizeof key, 0) != sizeof key)
        return kp_fail(err, KP_INTERNAL, "no random numbers");
    kp_handshake_init(&conn->handshake, key);
    const char *const headers[] = {
        conn->handshake.key, conn->handshake.version, conn->handshake.protocol, NULL};
    return kp_kube_upgrade_start(conn->forward->kube,
        &(struct kp_kube_upgrade_request){
            .path = conn->forward->path,
            .protocol = "websocket",
            .headers = headers,
            .timeout_ms = conn->forward->connect_timeout_ms,
            .on_header = on_header,
            .on_upgraded = on_upgraded,
            .on_ready = on_ready,
            .on_failed = on_failed,
            .user = conn,
        },
        &conn->upgrade, err);
}

void kp_forward_conn_start(struct kp_forward *forward, int fd)
{
    struct kp_forward_conn *conn = KP_NEW(struct kp_forward_conn);
    conn->forward = forward;
    conn->fd = fd;
    conn->channels.port = forward->port;
    conn->again = kp_timer_create(forward->loop, on_ready, conn);
    conn->quiet = kp_timer_create(forward->loop, on_quiet, conn);
    kp_list_append(&forward->conns, &conn->node);
    conn->watch = kp_watch_create(forward->loop, fd, on_ready, conn);
    if (conn->watch == NULL)
        kp_fail(&conn->failure, KP_INTERNAL, "the event loop does not take the connection");
    if (conn->watch != NULL && ask(conn, &conn->failure) == 0)
        return;
    conn->upgrade = NULL;
    enter_draining(conn);
    kp_forward_conn_end(conn);
}

void kp_forward_conn_end(struct kp_forward_conn *conn)
{
    struct kp_forward *forward = conn->forward;
    say_goodbye(conn);
    kp_kube_upgrade_close(conn->upgrade);
    kp_watch_destroy(conn->watch);
    close(conn->fd);
    kp_timer_destroy(conn->again);
    kp_timer_destroy(conn->quiet);
    kp_list_remove(&conn->node);
    kp_free(conn);
    kp_forward_conn_ended(forward);
}

struct kp_forward_conn *kp_forward_conn_first(struct kp_forward *forward)
{
    return kp_list_empty(&forward->conns)
               ? NULL
               : kp_container_of(forward->conns.next, struct kp_forward_conn, node);
}
