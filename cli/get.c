// get: what is kept (profiles, services, types), what is captured (targets), what is asked for (policies).
#include "cli/get.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/text.h"
#include "cli/ask.h"
#include "cli/command.h"
#include "base/banned.h"

#define WATCH_MS 2000

static const char *text_of(const json_t *item, const char *key)
{
    return json_string_value(json_object_get(item, key));
}

static const char *namespace_of(const json_t *item)
{
    const char *flat = text_of(item, "namespace");
    return flat ? flat : json_string_value(json_object_get(json_object_get(item, "metadata"), "namespace"));
}

static int list(struct kp_cli *cli, struct kp_get *get, json_t **ret, struct kp_error *err)
{
    int rc = get->resource->list(cli, get, ret, err);
    while (rc == 0 && cli->flags.limit > 0 && json_array_size(*ret) > (size_t)cli->flags.limit)
        json_array_remove(*ret, json_array_size(*ret) - 1);
    return rc;
}

static struct kp_table *table_of(const struct kp_get *get, const json_t *items)
{
    static const char *columns[32];
    size_t n = 0;
    if (get->with_namespace)
        columns[n++] = "NAMESPACE";
    for (const char *const *c = get->resource->columns; *c; c++)
        columns[n++] = *c;
    for (const char *const *c = get->resource->wide; get->is_wide && *c; c++)
        columns[n++] = *c;
    if (get->with_labels)
        columns[n++] = "LABELS";
    columns[n] = NULL;
    struct kp_table *table = kp_table_create(columns);
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item)
    {
        if (get->with_namespace)
            kp_table_cell(table, namespace_of(item));
        get->resource->row(get, item, table);
        if (get->with_labels)
            kp_get_labels_cell(table, json_object_get(item, "labels"));
    }
    return table;
}

static int print_items(
    struct kp_cli *cli, struct kp_get *get, json_t *items, bool headers, struct kp_error *err)
{
    get->now_ms = kp_now_ms();
    if (kp_output_is_data(&get->output)) {
        json_t *list = json_pack("{s:s,s:O}", "kind", "List", "items", items);
        bool is_one = get->n_ids == 1 && json_array_size(items) == 1;
        int rc = kp_output_print(cli, &get->output, is_one ? json_array_get(items, 0) : list, err);
        json_decref(list);
        return rc;
    }
    size_t i;
    json_t *item;
    if (get->output.kind == KP_OUTPUT_NAME) {
        json_array_foreach(items, i, item)
        {
            const char *name = get->resource->name(item);
            kp_auto_free char *line = kp_asprintf("%s/%s\n", get->resource->kind, name ? name : "");
            kp_cli_write(cli, cli->out, line, strlen(line));
        }
        return 0;
    }
    struct kp_table *table = table_of(get, items);
    kp_table_print(table, headers && !cli->flags.no_headers, cli->out);
    kp_table_destroy(table);
    return 0;
}

static void say_nothing_found(struct kp_cli *cli, const struct kp_get *get)
{
    size_t len = strcspn(get->resource->names, " ");
    if (cli->flags.all_namespaces || kp_ask_is_direct(cli))
        fprintf(cli->err, "No %.*s found.\n", (int)len, get->resource->names);
    else
        fprintf(cli->err, "No %.*s found in namespace %s.\n", (int)len, get->resource->names,
            kp_session_namespace(cli));
}

// ---- watching ----

struct seen {
    char *key;
    json_t *item;
    UT_hash_handle hh;
};

static char *key_of(const struct kp_get *get, const json_t *item)
{
    const char *container = text_of(item, "container");
    const char *namespace = namespace_of(item);
    return kp_asprintf("%s/%s/%s/%lld", namespace ? namespace : "", get->resource->name(item),
        container ? container : "", (long long)json_integer_value(json_object_get(item, "port")));
}

// Whether it is new or not as it was; remembers it. When the state was taken does not count.
static bool is_news(struct seen **all, const struct kp_get *get, json_t *item)
{
    char *key = key_of(get, item);
    struct seen *seen;
    json_t *bare = json_copy(item);
    json_object_del(bare, "time");
    HASH_FIND_STR(*all, key, seen);
    if (seen == NULL) {
        seen = KP_NEW(struct seen);
        seen->key = kp_take(key);
        HASH_ADD_KEYPTR(hh, *all, seen->key, strlen(seen->key), seen);
    }
    kp_free(key);
    bool changed = !json_equal(seen->item, bare);
    json_decref(seen->item);
    seen->item = bare;
    return changed;
}

static void forget(struct seen **all)
{
    struct seen *seen;
    struct seen *next;
    HASH_ITER (hh, *all, seen, next) {
        HASH_DEL(*all, seen);
        kp_free(seen->key);
        json_decref(seen->item);
        kp_free(seen);
    }
}

