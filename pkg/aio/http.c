// The client: curl's multi interface on the loop. Sockets become poll handles, curl's one timeout a timer.
// Starts and ends go through the `turn` timer, so that nothing ever happens from inside a callback of curl.
#include "aio/http.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "aio/http_private.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/banned.h"

struct watched {    // a socket of curl's
    uv_poll_t poll; // first: freed by its address
    curl_socket_t fd;
    struct kp_http *http;
    int events; // that curl waits for
    bool polled;
    struct kp_timer *rest; // runs while it is left alone; NULL until then
};

// ---- the end of a call ----

static void call_free(struct kp_http_call *call)
{
    struct kp_http *http = call->http;
    kp_list_remove(&call->in_all);
    kp_list_remove(&call->in_turn);
    kp_list_remove(&call->in_yielded);
    http->n--;
    kp_timer_destroy(call->idle);
    kp_http_upgrade_free(call->upgrade);
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    curl_slist_free_all(call->connect_to);
    kp_blob_unref(call->request_body);
    kp_free(call->body);
    kp_free(call->what);
    kp_free(call);
}

void kp_http_call_finish(struct kp_http_call *call, CURLcode code)
{
    struct kp_http_result result = {0};
    kp_http_call_result(call, code, &result);
    kp_http_upgrade_let_go(call);
    if (call->state != CALL_PENDING)
        curl_multi_remove_handle(call->http->multi, call->easy);
    void (*on_done)(void *, const struct kp_http_result *) = call->request.on_done;
    void *user = call->request.user;
    // out of every list before the callback: the receiver may start and cancel what it likes
    kp_list_remove(&call->in_all);
    kp_list_remove(&call->in_turn);
    kp_list_remove(&call->in_yielded);
    on_done(user, &result);
    kp_blob_unref(result.body);
    call_free(call);
}

static void drain(struct kp_http *http)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE)
            continue;
        struct kp_http_call *call = NULL;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        if (code == CURLE_OK && call->upgrade != NULL && call->why.code == 0)
            kp_http_upgrade_begin(call);
        else
            kp_http_call_finish(call, code);
    }
}

// ---- sockets and time ----

// curl reads from a socket as long as there is something, and calls back with each piece.
static void begin_slice(struct kp_http *http)
{
    http->slice_end_us = kp_mono_us() + kp_loop_slice_us(http->loop);
}

bool kp_http_call_yields(struct kp_http_call *call)
{
    struct kp_http *http = call->http;
    if (kp_mono_us() < http->slice_end_us)
        return false;
    kp_list_remove(&call->in_yielded);
    kp_list_append(&http->yielded, &call->in_yielded);
    kp_timer_start(http->turn, 0, 0);
    return true;
}

static void take_all(struct kp_list *from, struct kp_list *to)
{
    kp_list_init(to);
    while (!kp_list_empty(from)) {
        struct kp_list *node = from->next;
        kp_list_remove(node);
        kp_list_append(to, node);
    }
}

