// Sending: a queue of blobs, at most 64 KiB of it per turn of the loop.
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "http/private.h"
#include "base/banned.h"

void kp_conn_send(struct kp_conn *conn, struct kp_blob *blob)
{
    if (blob->len == 0 || conn->state == CONN_DEAD || conn->wsi == NULL) {
        kp_blob_unref(blob);
        return;
    }
    *kp_array_add(&conn->out) = (struct kp_out){.blob = blob};
    conn->unsent += blob->len;
    conn->server->unsent += blob->len;
    lws_callback_on_writable(conn->wsi);
}

// Moves up to 64 KiB into the bounce buffer (lws wants room in front of what it sends).
static size_t gather(struct kp_conn *conn, uint8_t *room)
{
    size_t n = 0;
    while (n < KP_HTTP_WRITE_BYTES && conn->out_first < conn->out.n) {
        struct kp_out *out = &conn->out.items[conn->out_first];
        size_t left = out->blob->len - out->sent;
        size_t take = left < KP_HTTP_WRITE_BYTES - n ? left : KP_HTTP_WRITE_BYTES - n;
        memcpy(room + n, out->blob->data + out->sent, take);
        n += take;
        out->sent += take;
        if (take == left) {
            kp_blob_unref(out->blob);
            conn->out_first++;
        }
    }
    if (conn->out_first == conn->out.n)
        conn->out_first = conn->out.n = 0;
    conn->unsent -= n;
    conn->server->unsent -= n;
    conn->sent_total += n;
    return n;
}

// Our side is over. Closing at once could turn into a reset that takes the answer away from the client, if it
// is still sending: so only our direction is shut, and what comes is read for a while.
static void start_linger(struct kp_conn *conn)
{
    if (conn->listener->cert_file != NULL && lws_get_ssl(conn->wsi) != NULL)
        SSL_shutdown(lws_get_ssl(conn->wsi));
    shutdown(lws_get_socket_fd(conn->wsi), SHUT_WR);
    kp_conn_enter(conn, CONN_LINGER);
    kp_conn_continue(conn); // throws the stash away, reads again
}

static void start_next(struct kp_conn *conn)
{
    kp_http_parser_next(&conn->parser);
    conn->half_open_ms = 0;
    kp_conn_enter(conn, CONN_IDLE);
    kp_conn_continue(conn);
}

static void free_bodies(struct kp_conn *conn, size_t counted)
{
    struct kp_http_server *server = conn->server;
    server->body_bytes -= counted;
    if (counted == 0)
        return;
    kp_list_foreach_safe (node, &server->conns) {
        struct kp_conn *other = kp_container_of(node, struct kp_conn, node);
        if (other->paused && other != conn)
            kp_conn_resume_body(other);
    }
}

static void end_of_answer(struct kp_conn *conn)
{
    struct kp_http_exchange *x = kp_take(conn->x);
    bool is_over = x->close || conn->server->draining || conn->server->closed;
    size_t counted = conn->body_len;
    kp_free(kp_take(conn->body));
    conn->body_len = conn->body_cap = 0;
    kp_exchange_finish(x);
    free_bodies(conn, counted);
    if (is_over)
        start_linger(conn);
    else
        start_next(conn);
}

int kp_conn_flush(struct kp_conn *conn)
{
    if (conn->state == CONN_DEAD)
        return -1;
    uint8_t *room = conn->server->bounce + LWS_PRE;
    size_t n = gather(conn, room);
    if (n > 0 && lws_write(conn->wsi, room, n, LWS_WRITE_RAW) < 0)
        return -1;
    struct kp_http_exchange *x = conn->x;
    if (conn->unsent > 0 || lws_partial_buffered(conn->wsi)) {
        lws_callback_on_writable(conn->wsi);
    } else if (x != NULL && x->ended) {
        end_of_answer(conn);
        return 0;
    }
    if (conn->unsent < KP_HTTP_WRITE_BYTES && x != NULL && x->streaming && !x->ended && x->on_space != NULL)
        x->on_space(x->on_space_user);
    return 0;
}
