// When a status is written: at once when a condition or its reason changes; when target counts or the set of
// failure reasons change, at most every 5 s; otherwise counters and times at most once a minute a policy; 5
// writes a second in all.
#include "status/status.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/map.h"
#include "base/text.h"
#include "status/builder.h"
#include "status/turns.h"
#include "base/banned.h"

#define COUNTS_MS    5000
#define COUNTERS_MS  60000
#define WRITES_PER_S 5
#define RETRY_MS     5000
#define MAX_CALLS    10 // at once: all of them are repeated while the API server refuses everybody

struct entry {
    char *key;
    struct kp_statuses *owner;
    struct kp_policy *policy;
    struct kp_policy_status status;
    json_t *wanted; // to be written, NULL = nothing
    uint64_t written_hash, counts_hash;
    int64_t told_generation; // of the spec the last status speaks of
    int64_t written_ms;      // of the last write
    struct kp_kube_call *call;
    bool dropped; // while a call was running
    bool failing; // the last write
    struct kp_list in_queue;
    UT_hash_handle hh;
};

struct kp_statuses {
    struct kp_kube *kube;
    struct kp_events *events;
    char *field_manager;
    struct entry *entries;
    struct kp_turns *turns; // entries whose `wanted` waits for a write and that may be written
    struct kp_bucket bucket;
    struct kp_timer *timer, *flush_timer;
    bool writing;
    int n_calls, n_failing;
    char trouble[400]; // of the write that failed last
    kp_loop_fn on_flushed;
    void *flushed_user;
    struct kp_metric_family *writes;
    struct kp_metric *policies[KP_COND_COUNT][KP_COND_FALSE + 1], *last_capture;
    int64_t last_capture_ms; // of policies that are gone as well
};

static void pump(struct kp_statuses *statuses);

// ---- entries ----

static void set_failing(struct entry *entry, bool failing)
{
    entry->owner->n_failing += (failing ? 1 : 0) - (entry->failing ? 1 : 0);
    entry->failing = failing;
}

static void entry_free(struct entry *entry)
{
    set_failing(entry, false);
    kp_list_remove(&entry->in_queue);
    kp_policy_unref(entry->policy);
    json_decref(entry->wanted);
    kp_free(entry->key);
    kp_free(entry);
}

static struct entry *entry_find(const struct kp_statuses *statuses, const char *key)
{
    struct entry *entry;
    HASH_FIND_STR(statuses->entries, key, entry);
    return entry;
}

void kp_statuses_set_policy(
    struct kp_statuses *statuses, const struct kp_policy *policy, const json_t *object)
{
    struct entry *entry = entry_find(statuses, policy->key);
    if (entry != NULL && !kp_streq(entry->policy->uid, policy->uid)) {
        kp_statuses_drop_policy(statuses, policy->key); // deleted and made anew
        entry = NULL;
    }
    bool is_new = entry == NULL;
    if (is_new) {
        entry = KP_NEW(struct entry);
        entry->key = kp_strdup(policy->key);
        entry->owner = statuses;
        entry->status.since_ms = kp_now_ms();
        kp_list_init(&entry->in_queue);
        HASH_ADD_KEYPTR(hh, statuses->entries, entry->key, strlen(entry->key), entry);
    }
    struct kp_policy *old = entry->policy;
    entry->policy = kp_policy_ref(policy);
    kp_policy_unref(old);
    kp_policy_status_set_types(&entry->status, policy);
    if (is_new || !statuses->writing)
        kp_policy_status_adopt(&entry->status, object);
}

void kp_statuses_drop_policy(struct kp_statuses *statuses, const char *policy_key)
{
    struct entry *entry = entry_find(statuses, policy_key);
    if (entry == NULL)
        return;
    HASH_DEL(statuses->entries, entry);
    kp_list_remove(&entry->in_queue);
    if (entry->call != NULL)
        entry->dropped = true;
    else
        entry_free(entry);
}

void kp_statuses_count(struct kp_statuses *statuses, const char *policy_key, const char *type,
    enum kp_outcome outcome, int64_t time_ms)
{
    struct entry *entry = entry_find(statuses, policy_key);
    if (entry != NULL)
        kp_policy_status_count(&entry->status, type, outcome, time_ms, kp_now_ms());
}

// ---- events ----

