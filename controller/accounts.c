#include "controller/accounts.h"

#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/text.h"
#include "controller/walk.h"
#include "base/banned.h"

enum { TEXT_TYPE, TEXT_NAMESPACE, TEXT_POD, TEXT_CONTAINER, TEXT_MESSAGE, N_TEXTS };

struct account {
    const struct kp_policy *policy;
    struct kp_policy_summary summary;
    char *texts[KP_STATUS_MAX_FAILURES][N_TEXTS]; // what its failures point to
    size_t serial_sampled, serial_failing;        // the target that was counted last
    UT_hash_handle hh;
};

struct kp_accounts {
    struct account *accounts;
    struct account *next_account; // to be handed out
    struct account *last;         // that was looked up
    struct kp_walk *walk;
    bool walked;
    size_t serial;
    struct kp_target_totals totals;
};

static struct account *account_of(struct kp_accounts *accounts, const struct kp_policy *policy)
{
    struct account *account = accounts->last;
    if (account != NULL && account->policy == policy)
        return account; // as of most targets in a row
    HASH_FIND_STR(accounts->accounts, policy->key, account);
    if (account != NULL && account->policy == policy)
        accounts->last = account;
    return account;
}

// ---- failures ----

static void set_failure(struct account *account, size_t at, const struct kp_failure_summary *failure)
{
    char **texts = account->texts[at];
    const char *from[N_TEXTS] = {
        failure->type, failure->namespace, failure->pod, failure->container, failure->message};
    for (size_t i = 0; i < N_TEXTS; i++) {
        kp_free(texts[i]);
        texts[i] = kp_strdup(from[i]);
    }
    struct kp_failure_summary *to = &account->summary.failures[at];
    *to = *failure; // the reason is a constant
    to->type = texts[TEXT_TYPE];
    to->namespace = texts[TEXT_NAMESPACE];
    to->pod = texts[TEXT_POD];
    to->container = texts[TEXT_CONTAINER];
    to->message = texts[TEXT_MESSAGE];
}

static void add_failure(struct account *account, const struct kp_failure_summary *failure)
{
    struct kp_policy_summary *summary = &account->summary;
    for (size_t i = 0; i < summary->n_failures; i++) {
        struct kp_failure_summary *known = &summary->failures[i];
        if (!kp_streq(known->reason, failure->reason))
            continue;
        uint32_t targets = known->targets + failure->targets;
        if (failure->time_ms > known->time_ms)
            set_failure(account, i, failure);
        known->targets = targets;
        return;
    }
    if (summary->n_failures < KP_STATUS_MAX_FAILURES)
        set_failure(account, summary->n_failures++, failure);
}

// ---- pods ----

static void add_pod(void *user, const struct kp_pod *pod, const struct kp_pod_match *matches, size_t n)
{
    struct kp_accounts *accounts = user;
    for (size_t i = 0; i < n; i++) {
        const struct kp_pod_match *match = &matches[i];
        struct account *account = account_of(accounts, match->policy);
        if (account == NULL)
            continue;
        account->summary.matched++;
        account->summary.selected += match->n_targets;
        const struct kp_leftout_info *info = kp_leftout_info(match->leftout);
        if (match->leftout == KP_LEFTOUT_NONE || !info->counts)
            continue;
        account->summary.left_out++;
        accounts->totals.left_out++;
        add_failure(account, &(struct kp_failure_summary){.reason = info->name,
                                 .type = "",
                                 .namespace = pod->namespace,
                                 .pod = pod->name,
                                 .container = "",
                                 .message = match->message,
                                 .targets = 1,
                                 .time_ms = pod->created_ms});
    }
}

// ---- targets ----

static struct kp_type_summary *type_of(struct kp_policy_summary *summary, const struct kp_wanted *wanted)
{
    for (size_t i = 0; i < summary->n_types; i++)
        if (kp_streq(summary->types[i].type, wanted->type) ||
            (wanted->alias != NULL && kp_streq(summary->types[i].type, wanted->alias)))
            return &summary->types[i];
    return NULL;
}

