// Two tenants of one registry behind a gate, and whether an answer shows anything of one of them. Tests only.
#ifndef KP_API_SCOPE_FIXTURE_H
#define KP_API_SCOPE_FIXTURE_H

#include "api/gate_fixture.h"
#include "base/array.h"
#include "base/clock.h"
#include "profile/profile.h"
#include "record/record.h"
#include "record/state.h"

#define ALL   "&from=2000-01-01T00:00:00&to=2040-01-01T00:00:00"
#define START INT64_C(1795000000000)

static const struct fake_user users[] = {{"stranger", NULL}, {"shop-viewer", NULL}, {"pay-viewer", NULL},
    {"cluster-viewer", NULL}, {"shop-agent", "zshop"}, {"pay-agent", "zpay"}, {"writer", "kp-system"},
    {"shop-reader", NULL}, {"shop-pod", "zshop"}, {0}};
static const struct fake_rule rules[] = {{"shop-viewer", "*", "*", "zshop"}, {"pay-viewer", "*", "*", "zpay"},
    {"cluster-viewer", "*", "*", "*"}, {"shop-agent", "*", "*", "zshop"}, {"pay-agent", "*", "*", "zpay"},
    {"writer", "create", "captures", "kp-system"}, {"shop-reader", "get", "", "zshop"},
    {"shop-pod", "get", "", "zshop"}, {0}};

static struct bench_answer answer;
static struct fake_gate gate;
static char *ids[2]; // a profile of zshop, one of zpay
static const char *const tenants[] = {"zshop", "zpay"};

static inline void ask(struct bench *b, const char *user, const char *method, const char *path)
{
    kp_auto_free char *auth = kp_asprintf("Authorization: Bearer %s", user ? user : "");
    const char *const headers[] = {auth, NULL};
    bench_request(b, method, path, user ? headers : NULL, NULL, 0, &answer);
}

static inline int status_of(struct bench *b, const char *user, const char *method, const char *path)
{
    ask(b, user, method, path);
    return answer.status;
}

static inline void assert_status(
    struct bench *b, const char *user, const char *method, const char *path, int status)
{
    ask(b, user, method, path);
    if (answer.status != status)
        fail_msg("%s %s as %s: %d instead of %d: %.300s", method, path, user ? user : "nobody", answer.status,
            status, answer.body);
}

// Everything of a tenant carries its name: pod, node, label, binary, label of the samples; and its number of
// stacks shows in the names of functions.
static inline void capture(struct bench *b, const char *user, int tenant, int n, int status)
{
    struct kp_record r;
    struct kp_strbuf frame;
    size_t len;
    const char *name = tenants[tenant];
    kp_auto_free char *marked = kp_asprintf("%s-mark", name);
    kp_auto_free char *binary = kp_asprintf("/app/%s-mark", name);
    const char *const labels[] = {"owner", marked, NULL};
    kp_auto_free uint8_t *profile = kp_pprof_make(&(struct kp_pprof_recipe){.stacks = tenant == 0 ? 3 : 9,
                                                      .duration_nanos = INT64_C(10000000000),
                                                      .labels = labels,
                                                      .binary = binary},
        &len);
    const struct kp_label own[] = {{"team", "core"}, {"tier", marked}};
    kp_record_init(&r);
    r.service = kp_strdup("api");
    r.type = kp_strdup("cpu");
    r.format = kp_strdup("pprof");
    r.namespace = kp_strdup(name);
    r.pod = kp_strdup(marked);
    r.node = kp_strdup(marked);
    r.container = kp_strdup("app");
    r.start_ms = START + n * 60000;
    r.end_ms = r.start_ms + 10000;
    r.labels = kp_labels_create(own, KP_COUNT(own));
    kp_strbuf_init(&frame, 1 << 20);
    kp_capture_frame(&frame, &r, profile, len);
    kp_auto_free char *auth = kp_asprintf("Authorization: Bearer %s", user);
    const char *const headers[] = {"Content-Type: " KP_CAPTURE_MEDIA_TYPE, auth, NULL};
    bench_request(b, "POST", "/api/v1/profiles", headers, frame.data, frame.len, &answer);
    if (answer.status != status)
        fail_msg("a capture as %s: %d %s", user, answer.status, answer.body);
    kp_strbuf_finish(&frame);
    kp_record_finish(&r);
}