static void tell_transition(
    struct kp_statuses *statuses, const struct entry *entry, enum kp_condition condition)
{
    const struct kp_condition_state *state = &entry->status.conditions[condition];
    const struct kp_policy *policy = entry->policy;
    if (state->status == KP_COND_UNKNOWN || condition == KP_COND_DISCOVERED)
        return;
    if (condition == KP_COND_ACCEPTED && state->status == KP_COND_TRUE)
        return; // Ready says it
    struct kp_event_object about = {
        .api_version = KP_API_VERSION,
        .kind = kp_policy_is_cluster(policy) ? "ClusterProfilingPolicy" : "ProfilingPolicy",
        .namespace = policy->namespace,
        .name = policy->name,
        .uid = policy->uid,
    };
    char note[600];
    snprintf(note, sizeof note, "%s is %s: %s", kp_condition_name(condition),
        state->status == KP_COND_TRUE ? "true" : "false", state->message);
    kp_events_add(statuses->events, &about, state->status == KP_COND_FALSE, state->reason, "Reconcile", note);
}

static void tell_transitions(struct kp_statuses *statuses, const struct entry *entry, unsigned transitions)
{
    if (statuses->events == NULL)
        return;
    for (int i = 0; i < KP_COND_COUNT; i++)
        if ((transitions & 1u << i) != 0)
            tell_transition(statuses, entry, (enum kp_condition)i);
}

// ---- what to write ----

static uint64_t hash_json(const json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
    uint64_t hash = kp_hash64_str(text, 0);
    kp_free(text);
    return hash;
}

// Target counts and the set of failure reasons.
static uint64_t hash_counts(const struct kp_policy_summary *summary)
{
    uint64_t hash = kp_hash64_mix(summary->selected, summary->sampled);
    hash = kp_hash64_mix(kp_hash64_mix(hash, summary->failing), summary->left_out);
    for (size_t i = 0; i < summary->n_failures; i++)
        hash ^= kp_hash64_str(summary->failures[i].reason, 1);
    return kp_hash64_mix(hash, summary->spooled > 0); // that captures wait is news, how many is not
}

static void enter_queue(struct entry *entry)
{
    bool waits = entry->call == NULL && entry->wanted != NULL; // one write at a time each
    if (waits && kp_list_empty(&entry->in_queue))
        kp_turns_wait(entry->owner->turns,
            kp_policy_is_cluster(entry->policy) ? "" : entry->policy->namespace, &entry->in_queue);
}

static void enqueue(struct kp_statuses *statuses, struct entry *entry, json_t *wanted)
{
    json_decref(entry->wanted);
    entry->wanted = wanted;
    enter_queue(entry);
    pump(statuses);
}

void kp_statuses_update(struct kp_statuses *statuses, const char *policy_key,
    const struct kp_policy_summary *summary, int64_t now_ms)
{
    struct entry *entry = entry_find(statuses, policy_key);
    if (entry == NULL || !statuses->writing || kp_policy_status_waits(&entry->status, entry->policy, summary))
        return;
    unsigned transitions;
    bool changed = kp_policy_status_conditions(&entry->status, entry->policy, summary, now_ms, &transitions);
    tell_transitions(statuses, entry, transitions);
    uint64_t counts = hash_counts(summary);
    int64_t passed = now_ms - entry->written_ms;
    bool never = entry->written_ms == 0;
    // whoever waits for a spec to be seen waits for observedGeneration
    bool edited = entry->policy->generation != entry->told_generation;
    bool due = changed || never || edited || entry->wanted != NULL ||
               (counts != entry->counts_hash && passed >= COUNTS_MS) || passed >= COUNTERS_MS || passed < 0;
    if (!due)
        return;
    json_t *wanted = kp_policy_status_json(&entry->status, entry->policy, summary);
    if (!never && hash_json(wanted) == entry->written_hash) {
        json_decref(wanted);
        return;
    }
    entry->counts_hash = counts;
    entry->told_generation = entry->policy->generation;
    enqueue(statuses, entry, wanted);
}

// ---- writing ----

static void check_flushed(struct kp_statuses *statuses)
{
    if (statuses->on_flushed == NULL || statuses->n_calls > 0 || !kp_turns_empty(statuses->turns))
        return;
    kp_loop_fn on_flushed = statuses->on_flushed;
    statuses->on_flushed = NULL;
    kp_timer_stop(statuses->flush_timer);
    on_flushed(statuses->flushed_user);
}

