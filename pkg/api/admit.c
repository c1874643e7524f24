#include "api/admit.h"

#include <string.h>

#include "aio/job.h"
#include "api/admit_private.h"
#include "api/aggregated.h"
#include "api/answers.h"
#include "api/profefe_args.h"
#include "api/state.h"
#include "base/alloc.h"
#include "base/text.h"
#include "http/query.h"
#include "serve/serve.h"
#include "base/banned.h"

// A request at the door.
struct ask {
    struct kp_list node;
    struct kp_api *api;
    struct kp_http_exchange *x; // NULL: the client left while a job ran
    struct kp_admission row;
    struct kp_identity *who;
    char *given;  // the namespace it names, or that of the profile; NULL = none
    bool by_name; // it was named
    char *id;     // of KP_ADMIT_ID
    char *asking; // the namespace of the question under way; "" = all
    struct kp_access access;
    struct kp_error denied; // what he was told of the namespace of the profile
    int64_t asked_ms;       // when the question under way was put
    int64_t not_before_ms;  // monotonic; that a profile is not here is not said sooner
    enum step {
        WHO,     // authenticate
        ALL,     // may he everywhere?
        LOOK_UP, // in which namespace is the profile? (a job)
        ONE,     // may he there?
        SEE,     // may he know of the profile there?
        HOME,    // may he at least in his own?
    } step;
};

static void free_ask(struct ask *a)
{
    kp_list_remove(&a->node);
    kp_identity_free(a->who);
    kp_free(a->given);
    kp_free(a->id);
    kp_free(a->asking);
    kp_free(a);
}

static void on_gone(void *user)
{
    struct ask *a = user;
    const struct kp_gate *gate = &a->api->options.gate;
    a->x = NULL;
    if (a->step == LOOK_UP)
        return; // its job frees it
    gate->ops->cancel(gate->self, a);
    free_ask(a);
}

// ---- what comes out ----

// Lies with the exchange from here on; namespace NULL = all.
static void attach(struct ask *a, const char *namespace, bool writer)
{
    struct kp_admitted *in = KP_NEW(struct kp_admitted);
    in->identity = kp_take(a->who);
    in->namespace = kp_strdup(namespace);
    in->asked = kp_strdup(a->asking);
    in->access = a->access;
    in->access.namespace = in->asked;
    in->scope = (struct kp_scope){.who = in->identity,
        .namespace = in->namespace,
        .plain_names = namespace != NULL,
        .writer = writer,
        .not_before_ms = a->not_before_ms,
        .access = &in->access};
    kp_http_attach(a->x, in, kp_api_admitted_free);
}

// Of who is not let in only his name is left, for the audit.
static void leave(struct ask *a)
{
    kp_http_on_gone(a->x, NULL, NULL);
    if (a->who)
        attach(a, KP_API_NOWHERE, false);
    free_ask(a);
}

static void refuse(struct ask *a, const struct kp_error *err)
{
    struct kp_http_exchange *x = a->x;
    leave(a);
    kp_api_refuse(x, err);
}

static void refuse_id(struct ask *a)
{
    struct kp_api *api = a->api;
    struct kp_http_exchange *x = a->x;
    struct kp_error err = {0};
    char shown[64];
    int64_t not_before_ms = a->not_before_ms;
    kp_fail(&err, KP_NOT_FOUND, KP_API_NOT_HERE, kp_printable(shown, sizeof shown, a->id, strlen(a->id)));
    leave(a);
    kp_api_refuse_late(api, x, not_before_ms, &err);
}

// Of what is there, be it that it is there. The deletion of a namespace asks for nothing.
static bool shows_profiles(const struct ask *a)
{
    bool has_verb = !kp_streq(a->row.verb, "create") && !kp_streq(a->row.verb, "deletecollection");
    switch (a->row.where) {
    case KP_ADMIT_PATH:
    case KP_ADMIT_QUERY:
    case KP_ADMIT_SERVICE:
    case KP_ADMIT_ID:
        return has_verb || kp_http_arg(a->x, "labelSelector") || kp_http_arg(a->x, "fieldSelector");
    default:
        return false;
    }
}

