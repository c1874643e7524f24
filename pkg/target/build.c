#include "target/build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/text.h"
#include "policy/types.h"
#include "policy/validate.h"
#include "base/banned.h"

// A wanted profile while policies are added.
struct draft {
    struct kp_wanted wanted;
    KP_ARRAY(const struct kp_policy *) policies;
    KP_ARRAY(struct kp_label) labels; // first policy wins each
    KP_ARRAY(int64_t) durations;      // asked for
};

struct port_draft {
    const struct kp_container *container;
    uint16_t port;
    bool https;
    KP_ARRAY(struct draft) drafts;
};

struct kp_target_builder {
    const struct kp_pod *pod;
    const struct kp_pod_wishes *wishes;
    struct kp_arena *arena; // strings of drafts
    KP_ARRAY(struct port_draft) ports;
};

struct kp_target_builder *kp_target_builder_create(
    const struct kp_pod *pod, const struct kp_pod_wishes *wishes)
{
    struct kp_target_builder *builder = KP_NEW(struct kp_target_builder);
    builder->pod = pod;
    builder->wishes = wishes;
    return builder;
}

// Containers of a pod share its network: one port is one process, whichever container a policy names. The
// first by precedence decides.
static struct port_draft *port_get(struct kp_target_builder *builder, const struct kp_found *found)
{
    for (size_t i = 0; i < builder->ports.n; i++)
        if (builder->ports.items[i].port == found->port)
            return &builder->ports.items[i];
    struct port_draft *port = kp_array_add(&builder->ports);
    *port = (struct port_draft){.container = found->container, .port = found->port, .https = found->https};
    return port;
}

static struct draft *draft_get(struct port_draft *port, const char *type, bool *ret_is_new)
{
    *ret_is_new = false;
    for (size_t i = 0; i < port->drafts.n; i++)
        if (strcmp(port->drafts.items[i].wanted.type, type) == 0)
            return &port->drafts.items[i];
    *ret_is_new = true;
    struct draft *draft = kp_array_add(&port->drafts);
    *draft = (struct draft){.wanted = {.type = type}};
    return draft;
}

// ---- what the first policy decides ----

static const char *service_of(const struct kp_target_builder *builder, const struct kp_policy *policy)
{
    const struct kp_pod *pod = builder->pod;
    const char *name = NULL;
    const char *annotated = policy->annotations != KP_ANNOTATIONS_IGNORE ? builder->wishes->service : "";
    switch (policy->service_source) {
    case KP_SERVICE_WORKLOAD:
    case KP_SERVICE_ANNOTATION:
        name = annotated;
        break;
    case KP_SERVICE_POD_LABEL:
        name = kp_pod_label(pod, policy->service_key);
        break;
    case KP_SERVICE_STATIC:
        name = policy->service_key;
        break;
    }
    bool usable =
        name != NULL && name[0] != '\0' && strlen(name) <= KP_MAX_SERVICE_NAME && strchr(name, '/') == NULL;
    return usable ? name : pod->workload_name;
}

// ---- one profile of one policy ----

struct ask { // a profile spec after annotations
    const char *type, *path;
    int64_t interval_ms, duration_ms;
};

// What begins so is what the API server says of a pod: no label of a pod or policy can be taken for it.
static void add_label(struct draft *draft, const char *key, const char *value)
{
    if (!kp_starts_with(key, "k8s."))
        *kp_array_add(&draft->labels) = (struct kp_label){key, value};
}

static void add_labels(struct kp_target_builder *builder, struct draft *draft, const struct kp_policy *policy)
{
    for (size_t i = 0; i < policy->n_labels_from_pod; i++) {
        const char *value = kp_pod_label(builder->pod, policy->labels_from_pod[i]);
        if (value != NULL)
            add_label(draft, policy->labels_from_pod[i], value);
    }
    for (size_t i = 0; i < policy->static_labels->n; i++)
        add_label(draft, policy->static_labels->items[i].key, policy->static_labels->items[i].value);
}

