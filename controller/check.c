// `kube-pprof check URL...`: what `helm test` runs: asks each URL until it answers 200, from where a pod is.
// There is no shell in the image.
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "aio/http.h"
#include "aio/loop.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "controller/env.h"
#include "controller/role.h"
#include "options/options.h"
#include "base/banned.h"

#define POLL_MS  500
#define ASK_MS   5000
#define MAX_BODY 4096
#define SHOWN    300

struct check_options {
    char *ca_file;
    int64_t timeout_ms;
};

#define AT(field) offsetof(struct check_options, field)
static const struct kp_option rows[] = {
    {"ca-file", "FILE", KP_OPTION_STRING, AT(ca_file), NULL, 0, 0,
        "Authority that https URLs are verified with. Without it: the system's."},
    {"timeout", "DURATION", KP_OPTION_DURATION, AT(timeout_ms), "30s", 100, 3600000,
        "How long it may take until all URLs answer 200."},
};

struct asked {
    bool done;
    int status;
    char text[SHOWN]; // what it answered, or why it did not; one line
};

static void on_done(void *user, const struct kp_http_result *result)
{
    struct asked *a = user;
    a->done = true;
    a->status = result->status;
    if (result->code != 0)
        kp_printable(a->text, sizeof a->text, result->error.text, strlen(result->error.text));
    else if (result->body != NULL)
        kp_printable(a->text, sizeof a->text, (const char *)result->body->data, result->body->len);
}

static void ask(struct kp_loop *loop, struct kp_http *http, const struct check_options *o, const char *url,
    struct asked *ret)
{
    struct kp_error err = {0};
    struct kp_http_call *call;
    const struct kp_http_request request = {.method = "GET",
        .url = url,
        .tls = {.ca_file = o->ca_file[0] != '\0' ? o->ca_file : NULL},
        .timeout_ms = ASK_MS,
        .max_body = MAX_BODY,
        .on_done = on_done,
        .user = ret};
    memset(ret, 0, sizeof *ret);
    if (kp_http_start(http, &request, &call, &err) != 0)
        kp_copy(ret->text, sizeof ret->text, err.text);
    else
        while (!kp_loop_run_until(loop, &ret->done, 2 * ASK_MS))
            ; // it comes: the call has a time limit
}

static void say(const char *what, const char *url, const struct asked *a)
{
    if (a->status != 0)
        printf("%s%s: answers %d: %s\n", what, url, a->status, a->text);
    else
        printf("%s%s: %s\n", what, url, a->text);
}

// false if it has not answered 200 by then, though it is asked once in any case; what it said last is printed
static bool is_well(struct kp_loop *loop, struct kp_http *http, const struct check_options *o,
    const char *url, int64_t until_ms)
{
    struct asked a;
    const bool never = false;
    for (bool told = false;; told = true) {
        ask(loop, http, o, url, &a);
        if (a.status == 200) {
            printf("ok      %s\n", url);
            return true;
        }
        if (kp_mono_ms() + POLL_MS > until_ms)
            break;
        if (!told)
            say("waiting for ", url, &a);
        kp_loop_run_until(loop, &never, POLL_MS);
    }
    say("FAILED  ", url, &a);
    return false;
}

int kp_check_main(int argc, char **argv)
{
    struct check_options o = {0};
    struct kp_error err = {0};
    char **urls = kp_calloc((size_t)argc, sizeof *urls);
    size_t n = 0, n_well = 0;
    struct kp_options_source source = {.argc = argc, .argv = argv, .env = kp_env, .args = urls, .n_args = &n};
    int code = kp_options_load(rows, KP_COUNT(rows), &source, &o, &err);
    if (code == KP_OPTIONS_HELP) {
        kp_options_help(rows, KP_COUNT(rows), "check URL...",
            "Asks each URL until it answers 200; ends with 1 if one does not. `helm test` runs it.", stdout);
        code = 0;
    } else if (code != 0 || n == 0) {
        fprintf(stderr, "kube-pprof check: %s\n", code != 0 ? err.text : "no URL: say which to ask");
        code = 2;
    } else {
        int64_t until_ms = kp_mono_ms() + o.timeout_ms;
        signal(SIGPIPE, SIG_IGN);
        setvbuf(stdout, NULL, _IOLBF, 0); // each line when it is known, into a pipe as well
        struct kp_loop *loop = kp_loop_create();
        struct kp_http *http = kp_http_create(loop, &(struct kp_http_options){0});
        for (size_t i = 0; i < n; i++)
            n_well += is_well(loop, http, &o, urls[i], until_ms) ? 1 : 0;
        kp_http_destroy(http);
        kp_loop_destroy(loop);
        code = n_well == n ? 0 : 1;
    }
    kp_options_finish(rows, KP_COUNT(rows), &o);
    kp_free(urls);
    return code;
}