// Not what the object holds: an update in a while writes again.
static void write_again(struct entry *entry)
{
    entry->written_hash = 0;
    entry->written_ms = kp_now_ms() - COUNTERS_MS + RETRY_MS;
}

static void on_written(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct entry *entry = user;
    struct kp_statuses *statuses = entry->owner;
    (void)json;
    entry->call = NULL;
    statuses->n_calls--;
    kp_metric_inc(kp_metric_with(statuses->writes, (const char *const[]){err == NULL ? "success" : "error"}));
    // 404: gone, the watch will say so; what a replica that lost the lead has not written is the next one's
    bool failed = err != NULL && http_status != 404 && statuses->writing;
    set_failing(entry, failed);
    if (failed)
        kp_copy(statuses->trouble, sizeof statuses->trouble, err->text);
    if (failed)
        write_again(entry);
    if (entry->dropped)
        entry_free(entry);
    else
        enter_queue(entry);
    check_flushed(statuses);
    pump(statuses);
}

const char *kp_statuses_trouble(const struct kp_statuses *statuses)
{
    return statuses->n_failing > 0 ? statuses->trouble : NULL;
}

static void write_one(struct kp_statuses *statuses, struct entry *entry)
{
    const struct kp_policy *policy = entry->policy;
    bool cluster = kp_policy_is_cluster(policy);
    kp_auto_free char *path =
        cluster ? kp_asprintf("/apis/" KP_API_VERSION "/clusterprofilingpolicies/%s/status", policy->name)
                : kp_asprintf("/apis/" KP_API_VERSION "/namespaces/%s/profilingpolicies/%s/status",
                      policy->namespace, policy->name);
    json_t *object = json_pack("{s:s,s:s,s:{s:s}}", "apiVersion", KP_API_VERSION, "kind",
        cluster ? "ClusterProfilingPolicy" : "ProfilingPolicy", "metadata", "name", policy->name);
    if (!cluster)
        json_object_set_new(json_object_get(object, "metadata"), "namespace", json_string(policy->namespace));
    entry->written_hash = hash_json(entry->wanted);
    entry->written_ms = kp_now_ms();
    json_object_set_new(object, "status", kp_take(entry->wanted));
    struct kp_error err = {0};
    if (kp_kube_apply(statuses->kube, path, statuses->field_manager, object, on_written, entry, &entry->call,
            &err) == 0) {
        statuses->n_calls++;
        return;
    }
    set_failing(entry, true);
    kp_copy(statuses->trouble, sizeof statuses->trouble, err.text);
    write_again(entry);
}

// Each of a thousand updates comes here: whether anything may be written now is what it asks first.
static struct entry *next_to_write(struct kp_statuses *statuses, int64_t now_ms)
{
    if (statuses->n_calls >= MAX_CALLS || kp_bucket_wait_ms(&statuses->bucket, now_ms) > 0)
        return NULL;
    struct kp_list *node = kp_turns_take(statuses->turns);
    if (node == NULL)
        return NULL;
    (void)kp_bucket_take(&statuses->bucket, now_ms);
    return kp_container_of(node, struct entry, in_queue);
}

static void pump(struct kp_statuses *statuses)
{
    int64_t now = kp_mono_ms();
    struct entry *entry;
    if (!statuses->writing)
        return;
    while ((entry = next_to_write(statuses, now)) != NULL)
        write_one(statuses, entry);
    if (!kp_turns_empty(statuses->turns)) {
        int64_t wait = kp_bucket_wait_ms(&statuses->bucket, now);
        kp_timer_start(statuses->timer, wait < 50 ? 50 : wait, 0);
    }
}

static void on_timer(void *user)
{
    pump(user);
}

// Who begins to write says everything anew at the next update; what waited is old.
void kp_statuses_set_writing(struct kp_statuses *statuses, bool writing)
{
    if (statuses->writing == writing)
        return;
    statuses->writing = writing;
    for (struct entry *entry = statuses->entries; entry != NULL; entry = entry->hh.next) {
        kp_list_remove(&entry->in_queue);
        json_decref(kp_take(entry->wanted));
        entry->written_ms = 0; // somebody else wrote meanwhile, or will
        set_failing(entry, false);
        if (writing)
            kp_policy_status_restart(&entry->status, kp_now_ms());
    }
    check_flushed(statuses);
}

// ---- metrics ----