// Larger k; a share against a number cannot be compared without the number of pods: the first stands, unless
// the other is larger for any workload (100 %).
static struct kp_int_or_percent larger_share(struct kp_int_or_percent a, struct kp_int_or_percent b)
{
    if (a.is_percent == b.is_percent)
        return b.value > a.value ? b : a;
    if (b.is_percent && b.value >= 100)
        return b;
    return a;
}

static struct kp_int_or_percent smaller_share(struct kp_int_or_percent a, struct kp_int_or_percent b)
{
    return a.is_percent == b.is_percent && b.value < a.value ? b : a;
}

static void start_draft(struct kp_target_builder *builder, struct draft *draft,
    const struct kp_policy *policy, const struct kp_found *found, const struct ask *ask)
{
    const struct kp_profile_type *known = kp_profile_type(ask->type);
    struct kp_wanted *wanted = &draft->wanted;
    wanted->path = kp_arena_strdup(&builder->arena, ask->path);
    wanted->collecting = known != NULL ? known->collecting : ask->duration_ms > 0;
    wanted->exclusive = known != NULL && known->exclusive;
    wanted->opaque = known != NULL && known->opaque;
    wanted->interval_ms = ask->interval_ms;
    wanted->duration_ms = ask->duration_ms;
    wanted->k = policy->sample_replicas;
    wanted->rotation_ms = policy->rotation_ms;
    wanted->overhead_percent = policy->overhead_percent;
    wanted->concurrent = policy->concurrent_per_workload;
    wanted->profile_bytes = policy->profile_bytes;
    wanted->retention_ms = policy->retention_ms;
    wanted->on_busy = policy->on_busy;
    wanted->service = service_of(builder, policy);
    wanted->endpoint = found->endpoint;
}

// Shortest interval, smallest budgets, largest retention (0, the registry's, is its largest) and k.
static void unite(struct kp_wanted *to, const struct kp_wanted *from)
{
    if (from->interval_ms < to->interval_ms)
        to->interval_ms = from->interval_ms;
    to->collecting |= from->duration_ms > 0;
    to->k = larger_share(to->k, from->k);
    to->concurrent = smaller_share(to->concurrent, from->concurrent);
    if (from->overhead_percent < to->overhead_percent)
        to->overhead_percent = from->overhead_percent;
    if (from->profile_bytes < to->profile_bytes)
        to->profile_bytes = from->profile_bytes;
    bool whole = from->retention_ms == 0 || to->retention_ms == 0;
    if (whole || from->retention_ms > to->retention_ms)
        to->retention_ms = whole ? 0 : from->retention_ms;
}

static void join_draft(struct draft *draft, const struct kp_policy *policy, const struct ask *ask)
{
    const struct kp_wanted asked = {
        .interval_ms = ask->interval_ms,
        .duration_ms = ask->duration_ms,
        .k = policy->sample_replicas,
        .concurrent = policy->concurrent_per_workload,
        .overhead_percent = policy->overhead_percent,
        .profile_bytes = policy->profile_bytes,
        .retention_ms = policy->retention_ms,
    };
    unite(&draft->wanted, &asked);
}

static bool add_ask(struct kp_target_builder *builder, struct port_draft *port,
    const struct kp_policy *policy, const struct kp_found *found, const struct ask *ask)
{
    bool is_new;
    struct draft *draft = draft_get(port, ask->type, &is_new);
    if (is_new)
        start_draft(builder, draft, policy, found, ask);
    else
        join_draft(draft, policy, ask);
    *kp_array_add(&draft->durations) = ask->duration_ms;
    for (size_t i = 0; i < draft->policies.n; i++)
        if (draft->policies.items[i] == policy)
            return true;
    *kp_array_add(&draft->policies) = policy;
    add_labels(builder, draft, policy);
    return true;
}

// ---- annotations over the policy's profiles ----

