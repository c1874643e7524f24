#include "capture/answer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/duration.h"
#include "base/quantity.h"
#include "base/text.h"
#include "base/banned.h"

bool kp_looks_like_pprof(const uint8_t *data, size_t len)
{
    if (len >= 2 && data[0] == 0x1f && data[1] == 0x8b)
        return true;
    // a first tag of profile.proto: fields 1..15, wire type varint or bytes (strings of text begin with
    // letters, '<' or '{')
    if (len < 2)
        return false;
    unsigned field = data[0] >> 3, kind = data[0] & 7;
    bool known = field >= 1 && field <= 15 && (kind == 0 || kind == 2);
    bool texty = data[0] == '\n' || data[0] == '\r' || data[0] == ' ' || data[0] == '\t' || data[0] >= '0';
    // 0x0a is both a line feed and "sample_type": then the length behind it decides
    return known && (!texty || (data[0] == 0x0a && data[1] < 0x20));
}

KP_PRINTF(3, 4)
static enum kp_outcome say(char message[240], enum kp_outcome outcome, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, 240, fmt, args);
    va_end(args);
    return outcome;
}

static bool holds(const struct kp_blob *body, const char *text)
{
    return body != NULL && body->len > 0 &&
           memmem(body->data, body->len < 4096 ? body->len : 4096, text, strlen(text)) != NULL;
}

// ---- no answer ----

static enum kp_outcome judge_network(
    const struct kp_scrape_facts *facts, const struct kp_http_result *answer, char *message)
{
    const struct kp_target *target = facts->order->target;
    bool is_v6 = strchr(target->pod->ip, ':') != NULL;
    if (answer->os_errno == ECONNREFUSED)
        return say(message, KP_OUTCOME_UNREACHABLE,
            "nothing listens on %s port %u: check the port, and that the program listens on %s, not only on "
            "%s",
            target->pod->ip, target->port, is_v6 ? "[::]" : "0.0.0.0", is_v6 ? "[::1]" : "127.0.0.1");
    if (answer->connect_us == 0)
        return say(message, KP_OUTCOME_UNREACHABLE,
            "no way to %s port %u (%s): check NetworkPolicies and routes", target->pod->ip, target->port,
            answer->os_errno != 0 ? strerrordesc_np(answer->os_errno) : "no connection");
    return say(message, KP_OUTCOME_UNREACHABLE, "%s closed the connection before the whole answer had come",
        facts->where);
}

static enum kp_outcome judge_timeout(
    const struct kp_scrape_facts *facts, const struct kp_http_result *answer, char *message)
{
    char asked[KP_DURATION_TEXT];
    const struct kp_target *target = facts->order->target;
    if (answer->connect_us == 0)
        return say(message, KP_OUTCOME_TIMEOUT,
            "no connection to %s port %u in time: a NetworkPolicy that drops packets, or a node that is away",
            target->pod->ip, target->port);
    if (facts->order->duration_ms > 0)
        return say(message, KP_OUTCOME_TIMEOUT,
            "%s was asked for %s and gave no whole answer well after that", facts->where,
            kp_duration_format(asked, facts->order->duration_ms));
    return say(message, KP_OUTCOME_TIMEOUT, "%s gave no whole answer in time", facts->where);
}

static enum kp_outcome judge_failure(
    const struct kp_scrape_facts *facts, const struct kp_http_result *answer, char *message)
{
    const char *cause = strrchr(answer->error.text, ':');
    switch (answer->code) {
    case KP_TIMEOUT:
        return judge_timeout(facts, answer, message);
    case KP_TLS:
        return say(message, KP_OUTCOME_TLS_ERROR,
            "TLS with %s failed%s; set endpoints[].tls (ca, serverName) in the policy, or scheme HTTP",
            facts->where, cause != NULL ? cause : "");
    case KP_DENIED:
        return say(message, KP_OUTCOME_REFUSED, "%s", answer->error.text);
    case KP_INVALID:
        return say(message, KP_OUTCOME_NOT_PPROF, "%s does not speak HTTP", facts->where);
    default:
        return judge_network(facts, answer, message);
    }
}