// namespace NULL = all.
static void let_in(struct ask *a, const char *namespace)
{
    struct kp_http_exchange *x = a->x;
    struct kp_error err = {0};
    if (shows_profiles(a) && kp_told_check(a->api->told, namespace, &err) != 0) {
        refuse(a, &err);
        return;
    }
    attach(a, namespace, a->row.where == KP_ADMIT_SELF);
    kp_http_on_gone(x, NULL, NULL);
    free_ask(a);
    kp_http_gate_open(x);
}

// ---- may he ----

static void on_may(void *user, const struct kp_error *err);

static void ask_for(struct ask *a, enum step step, const char *namespace)
{
    const struct kp_gate *gate = &a->api->options.gate;
    a->step = step;
    kp_free(a->asking);
    a->asking = kp_strdup(namespace ? namespace : "");
    a->access = (struct kp_access){.verb = step == SEE ? "get" : a->row.verb,
        .resource = "profiles",
        .subresource = step == SEE ? NULL : a->row.subresource,
        .namespace = a->asking,
        .name = a->row.name};
    a->asked_ms = kp_loop_mono_ms(a->api->options.loop);
    gate->ops->authorize(gate->self, a->who, &a->access, on_may, a);
}

// Who may know that a profile is there is told what he may not do with it.
static void ask_whether_he_sees(struct ask *a, const struct kp_error *err)
{
    a->denied = *err;
    ask_for(a, SEE, a->given);
}

static void refuse_seen(struct ask *a)
{
    const struct kp_error err = a->denied;
    a->access.verb = a->row.verb; // for the audit
    a->access.subresource = a->row.subresource;
    refuse(a, &err);
}

// A profile that is nowhere he may look; his own namespace answers for it, if he has one.
static void ask_home(struct ask *a)
{
    if (a->who->namespace && !kp_streq(a->who->namespace, a->asking))
        ask_for(a, HOME, a->who->namespace);
    else
        refuse_id(a);
}

static void look_up(void *arg)
{
    struct ask *a = arg;
    struct kp_record record;
    if (kp_store_get(a->api->options.store, a->id, &record, NULL, NULL) != 0)
        return;
    a->given = kp_strdup(record.namespace ? record.namespace : "");
    kp_record_finish(&record);
}

static void looked_up(void *arg)
{
    struct ask *a = arg;
    a->api->busy--;
    if (a->x == NULL)
        free_ask(a);
    else if (a->given && a->given[0]) // what has no namespace is for those who see all
        ask_for(a, ONE, a->given);
    else
        ask_home(a);
}

static void on_not_everywhere(struct ask *a, const struct kp_error *err)
{
    struct kp_error wait = {0};
    if (a->row.where == KP_ADMIT_ID && kp_told_waits(a->api->told)) {
        (void)!kp_told_check(a->api->told, KP_API_NOWHERE, &wait);
        refuse(a, &wait); // whether it is there is not told either
    } else if (a->row.where == KP_ADMIT_ID) {
        // what is nowhere has no namespace to ask about: both wait as long as such questions have taken
        a->not_before_ms += KP_API_LATE_REVIEWS * kp_api_slowest_review_ms(a->api);
        a->step = LOOK_UP;
        a->api->busy++;
        kp_job_run(a->api->options.loop, KP_JOB_SHORT, look_up, looked_up, a);
    } else if (a->given) {
        ask_for(a, ONE, a->given);
    } else if (a->who->namespace) {
        ask_for(a, HOME, a->who->namespace);
    } else {
        refuse(a, err);
    }
}

static bool is_seeing(const struct ask *a)
{
    return a->row.subresource == NULL && kp_streq(a->row.verb, "get");
}

static void on_may_by_id(struct ask *a, const struct kp_error *err)
{
    if (a->step == ONE && err->code == KP_DENIED && !is_seeing(a))
        ask_whether_he_sees(a, err);
    else if (a->step == HOME)
        refuse_id(a);
    else
        ask_home(a);
}