static const struct kp_annotation_type *annotated_type(const struct kp_pod_wishes *wishes, const char *type)
{
    for (size_t i = 0; i < wishes->n_types; i++)
        if (strcmp(wishes->types[i].name, type) == 0)
            return &wishes->types[i];
    return NULL;
}

static void make_path(const struct kp_found *found, const char *own, const char *type, char *out, size_t size)
{
    const struct kp_profile_type *known = kp_profile_type(type);
    if (own != NULL && own[0] != '\0') {
        kp_copy(out, size, own);
        return;
    }
    if (known != NULL && known->absolute_path != NULL && strcmp(found->path, "/debug/pprof") == 0) {
        kp_copy(out, size, known->absolute_path);
        return;
    }
    size_t n = strlen(found->path);
    while (n > 1 && found->path[n - 1] == '/')
        n--;
    if (known != NULL)
        snprintf(out, size, "%.*s%s", (int)n, found->path, known->path);
    else
        snprintf(out, size, "%.*s/%s", (int)n, found->path, type);
}

// Interval and duration from annotations are clamped by the policy's: never more often, never longer.
static void apply_annotations(
    const struct kp_pod_wishes *wishes, const struct kp_profile_spec *spec, struct ask *ask)
{
    if (wishes->interval_ms > spec->interval_ms)
        ask->interval_ms = wishes->interval_ms;
    if (wishes->duration_ms > 0 && wishes->duration_ms < spec->duration_ms)
        ask->duration_ms = wishes->duration_ms;
}

static bool add_profile(struct kp_target_builder *builder, struct port_draft *port,
    const struct kp_policy *policy, const struct kp_found *found, const struct kp_profile_spec *spec,
    const struct kp_target_config *config)
{
    const struct kp_pod_wishes *wishes = builder->wishes;
    bool heard = policy->annotations != KP_ANNOTATIONS_IGNORE;
    const struct kp_annotation_type *annotated = heard ? annotated_type(wishes, spec->type) : NULL;
    char path[520];
    if (found->only_type != NULL && strcmp(found->only_type, spec->type) != 0)
        return false;
    if (heard && wishes->n_types > 0 && annotated == NULL)
        return false; // the pod says which types it has
    const char *own = spec->path != NULL ? spec->path : annotated != NULL ? annotated->path : NULL;
    make_path(found, own, spec->type, path, sizeof path);
    if (!kp_path_allowed(path, config->path_prefixes))
        return false;
    struct ask ask = {spec->type, path, spec->interval_ms, spec->duration_ms};
    if (heard)
        apply_annotations(wishes, spec, &ask);
    return add_ask(builder, port, policy, found, &ask);
}

bool kp_target_builder_add(struct kp_target_builder *builder, const struct kp_policy *policy,
    const struct kp_found *found, const struct kp_target_config *config)
{
    struct port_draft *port = port_get(builder, found);
    bool any = false;
    for (size_t i = 0; i < policy->n_profiles; i++)
        any |= add_profile(builder, port, policy, found, &policy->profiles[i], config);
    return any;
}

// ---- targets ----

struct memory {
    struct kp_arena *arena;
    KP_ARRAY(struct kp_labels *) labels;
};

static int compare_drafts(const void *a, const void *b)
{
    return strcmp(((const struct draft *)a)->wanted.type, ((const struct draft *)b)->wanted.type);
}

static struct draft *draft_of(struct port_draft *port, const char *type)
{
    for (size_t i = 0; i < port->drafts.n; i++)
        if (strcmp(port->drafts.items[i].wanted.type, type) == 0)
            return &port->drafts.items[i];
    return NULL;
}

static void draft_free(struct draft *draft)
{
    kp_array_free(&draft->policies);
    kp_array_free(&draft->labels);
    kp_array_free(&draft->durations);
}

static void add_policy_once(struct draft *draft, const struct kp_policy *policy)
{
    for (size_t i = 0; i < draft->policies.n; i++)
        if (draft->policies.items[i] == policy)
            return;
    *kp_array_add(&draft->policies) = policy;
}