// ---- an answer ----

static bool is_busy(const struct kp_blob *body)
{
    return holds(body, "profiling already in use") || holds(body, "tracing is already enabled") ||
           holds(body, "Could not enable CPU profiling") || holds(body, "Could not enable tracing");
}

static enum kp_outcome judge_status(const struct kp_scrape_facts *facts, const struct kp_http_result *answer,
    const struct kp_blob *body, char *message)
{
    int status = answer->status;
    const char *type = facts->order->wanted->type;
    if (status == 404)
        return say(message, KP_OUTCOME_NOT_SERVED, "%s answers 404: the program does not serve '%s' there",
            facts->where, type);
    if (status == 401 || status == 403)
        return say(message, KP_OUTCOME_DENIED,
            "%s answers %d: it wants credentials (endpoints[].authorization)", facts->where, status);
    if (is_busy(body))
        return say(message, KP_OUTCOME_BUSY, "another profiler is active in this process (%s)", facts->where);
    if (holds(body, "profile duration exceeds server's WriteTimeout"))
        return say(message, KP_OUTCOME_HTTP_ERROR,
            "%s answers %d: the duration exceeds the program's http.Server WriteTimeout; shorten duration or "
            "raise that timeout",
            facts->where, status);
    if (status >= 300 && status < 400)
        return say(message, KP_OUTCOME_HTTP_ERROR,
            "%s answers %d: redirects are never followed; set the final path", facts->where, status);
    return say(message, KP_OUTCOME_HTTP_ERROR, "%s answers %d%s", facts->where, status,
        facts->is_go ? " (Go's pprof handler)" : "");
}

static enum kp_outcome judge_body(const struct kp_scrape_facts *facts, const struct kp_http_result *answer,
    const struct kp_blob *body, char *message)
{
    if (body == NULL || body->len == 0)
        return say(message, KP_OUTCOME_EMPTY, "%s gave an empty answer", facts->where);
    if (facts->order->wanted->opaque || kp_looks_like_pprof(body->data, body->len))
        return KP_OUTCOME_SUCCEEDED;
    char type[60];
    kp_printable(type, sizeof type, answer->content_type, strlen(answer->content_type));
    return say(message, KP_OUTCOME_NOT_PPROF,
        "%s answers %s, not a pprof profile: is that the right port and path?", facts->where,
        type[0] != '\0' ? type : "something");
}

enum kp_outcome kp_scrape_judge(const struct kp_scrape_facts *facts, const struct kp_http_result *answer,
    const struct kp_blob *body, char message[240])
{
    message[0] = '\0';
    if (facts->cancelled == KP_OUTCOME_POD_GONE)
        return say(message, KP_OUTCOME_POD_GONE, "the pod went away while it was captured");
    if (facts->cancelled != KP_OUTCOME_NONE)
        return say(message, facts->cancelled,
            "the capture was called off: the policy changed or the controller stops");
    if (facts->paused && answer->code == KP_TIMEOUT)
        return say(message, KP_OUTCOME_THROTTLED,
            "%s could not be read to its end: captures of its namespace take all the memory they may (raise "
            "--max-bytes-in-flight, or lengthen intervals)",
            facts->where);
    if (facts->stalled)
        return say(message, KP_OUTCOME_TIMEOUT,
            "%s stopped within its answer and was cut off, since others waited for memory "
            "(--max-bytes-in-flight)",
            facts->where);
    if (answer->head_too_large)
        return say(message, KP_OUTCOME_NOT_PPROF,
            "%s sends headers without end: is that the right port and path?", facts->where);
    if (facts->ended_too_large || answer->code == KP_LIMIT) {
        char cap[KP_QUANTITY_TEXT];
        return say(message, KP_OUTCOME_TOO_LARGE, "%s gave more than %s (budget.profileBytes)", facts->where,
            kp_quantity_format(cap, facts->cap));
    }
    if (answer->code != KP_OK)
        return judge_failure(facts, answer, message);
    if (answer->status < 200 || answer->status >= 300)
        return judge_status(facts, answer, body, message);
    return judge_body(facts, answer, body, message);
}