static void on_may(void *user, const struct kp_error *err)
{
    struct ask *a = user;
    bool by_id = a->id && !a->by_name && a->step != ALL;
    kp_api_note_review(a->api, kp_loop_mono_ms(a->api->options.loop) - a->asked_ms);
    if (err == NULL && a->step == SEE)
        refuse_seen(a);
    else if (err == NULL)
        let_in(a, a->row.where == KP_ADMIT_SELF || a->asking[0] == '\0' ? NULL : a->asking);
    else if (a->step == ALL && err->code == KP_DENIED)
        on_not_everywhere(a, err);
    else if (by_id)
        on_may_by_id(a, err);
    else if (a->step == ONE && a->row.where == KP_ADMIT_SERVICE && err->code == KP_DENIED &&
             a->who->namespace && !kp_streq(a->who->namespace, a->given))
        ask_for(a, HOME, a->who->namespace); // then it is a plain name with a slash in it
    else
        refuse(a, err);
}

// ---- who is it ----

static void on_who(void *user, struct kp_identity *identity, const struct kp_error *err)
{
    struct ask *a = user;
    if (err) {
        refuse(a, err);
        return;
    }
    a->who = identity;
    switch (a->row.where) {
    case KP_ADMIT_PATH:
    case KP_ADMIT_QUERY:
        ask_for(a, ONE, a->given);
        break;
    case KP_ADMIT_SELF:
        ask_for(a, ONE, a->api->options.namespace);
        break;
    case KP_ADMIT_PUSH:
        ask_for(a, ONE, a->given ? a->given : identity->namespace);
        break;
    case KP_ADMIT_ID:
    case KP_ADMIT_SERVICE:
        if (a->by_name)
            ask_for(a, ONE, a->given);
        else
            ask_for(a, ALL, NULL);
        break;
    case KP_ADMIT_KNOWN:
        let_in(a, KP_API_NOWHERE);
        break;
    case KP_ADMIT_OPEN:
    case KP_ADMIT_NOBODY:
        break; // never asked
    }
}

static struct kp_identity *nobody(void)
{
    struct kp_identity *who = KP_NEW(struct kp_identity);
    who->name = kp_strdup("system:anonymous");
    return who;
}

// ---- what does it want ----

static bool is_profefe(const struct kp_http_exchange *x)
{
    return kp_starts_with(kp_http_matched_route(x)->path, "/api/0/");
}

// The same parameter twice: two readers of it might take different ones. One that cannot be read: without
// it the request means something else, and more.
static int check_args(const struct kp_http_exchange *x, bool profefe, struct kp_error *err)
{
    const char *name;
    const char *again;
    const char *value;
    if (!profefe && !kp_http_args_whole(x))
        return kp_fail(err, KP_INVALID,
            "the query cannot be read: a parameter is badly escaped, or there are more than %d of them",
            KP_HTTP_MAX_ARGS);
    for (size_t i = 0; kp_http_arg_at(x, i, &name, &value); i++) {
        char shown[48];
        if (profefe && !kp_streq(name, "namespace")) // there the first counts
            continue;
        for (size_t k = i + 1; kp_http_arg_at(x, k, &again, &value); k++)
            if (kp_streq(name, again))
                return kp_fail(err, KP_INVALID, "the parameter '%s' is given more than once",
                    kp_printable(shown, sizeof shown, name, strlen(name)));
    }
    return 0;
}

static int take_namespace(struct ask *a, const char *text, struct kp_error *err)
{
    char shown[80];
    if (text == NULL || text[0] == '\0')
        return 0;
    if (!kp_api_is_namespace(text))
        return kp_fail(err, KP_INVALID, "namespace: '%s' cannot be the name of one",
            kp_printable(shown, sizeof shown, text, strlen(text)));
    a->given = kp_strdup(text);
    a->by_name = true;
    return 0;
}

// "shop/api" names the namespace shop, if it may be one; else it is a name that holds a slash.
static void take_service(struct ask *a)
{
    struct kp_http_query args;
    kp_profefe_args_parse(&args, kp_http_query(a->x));
    const char *service = kp_http_query_get(&args, "service");
    const char *slash = service ? strchr(service, '/') : NULL;
    kp_auto_free char *first = slash && slash[1] ? kp_strndup(service, (size_t)(slash - service)) : NULL;
    if (first && kp_api_is_namespace(first))
        a->given = kp_take(first);
    kp_http_query_finish(&args);
}