static void go_on_reading(struct kp_http *http)
{
    struct kp_list now;
    take_all(&http->yielded, &now);
    while (!kp_list_empty(&now)) {
        struct kp_http_call *call = kp_container_of(now.next, struct kp_http_call, in_yielded);
        kp_list_remove(&call->in_yielded);
        begin_slice(http);
        if (!call->paused && call->state == CALL_RUNNING)
            curl_easy_pause(call->easy, CURLPAUSE_CONT);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void poll_on(struct watched *watched)
{
    watched->polled = true;
    uv_poll_start(&watched->poll, watched->events, on_poll);
}

static void poll_off(struct watched *watched)
{
    if (watched->polled)
        uv_poll_stop(&watched->poll);
    watched->polled = false;
}

static bool has_more(const struct watched *watched)
{
    int n = 0;
    return ioctl(watched->fd, FIONREAD, &n) == 0 && n > 0;
}

static void on_rest(void *user);

// What was read is worked in. Where a call is in no hurry and nothing more is there, the socket rests, so
// that what comes meanwhile is one piece of work.
static void after_reading(struct watched *watched, int64_t gap_ms)
{
    if (gap_ms == 0 || watched->events != UV_READABLE || has_more(watched)) {
        if (!watched->polled)
            poll_on(watched);
        return;
    }
    poll_off(watched);
    if (watched->rest == NULL)
        watched->rest = kp_timer_create(watched->http->loop, on_rest, watched);
    kp_timer_start(watched->rest, gap_ms, 0);
}

static void act(struct watched *watched, int flags)
{
    struct kp_http *http = watched->http;
    int running;
    http->acting = watched;
    begin_slice(http);
    do {
        http->gap_ms = 0;
        curl_multi_socket_action(http->multi, watched->fd, flags, &running);
    } while (http->acting == watched && http->gap_ms > 0 && kp_mono_us() < http->slice_end_us &&
             has_more(watched));
    if (http->acting == watched) // and not closed
        after_reading(watched, http->gap_ms);
    http->acting = NULL;
    drain(http);
}

static void on_rest(void *user)
{
    struct watched *watched = user;
    if (has_more(watched))
        act(watched, CURL_CSELECT_IN);
    else
        poll_on(watched);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct watched *watched = (struct watched *)poll;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0;
    if (status < 0)
        watched->polled = false; // libuv stopped by itself
    if ((events & UV_READABLE) != 0)
        flags |= CURL_CSELECT_IN;
    if ((events & UV_WRITABLE) != 0)
        flags |= CURL_CSELECT_OUT;
    act(watched, flags);
}

static void forget_socket(struct kp_http *http, struct watched *watched)
{
    if (http->acting == watched)
        http->acting = NULL;
    curl_multi_assign(http->multi, watched->fd, NULL);
    kp_timer_destroy(watched->rest);
    poll_off(watched);
    kp_uv_close_and_free((uv_handle_t *)&watched->poll);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket_user)
{
    struct kp_http *http = user;
    struct watched *watched = socket_user;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watched != NULL)
            forget_socket(http, watched);
        return 0;
    }
    if (watched == NULL) {
        watched = KP_NEW(struct watched);
        watched->fd = fd;
        watched->http = http;
        if (uv_poll_init_socket(&http->loop->uv, &watched->poll, fd) != 0) {
            kp_free(watched);
            return -1;
        }
        curl_multi_assign(http->multi, fd, watched);
    }
    watched->events = (what != CURL_POLL_OUT ? UV_READABLE : 0) | (what != CURL_POLL_IN ? UV_WRITABLE : 0);
    bool rests = watched->rest != NULL && kp_timer_active(watched->rest);
    if (rests && watched->events == UV_READABLE)
        return 0;
    if (rests)
        kp_timer_stop(watched->rest);
    poll_on(watched);
    return 0;
}

static void on_curl_timer(void *user)
{
    struct kp_http *http = user;
    int running;
    begin_slice(http);
    curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    drain(http);
}

static int on_timeout(CURLM *multi, long timeout_ms, void *user)
{
    struct kp_http *http = user;
    (void)multi;
    if (timeout_ms < 0)
        kp_timer_stop(http->curl_timer);
    else
        kp_timer_start(http->curl_timer, timeout_ms, 0);
    return 0;
}

// ---- turns ----

static void give_to_curl(struct kp_http_call *call)
{
    call->state = CALL_RUNNING;
    kp_list_remove(&call->in_turn);
    if (curl_multi_add_handle(call->http->multi, call->easy) != CURLM_OK) {
        kp_http_call_end(call, KP_INTERNAL, "curl does not take the call");
        return;
    }
    if (call->idle != NULL)
        kp_timer_start(call->idle, call->request.idle_timeout_ms, 0);
    kp_http_upgrade_start(call);
}

static void on_turn(void *user)
{
    struct kp_http *http = user;
    struct kp_list now;
    go_on_reading(http);
    take_all(&http->in_turn, &now);
    while (!kp_list_empty(&now)) {
        struct kp_http_call *call = kp_container_of(now.next, struct kp_http_call, in_turn);
        if (call->state == CALL_PENDING && call->why.code == 0)
            give_to_curl(call);
        else
            kp_http_call_finish(call, CURLE_OK);
    }
    drain(http);
}