// heap and allocs are the same data: both asked for means one request.
static void fold_allocs(struct port_draft *port)
{
    struct draft *heap = draft_of(port, "heap"), *allocs = draft_of(port, "allocs");
    if (heap == NULL || allocs == NULL)
        return;
    heap->wanted.alias = "allocs";
    unite(&heap->wanted, &allocs->wanted);
    for (size_t i = 0; i < allocs->policies.n; i++)
        add_policy_once(heap, allocs->policies.items[i]);
    for (size_t i = 0; i < allocs->labels.n; i++)
        *kp_array_add(&heap->labels) = allocs->labels.items[i];
    draft_free(allocs);
    size_t at = (size_t)(allocs - port->drafts.items);
    memmove(allocs, allocs + 1, (port->drafts.n - at - 1) * sizeof *allocs);
    port->drafts.n--;
}

// The first label of a key wins: they were added by precedence.
static struct kp_labels *make_labels(const struct draft *draft)
{
    struct kp_label items[KP_MAX_LABELS];
    size_t n = 0;
    for (size_t i = 0; i < draft->labels.n && n < KP_MAX_LABELS; i++) {
        size_t k = 0;
        while (k < n && strcmp(items[k].key, draft->labels.items[i].key) != 0)
            k++;
        if (k == n)
            items[n++] = draft->labels.items[i];
    }
    return kp_labels_create(items, n);
}

static int compare_policies(const void *a, const void *b)
{
    return kp_policy_compare(*(const struct kp_policy *const *)a, *(const struct kp_policy *const *)b);
}

// The longest duration asked for that is below the shortest interval: the policy that asks for that interval
// asks for one.
static int64_t longest_below(const struct draft *draft)
{
    int64_t longest = 0;
    for (size_t i = 0; i < draft->durations.n; i++)
        if (draft->durations.items[i] < draft->wanted.interval_ms && draft->durations.items[i] > longest)
            longest = draft->durations.items[i];
    return longest;
}

static void make_wanted(struct memory *memory, struct draft *draft, struct kp_wanted *out)
{
    *out = draft->wanted;
    out->duration_ms = longest_below(draft);
    out->type = kp_arena_strdup(&memory->arena, out->type);
    out->path = kp_arena_strdup(&memory->arena, out->path);
    out->service = kp_arena_strdup(&memory->arena, out->service);
    struct kp_labels *labels = make_labels(draft);
    *kp_array_add(&memory->labels) = labels;
    out->labels = labels;
    qsort(draft->policies.items, draft->policies.n, sizeof *draft->policies.items, compare_policies);
    const struct kp_policy **policies =
        kp_arena_memdup(&memory->arena, draft->policies.items, draft->policies.n * sizeof *policies);
    for (size_t i = 0; i < draft->policies.n; i++)
        kp_policy_ref(policies[i]);
    out->policies = policies;
    out->n_policies = draft->policies.n;
}

// Texts joined by slashes, in one piece: every change of a pod makes a target.
static const char *joined(struct kp_arena **arena, const char *a, const char *b, const char *c)
{
    size_t n_a = strlen(a), n_b = strlen(b), n_c = strlen(c);
    char *text = kp_arena_alloc(arena, n_a + n_b + n_c + 3);
    memcpy(text, a, n_a);
    text[n_a] = '/';
    memcpy(text + n_a + 1, b, n_b);
    text[n_a + 1 + n_b] = '/';
    memcpy(text + n_a + n_b + 2, c, n_c + 1);
    return text;
}