// Of several joined ids the first decides.
static int take_id(struct ask *a, struct kp_error *err)
{
    const char *joined = kp_http_param(a->x, "ids");
    struct kp_profefe_ids ids;
    if (joined == NULL) {
        const char *id = kp_http_param(a->x, "id");
        a->id = kp_strdup(id ? id : "");
        return 0;
    }
    int rc = kp_profefe_parse_ids(joined, &ids, err);
    if (rc == 0)
        a->id = kp_strdup(ids.items[0]);
    kp_profefe_ids_finish(&ids);
    return rc;
}

// Rows that serve two things say the one that needs more.
static void adapt(struct ask *a, const struct kp_http_route *route)
{
    bool yes = false;
    if (route->handler == kp_api_post_profile && kp_api_is_capture(a->x))
        a->row = (struct kp_admission){.where = KP_ADMIT_SELF, .verb = "create", .subresource = "captures"};
    else if (route->handler == kp_api_get_profile && kp_api_wants_facts(a->x))
        a->row.subresource = NULL;
    else if (route->handler == kp_api_list_profiles && kp_http_arg(a->x, "watch") &&
             kp_parse_bool(kp_http_arg(a->x, "watch"), &yes, NULL) == 0 && yes)
        a->row.verb = "watch";
}

static int read_request(struct ask *a, struct kp_error *err)
{
    struct kp_http_exchange *x = a->x;
    bool profefe = is_profefe(x);
    if (check_args(x, profefe, err) != 0)
        return err->code;
    switch (a->row.where) {
    case KP_ADMIT_PATH:
        return take_namespace(a, kp_http_param(x, "namespace"), err);
    case KP_ADMIT_QUERY:
    case KP_ADMIT_PUSH:
        return take_namespace(a, kp_http_arg(x, "namespace"), err);
    case KP_ADMIT_ID:
        if (!profefe && take_namespace(a, kp_http_arg(x, "namespace"), err) != 0)
            return err->code;
        return take_id(a, err);
    case KP_ADMIT_SERVICE:
        take_service(a);
        return 0;
    case KP_ADMIT_KNOWN:
    case KP_ADMIT_SELF:
        return 0;
    case KP_ADMIT_OPEN:
    case KP_ADMIT_NOBODY:
        break;
    }
    return kp_fail(err, KP_DENIED, "nobody may do this: the route does not say who may");
}

// ---- the gate ----

const struct kp_admission *kp_api_admission(const struct kp_http_route *route)
{
    const struct kp_api_tag *tag = route->tag;
    return tag ? &tag->admission : NULL;
}

void kp_api_gate(struct kp_http_exchange *x, void *user)
{
    struct kp_api *api = user;
    const struct kp_http_route *route = kp_http_matched_route(x);
    const struct kp_admission *row = kp_serve_is_open(x) ? NULL : kp_api_admission(route);
    struct kp_error err = {0};
    if (kp_serve_is_open(x) || (row && row->where == KP_ADMIT_OPEN)) {
        kp_http_gate_open(x);
        return;
    }
    if (kp_agg_is_path(kp_http_path(x)) && !kp_agg_path_is_strict(kp_http_path(x))) {
        kp_api_agg_nothing(x, NULL); // the API server may have read it another way
        return;
    }
    struct ask *a = KP_NEW(struct ask);
    a->api = api;
    a->x = x;
    a->row = row ? *row : (struct kp_admission){.where = KP_ADMIT_NOBODY};
    a->not_before_ms = kp_loop_mono_ms(api->options.loop) + KP_API_LATE_MS;
    kp_list_append(&api->asking, &a->node);
    adapt(a, route);
    if (read_request(a, &err) != 0) {
        refuse(a, &err);
    } else if (row->or_loopback && kp_http_peer_is_loopback(x)) {
        a->who = nobody();
        let_in(a, NULL);
    } else {
        kp_http_on_gone(x, on_gone, a);
        api->options.gate.ops->authenticate(api->options.gate.self, x, on_who, a);
    }
}

void kp_api_end_asking(struct kp_api *api)
{
    const struct kp_error err = {.code = KP_UNAVAILABLE, .text = "the registry is stopping"};
    kp_list_foreach_safe (node, &api->asking) {
        struct ask *a = kp_container_of(node, struct ask, node);
        if (a->step == LOOK_UP)
            continue; // its job is under way
        api->options.gate.ops->cancel(api->options.gate.self, a);
        refuse(a, &err);
    }
}