static void on_idle(void *user)
{
    struct kp_http_call *call = user;
    kp_http_call_end(call, KP_TIMEOUT, "%s: no byte for %lld s", call->what,
        (long long)(call->request.idle_timeout_ms / 1000));
}

void kp_http_call_end(struct kp_http_call *call, int code, const char *fmt, ...)
{
    if (call->why.code != 0)
        return;
    va_list args;
    va_start(args, fmt);
    kp_vfail(&call->why, code, fmt, args);
    va_end(args);
    if (call->state == CALL_RUNNING)
        call->state = CALL_ENDING;
    kp_list_remove(&call->in_turn);
    kp_list_append(&call->http->in_turn, &call->in_turn);
    kp_timer_start(call->http->turn, 0, 0);
}

// ---- the interface ----

struct kp_http *kp_http_create(struct kp_loop *loop, const struct kp_http_options *options)
{
    static bool ready;
    if (!ready && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        abort();
    ready = true;
    struct kp_http *http = KP_NEW(struct kp_http);
    http->loop = loop;
    http->reuse = options->reuse;
    kp_list_init(&http->all);
    kp_list_init(&http->in_turn);
    kp_list_init(&http->yielded);
    http->curl_timer = kp_timer_create(loop, on_curl_timer, http);
    http->turn = kp_timer_create(loop, on_turn, http);
    http->multi = curl_multi_init();
    int max = options->max_connections > 0 ? options->max_connections : 256;
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    curl_multi_setopt(http->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)max);
    curl_multi_setopt(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)options->max_per_host);
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, options->reuse ? (long)max : 1L);
    return http;
}

void kp_http_destroy(struct kp_http *http)
{
    if (http == NULL)
        return;
    http->destroying = true;
    while (!kp_list_empty(&http->all)) {
        struct kp_http_call *call = kp_container_of(http->all.next, struct kp_http_call, in_all);
        kp_fail(&call->why, KP_CANCELED, "%s: canceled", call->what);
        kp_http_call_finish(call, CURLE_OK);
    }
    curl_multi_cleanup(http->multi);
    kp_timer_destroy(http->curl_timer);
    kp_timer_destroy(http->turn);
    kp_free(http);
}

int kp_http_start(struct kp_http *http, const struct kp_http_request *request, struct kp_http_call **ret_call,
    struct kp_error *err)
{
    if (http->destroying)
        return kp_fail(err, KP_CANCELED, "%s %s: the client is closing", request->method, request->url);
    struct kp_http_call *call = KP_NEW(struct kp_http_call);
    call->http = http;
    kp_list_init(&call->in_all);
    kp_list_init(&call->in_turn);
    kp_list_init(&call->in_yielded);
    http->n++;
    call->easy = curl_easy_init();
    if (kp_http_call_setup(call, request, err) != 0) {
        call_free(call);
        return err != NULL ? err->code : KP_INVALID;
    }
    kp_http_call_hook(call);
    if (request->idle_timeout_ms > 0 && request->upgrade == NULL)
        call->idle = kp_timer_create(http->loop, on_idle, call);
    kp_list_append(&http->all, &call->in_all);
    kp_list_append(&http->in_turn, &call->in_turn);
    kp_timer_start(http->turn, 0, 0);
    if (ret_call != NULL)
        *ret_call = call;
    return 0;
}

void kp_http_cancel(struct kp_http_call *call)
{
    kp_http_call_end(call, KP_CANCELED, "%s: canceled", call->what);
}

void kp_http_relax(struct kp_http_call *call, int64_t gap_ms)
{
    call->gap_ms = gap_ms;
}

void kp_http_pause(struct kp_http_call *call, bool paused)
{
    if (call->paused == paused)
        return;
    call->paused = paused;
    // Pausing takes effect in the write callback; going on may call it at once, and may end the transfer.
    if (!paused && call->state == CALL_RUNNING) {
        begin_slice(call->http);
        curl_easy_pause(call->easy, CURLPAUSE_CONT);
        kp_timer_start(call->http->turn, 0, 0); // drains
    }
}