static struct kp_target *make_target(struct kp_target_builder *builder, struct port_draft *port)
{
    struct kp_target *target = KP_NEW(struct kp_target);
    struct memory *memory = KP_NEW(struct memory);
    const struct kp_pod *pod = builder->pod;
    char number[8];
    target->refs = 1;
    target->memory = memory;
    target->pod = kp_pod_ref(pod);
    target->container = port->container;
    target->port = port->port;
    target->https = port->https;
    snprintf(number, sizeof number, "%u", port->port);
    target->key = joined(&memory->arena, pod->uid, port->container->name, number);
    target->workload = joined(&memory->arena, pod->namespace, pod->workload_kind, pod->workload_name);
    qsort(port->drafts.items, port->drafts.n, sizeof *port->drafts.items, compare_drafts);
    struct kp_wanted *wanted = KP_ARENA_ARRAY(&memory->arena, struct kp_wanted, port->drafts.n);
    for (size_t i = 0; i < port->drafts.n; i++)
        make_wanted(memory, &port->drafts.items[i], &wanted[i]);
    target->wanted = wanted;
    target->n_wanted = port->drafts.n;
    return target;
}

void kp_target_builder_finish(struct kp_target_builder *builder, struct kp_verdict *verdict)
{
    for (size_t i = 0; i < builder->ports.n; i++) {
        struct port_draft *port = &builder->ports.items[i];
        fold_allocs(port);
        if (port->drafts.n > 0)
            *kp_array_add(&verdict->targets) = make_target(builder, port);
        for (size_t d = 0; d < port->drafts.n; d++)
            draft_free(&port->drafts.items[d]);
        kp_array_free(&port->drafts);
    }
    kp_array_free(&builder->ports);
    kp_arena_free(builder->arena);
    kp_free(builder);
}

// ---- targets as objects ----

struct kp_target *kp_target_ref(const struct kp_target *target)
{
    struct kp_target *t = (struct kp_target *)(uintptr_t)target;
    t->refs++;
    return t;
}

void kp_target_unref(const struct kp_target *target)
{
    struct kp_target *t = (struct kp_target *)(uintptr_t)target;
    if (t == NULL || --t->refs > 0)
        return;
    struct memory *memory = t->memory;
    for (size_t i = 0; i < t->n_wanted; i++)
        for (size_t p = 0; p < t->wanted[i].n_policies; p++)
            kp_policy_unref(t->wanted[i].policies[p]);
    for (size_t i = 0; i < memory->labels.n; i++)
        kp_labels_destroy(memory->labels.items[i]);
    kp_array_free(&memory->labels);
    kp_arena_free(memory->arena);
    kp_free(memory);
    kp_pod_unref(t->pod);
    kp_free(t);
}

static bool wanted_same(const struct kp_wanted *a, const struct kp_wanted *b)
{
    if (!kp_streq(a->type, b->type) || !kp_streq(a->alias, b->alias) || !kp_streq(a->path, b->path) ||
        a->interval_ms != b->interval_ms || a->duration_ms != b->duration_ms || a->k.value != b->k.value ||
        a->k.is_percent != b->k.is_percent || a->rotation_ms != b->rotation_ms ||
        a->overhead_percent != b->overhead_percent || a->concurrent.value != b->concurrent.value ||
        a->concurrent.is_percent != b->concurrent.is_percent || a->profile_bytes != b->profile_bytes ||
        a->retention_ms != b->retention_ms || a->on_busy != b->on_busy || !kp_streq(a->service, b->service) ||
        a->n_policies != b->n_policies || !kp_labels_equal(a->labels, b->labels))
        return false;
    for (size_t i = 0; i < a->n_policies; i++)
        if (a->policies[i] != b->policies[i])
            return false; // an edited policy is another object, with other endpoints perhaps
    return true;
}

bool kp_target_same(const struct kp_target *a, const struct kp_target *b)
{
    if (a == b)
        return true;
    if (strcmp(a->key, b->key) != 0 || a->https != b->https || a->n_wanted != b->n_wanted ||
        !kp_pod_same(a->pod, b->pod))
        return false;
    for (size_t i = 0; i < a->n_wanted; i++)
        if (!wanted_same(&a->wanted[i], &b->wanted[i]))
            return false;
    return true;
}