static void add_profile_to(struct kp_accounts *accounts, struct account *account,
    const struct kp_target *target, const struct kp_plan_profile *profile)
{
    struct kp_policy_summary *summary = &account->summary;
    if (!profile->sampled)
        return;
    if (account->serial_sampled != accounts->serial) {
        account->serial_sampled = accounts->serial;
        summary->sampled++;
    }
    const struct kp_outcome_info *info = kp_outcome_info(profile->last_outcome);
    struct kp_type_summary *type = type_of(summary, profile->wanted);
    if (type != NULL && (info->class == KP_CLASS_SUCCEEDED || info->class == KP_CLASS_FAILED))
        type->tried++;
    if (info->class != KP_CLASS_FAILED)
        return;
    if (type != NULL)
        type->failed++;
    bool first = account->serial_failing != accounts->serial;
    account->serial_failing = accounts->serial;
    summary->failing += first ? 1 : 0;
    add_failure(account, &(struct kp_failure_summary){.reason = info->name,
                             .type = profile->wanted->type,
                             .namespace = target->pod->namespace,
                             .pod = target->pod->name,
                             .container = target->container->name,
                             .message = profile->message[0] != '\0' ? profile->message : info->advice,
                             .targets = first ? 1 : 0,
                             .time_ms = profile->last_ms});
}

static void add_target(void *user, const struct kp_target *target, const struct kp_plan_profile *profiles)
{
    struct kp_accounts *accounts = user;
    accounts->serial++;
    bool sampled = false, failing = false;
    for (size_t i = 0; i < target->n_wanted; i++) {
        const struct kp_plan_profile *profile = &profiles[i];
        sampled |= profile->sampled;
        failing |= profile->sampled && kp_outcome_info(profile->last_outcome)->class == KP_CLASS_FAILED;
        for (size_t p = 0; p < profile->wanted->n_policies; p++) {
            struct account *account = account_of(accounts, profile->wanted->policies[p]);
            if (account != NULL)
                add_profile_to(accounts, account, target, profile);
        }
    }
    accounts->totals.selected++;
    accounts->totals.sampled += sampled ? 1 : 0;
    accounts->totals.failing += failing ? 1 : 0;
}

// ---- the pass ----

bool kp_accounts_step(struct kp_accounts *accounts, const struct kp_inventory *inventory,
    struct kp_plan *plan, int64_t now_ms, int64_t slice_us)
{
    int64_t end_us = kp_mono_us() + slice_us;
    const struct kp_walk_visit visit = {.pod = add_pod, .target = add_target, .user = accounts};
    while (!accounts->walked) {
        accounts->walked = !kp_walk_step(accounts->walk, inventory, plan, now_ms, &visit);
        if (kp_mono_us() > end_us)
            break;
    }
    return !accounts->walked;
}

const struct kp_target_totals *kp_accounts_totals(const struct kp_accounts *accounts)
{
    return &accounts->totals;
}

bool kp_accounts_each(struct kp_accounts *accounts,
    void (*each)(void *user, const struct kp_policy *policy, struct kp_policy_summary *summary), void *user,
    int64_t slice_us)
{
    int64_t end_us = kp_mono_us() + slice_us;
    while (accounts->next_account != NULL) {
        struct account *account = accounts->next_account;
        accounts->next_account = account->hh.next;
        each(user, account->policy, &account->summary);
        if (kp_mono_us() >= end_us)
            break;
    }
    return accounts->next_account != NULL;
}

// ---- life ----

static void add_account(void *user, const struct kp_policy *policy)
{
    struct kp_accounts *accounts = user;
    struct account *account = KP_NEW(struct account);
    account->policy = kp_policy_ref(policy);
    HASH_ADD_KEYPTR(hh, accounts->accounts, policy->key, strlen(policy->key), account);
    struct kp_policy_summary *summary = &account->summary;
    for (size_t i = 0; i < policy->n_profiles && summary->n_types < KP_STATUS_MAX_TYPES; i++)
        summary->types[summary->n_types++].type = policy->profiles[i].type;
}

struct kp_accounts *kp_accounts_create(const struct kp_inventory *inventory)
{
    struct kp_accounts *accounts = KP_NEW(struct kp_accounts);
    kp_inventory_each_policy(inventory, add_account, accounts);
    accounts->next_account = accounts->accounts;
    accounts->walk = kp_walk_create(inventory, NULL);
    return accounts;
}

void kp_accounts_destroy(struct kp_accounts *accounts)
{
    if (accounts == NULL)
        return;
    struct account *account, *next;
    HASH_ITER (hh, accounts->accounts, account, next) {
        HASH_DEL(accounts->accounts, account);
        for (size_t i = 0; i < account->summary.n_failures; i++)
            for (size_t t = 0; t < N_TEXTS; t++)
                kp_free(account->texts[i][t]);
        kp_policy_unref(account->policy);
        kp_free(account);
    }
    kp_walk_destroy(accounts->walk);
    kp_free(accounts);
}
