#include "api/split.h"

#include "api/state.h"
#include "base/alloc.h"
#include "base/array.h"
#include "base/text.h"
#include "profile/filter.h"
#include "profile/merge.h"
#include "base/banned.h"

#define LABEL      "label="
#define MAX_VALUES 1000
#define MAX_BYTES  ((size_t)256 << 20)

struct values {
    KP_ARRAY(char *) list;
    size_t n_more;
};

const char *kp_split_field(const char *by)
{
    if (by == NULL || !kp_starts_with(by, LABEL))
        return NULL;
    by += sizeof LABEL - 1;
    return kp_starts_with(by, "k8s.") || kp_streq(by, "version") ? by : NULL;
}

static void on_value(void *user, const char *text, uint64_t n_profiles)
{
    struct values *v = user;
    (void)n_profiles;
    if (v->list.n < MAX_VALUES)
        *kp_array_add(&v->list) = kp_strdup(text);
    else
        v->n_more++;
}

static void values_finish(struct values *v)
{
    for (size_t i = 0; i < v->list.n; i++)
        kp_free(v->list.items[i]);
    kp_array_free(&v->list);
}

// What was asked for, and the field is this value; value NULL: and it is not there.
static int select_part(const struct kp_selector *asked, const char *field, const char *value,
    struct kp_selector **ret, struct kp_error *err)
{
    size_t n = 0;
    const struct kp_requirement *reqs = asked ? kp_selector_requirements(asked, &n) : NULL;
    kp_auto_free struct kp_requirement *all = KP_NEW_ARRAY(struct kp_requirement, n + 1);
    for (size_t i = 0; i < n; i++)
        all[i] = reqs[i];
    all[n] = (struct kp_requirement){.key = field,
        .op = value ? KP_SELECTOR_IN : KP_SELECTOR_NOT_EXISTS,
        .n_values = value ? 1 : 0,
        .values = &value};
    return kp_selector_create(all, n + 1, ret, err);
}

static int add_part(struct kp_call *call, const struct kp_merge_query *query, const char *field,
    const char *value, struct kp_merger *merger)
{
    struct kp_merge_query part = *query;
    struct kp_merge_stats stats;
    struct kp_selector *selector = NULL;
    struct kp_profile *profile = NULL;
    struct kp_error err = {0};
    int rc = select_part(query->select.selector, field, value, &selector, &err);
    part.select.selector = selector;
    if (rc == 0)
        rc = kp_store_merge(call->api->options.store, &part, &profile, &stats, &err);
    if (rc == 0) {
        if (value)
            kp_profile_set_label(profile, field, value);
        rc = kp_merger_add(merger, profile, 1, &err);
    } else if (rc == KP_NOT_FOUND) { // of its captures all were left out
        rc = 0;
    }
    kp_profile_free(profile);
    kp_selector_destroy(selector);
    return rc == 0 ? 0 : kp_fail(&call->error, rc, "%s", err.text);
}

static int add_parts(struct kp_call *call, const struct kp_merge_query *query, const char *field,
    const struct values *values, struct kp_merger *merger)
{
    int rc = add_part(call, query, field, NULL, merger);
    for (size_t i = 0; rc == 0 && i < values->list.n; i++) {
        rc = add_part(call, query, field, values->list.items[i], merger);
        if (rc == 0 && kp_merger_bytes(merger) > MAX_BYTES)
            rc = kp_fail(&call->error, KP_LIMIT,
                "the stacks of each %s take more than %zu MiB together: select fewer profiles", field,
                MAX_BYTES >> 20);
    }
    return rc;
}

int kp_split_sum(
    struct kp_call *call, const struct kp_merge_query *query, const char *field, struct kp_profile **profile)
{
    struct values values = {0};
    struct kp_store_query select = query->select;
    int rc = 0;
    if (query->n_ids > 0)
        return kp_fail(&call->error, KP_INVALID,
            "by: %s is a field of descriptions, which are not looked at when profiles are named by ids: "
            "select "
            "them by service, type, selector and times",
            field);
    select.stop = &call->stop;
    rc = kp_store_labels(call->api->options.store, &select, field, on_value, &values, &call->error);
    if (rc == 0 && values.n_more > 0)
        rc = kp_fail(&call->error, KP_LIMIT,
            "by: there are %zu values of %s, more than %d: select fewer profiles",
            values.list.n + values.n_more, field, MAX_VALUES);
    if (rc == 0 && values.list.n > 0) {
        struct kp_merger *merger = kp_merger_create();
        rc = add_parts(call, query, field, &values, merger);
        if (rc == 0) {
            kp_profile_free(*profile);
            *profile = kp_merger_profile(merger);
        }
        kp_merger_destroy(merger);
    }
    values_finish(&values);
    return rc;
}