static void on_time(void *user)
{
    *(bool *)user = true;
}

static void on_stop(void *user)
{
    *(bool *)user = true;
}

static int pause_for(struct kp_cli *cli, int64_t ms, struct kp_error *err)
{
    bool done = false;
    struct kp_timer *timer = kp_timer_create(cli->session->loop, on_time, &done);
    kp_timer_start(timer, ms, 0);
    cli->session->on_interrupt = on_stop;
    cli->session->interrupt_user = &done;
    int rc = kp_session_wait(cli, &done, err);
    cli->session->on_interrupt = NULL;
    kp_timer_destroy(timer);
    return rc;
}

// Lists again and again, and prints what is not as it was, the oldest first.
static int watch(struct kp_cli *cli, struct kp_get *get, json_t *items, struct kp_error *err)
{
    struct seen *all = NULL;
    size_t i;
    json_t *item;
    int rc = 0;
    json_array_foreach(items, i, item) is_news(&all, get, item);
    while (rc == 0 && fflush(cli->out) == 0 && (rc = pause_for(cli, WATCH_MS, err)) == 0) {
        json_t *now = NULL;
        json_t *news = json_array();
        struct kp_error failed = {0};
        if (list(cli, get, &now, &failed) != 0) {
            if (failed.code == KP_CANCELED || failed.code == KP_DENIED || failed.code == KP_UNAUTHENTICATED)
                rc = kp_cli_pass(err, &failed);
            else
                kp_cli_note(cli, "%s; trying again", failed.text);
        }
        for (i = json_array_size(now); i-- > 0;)
            if (is_news(&all, get, json_array_get(now, i)))
                json_array_append(news, json_array_get(now, i));
        if (rc == 0 && json_array_size(news) > 0)
            rc = print_items(cli, get, news, false, err);
        json_decref(news);
        json_decref(now);
    }
    forget(&all);
    return rc;
}

// ---- the command ----

// What chooses among profiles is not left out of an answer without a word.
static int check_flags(struct kp_cli *cli, const struct kp_get *get, struct kp_error *err)
{
    const struct kp_cli_flags *f = &cli->flags;
    const bool is_policies = kp_streq(get->resource->kind, "policy");
    const struct {
        const char *flag;
        bool is_given;
    } flags[] = {{"--type", f->types.n > 0 || kp_cli_given(f->profile_type)},
        {"--selector", kp_cli_given(f->selector)}, {"--revision", kp_cli_given(f->revision)},
        {"--from", kp_cli_given(f->from)}, {"--to", kp_cli_given(f->to)},
        {"--service", is_policies && kp_cli_given(f->service)}};
    const bool is_profiles = kp_get_has_ids(get->resource);
    if (f->types.n > 1)
        return kp_cli_usage(cli, err, "one --type at a time");
    for (size_t i = 0; i < KP_COUNT(flags); i++)
        if (flags[i].is_given && (!is_profiles || get->n_ids > 0))
            return kp_cli_usage(cli, err, "%s chooses among profiles, and is of no use %s", flags[i].flag,
                get->n_ids > 0 ? "with ids" : "here");
    return 0;
}

static int run(struct kp_cli *cli, struct kp_get *get, struct kp_error *err)
{
    json_t *items = NULL;
    int rc = list(cli, get, &items, err);
    if (rc == 0 && json_array_size(items) == 0 && !kp_output_is_data(&get->output) && cli->n_failures == 0)
        say_nothing_found(cli, get);
    if (rc == 0 && (json_array_size(items) > 0 || kp_output_is_data(&get->output)))
        rc = print_items(cli, get, items, true, err);
    if (rc == 0 && cli->flags.watch)
        rc = watch(cli, get, items, err);
    json_decref(items);
    return rc;
}

int kp_cli_get(struct kp_cli *cli, struct kp_error *err)
{
    struct kp_get get = {.resource = kp_get_resource(cli->args[0]),
        .ids = cli->args + 1,
        .n_ids = cli->n_args - 1,
        .with_namespace = cli->flags.all_namespaces,
        .with_labels = cli->flags.show_labels};
    if (get.resource == NULL)
        return kp_cli_usage(cli, err,
            "there is nothing called '%.60s' to get: profiles, services, types, targets or policies",
            cli->args[0]);
    if (get.n_ids > 0 && !kp_get_has_ids(get.resource))
        return kp_cli_usage(cli, err, "only profiles are got by id");
    int rc = check_flags(cli, &get, err);
    if (rc == 0)
        rc = kp_output_parse(cli, &get.output, err);
    get.is_wide = get.output.kind == KP_OUTPUT_WIDE;
    if (rc == 0)
        rc = run(cli, &get, err);
    kp_output_finish(&get.output);
    return rc;
}