static inline char *id_in(const char *body)
{
    const char *at = strstr(body, "\"id\":\"");
    assert_non_null(at);
    return kp_strndup(at + 6, strcspn(at + 6, "\""));
}

// What the controller says of the targets of a tenant: one, that carries its name.
static inline void post_targets(struct bench *b, int tenant)
{
    struct kp_state_batch batch = {.namespace = kp_strdup(tenants[tenant]), .time_ms = kp_now_ms()};
    struct kp_strbuf out;
    *kp_array_add(&batch.targets) =
        (struct kp_target_state){.pod = kp_asprintf("%s-mark", tenants[tenant]), .service = kp_strdup("api")};
    kp_strbuf_init(&out, 65536);
    kp_state_batch_encode(&batch, &out);
    const char *const headers[] = {
        "Content-Type: " KP_STATE_MEDIA_TYPE, "Authorization: Bearer writer", NULL};
    bench_request(b, "POST", "/api/v1/targets", headers, out.data, out.len, &answer);
    assert_int_equal(answer.status, 204);
    kp_strbuf_finish(&out);
    kp_state_batch_finish(&batch);
}

// A registry without profiles.
static inline struct bench *start_with(struct kp_api_options options)
{
    gate = (struct fake_gate){.users = users, .rules = rules};
    options.gate = fake_gate(&gate);
    options.namespace = "kp-system";
    options.review_every_ms = 20;
    return bench_start(options);
}

static inline struct bench *start(bool later)
{
    struct bench *b = start_with((struct kp_api_options){0});
    gate.loop = later ? b->loop : NULL;
    for (int tenant = 0; tenant < 2; tenant++) {
        post_targets(b, tenant);
        for (int n = 0; n < 3; n++) {
            capture(b, "writer", tenant, n, 201);
            kp_free(ids[tenant]);
            ids[tenant] = id_in(answer.body);
        }
    }
    return b;
}

static inline void stop(struct bench *b)
{
    for (int tenant = 0; tenant < 2; tenant++)
        kp_free(kp_take(ids[tenant]));
    bench_answer_clear(&answer);
    bench_stop(b);
}

// ---- whether an answer shows anything of a tenant ----

static inline bool holds(const char *data, size_t len, const char *word)
{
    return memmem(data, len, word, strlen(word)) != NULL;
}

static inline bool shows(const char *data, size_t len, int tenant)
{
    static const char *const words[][2] = {{"zshop-mark", "zshop-mark"}, {"zpay-mark", "leaf8"}};
    return holds(data, len, words[tenant][0]) || holds(data, len, words[tenant][1]);
}

static inline bool answer_shows(int tenant)
{
    struct kp_profile *p;
    bool yes =
        shows(answer.body, answer.len, tenant) || shows(answer.headers.data, answer.headers.len, tenant);
    if (answer.status != 200 || kp_profile_decode(answer.body, answer.len, NULL, &p, NULL) != 0)
        return yes;
    for (uint32_t i = 0; i < p->n_strings; i++)
        yes |= shows(p->strings[i].data, p->strings[i].len, tenant);
    kp_profile_free(p);
    return yes;
}

static inline char *fill(const char *path, int tenant)
{
    const char *const rows[][2] = {
        {"{ns}", tenants[tenant]}, {"{id}", ids[tenant]}, {"{own}", ids[0]}, {"{other}", ids[1]}};
    struct kp_strbuf out;
    kp_strbuf_init(&out, 4096);
    while (*path) {
        size_t i = 0;
        while (i < KP_COUNT(rows) && !kp_starts_with(path, rows[i][0]))
            i++;
        if (i < KP_COUNT(rows))
            kp_strbuf_adds(&out, rows[i][1]);
        else
            kp_strbuf_addc(&out, *path);
        path += i < KP_COUNT(rows) ? strlen(rows[i][0]) : 1;
    }
    return kp_strbuf_take(&out, NULL);
}

static inline void run_for(struct bench *b, int64_t ms)
{
    const bool never = false;
    kp_loop_run_until(b->loop, &never, ms);
}

#endif