static void make_metrics(struct kp_statuses *statuses, struct kp_metrics *metrics)
{
    static const char *const words[] = {
        [KP_COND_UNKNOWN] = "Unknown", [KP_COND_TRUE] = "True", [KP_COND_FALSE] = "False"};
    if (metrics == NULL)
        return;
    statuses->writes = kp_metrics_family(metrics, KP_COUNTER, "kube_pprof_status_writes_total",
        "Writes of policy status.", (const char *const[]){"result", NULL}, NULL, 0, 4);
    struct kp_metric_family *policies =
        kp_metrics_family(metrics, KP_GAUGE, "kube_pprof_policies", "Policies by the status of a condition.",
            (const char *const[]){"condition", "status", NULL}, NULL, 0, KP_COND_COUNT * KP_COUNT(words));
    for (int c = 0; c < KP_COND_COUNT; c++)
        for (size_t s = 0; s < KP_COUNT(words); s++)
            statuses->policies[c][s] =
                kp_metric_with(policies, (const char *const[]){kp_condition_name(c), words[s]});
    statuses->last_capture = kp_gauge(metrics, "kube_pprof_last_capture_timestamp_seconds",
        "When a capture of any policy was stored last, also before this process; 0: never.");
}

void kp_statuses_measure(struct kp_statuses *statuses)
{
    size_t n[KP_COND_COUNT][KP_COND_FALSE + 1] = {0};
    if (statuses->last_capture_ms > kp_now_ms() + KP_STATUS_AHEAD_MS)
        statuses->last_capture_ms = 0; // the clock was set back
    for (const struct entry *entry = statuses->entries; entry != NULL; entry = entry->hh.next) {
        for (int c = 0; c < KP_COND_COUNT; c++)
            n[c][entry->status.conditions[c].status]++;
        if (entry->status.last_capture_ms > statuses->last_capture_ms)
            statuses->last_capture_ms = entry->status.last_capture_ms;
    }
    for (int c = 0; c < KP_COND_COUNT; c++)
        for (int s = 0; s <= KP_COND_FALSE; s++)
            kp_metric_set(statuses->policies[c][s], (double)n[c][s]);
    kp_metric_set(statuses->last_capture, (double)statuses->last_capture_ms / 1e3);
}

// ---- life ----

static void on_grace_over(void *user)
{
    struct kp_statuses *statuses = user;
    kp_loop_fn on_flushed = statuses->on_flushed;
    statuses->on_flushed = NULL;
    if (on_flushed != NULL)
        on_flushed(statuses->flushed_user);
}

void kp_statuses_flush(struct kp_statuses *statuses, int64_t grace_ms, kp_loop_fn on_flushed, void *user)
{
    bool nothing = statuses->n_calls == 0 && (kp_turns_empty(statuses->turns) || !statuses->writing);
    statuses->on_flushed = on_flushed;
    statuses->flushed_user = user;
    pump(statuses);
    kp_timer_start(statuses->flush_timer, nothing ? 0 : grace_ms, 0);
}

struct kp_statuses *kp_statuses_create(struct kp_loop *loop, struct kp_kube *kube, struct kp_events *events,
    const char *field_manager, struct kp_metrics *metrics)
{
    struct kp_statuses *statuses = KP_NEW(struct kp_statuses);
    statuses->kube = kube;
    statuses->events = events;
    statuses->field_manager = kp_strdup(field_manager);
    statuses->turns = kp_turns_create();
    kp_bucket_init(&statuses->bucket, WRITES_PER_S, WRITES_PER_S, kp_mono_ms());
    statuses->timer = kp_timer_create(loop, on_timer, statuses);
    statuses->flush_timer = kp_timer_create(loop, on_grace_over, statuses);
    make_metrics(statuses, metrics);
    return statuses;
}

void kp_statuses_destroy(struct kp_statuses *statuses)
{
    if (statuses == NULL)
        return;
    statuses->writing = false;
    statuses->on_flushed = NULL;
    struct entry *entry, *next;
    HASH_ITER (hh, statuses->entries, entry, next) {
        HASH_DEL(statuses->entries, entry);
        entry_free(entry);
    }
    kp_timer_destroy(statuses->timer);
    kp_timer_destroy(statuses->flush_timer);
    kp_turns_destroy(statuses->turns);
    kp_free(statuses->field_manager);
    kp_free(statuses);
}
