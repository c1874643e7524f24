#include "cli/pages.h"

#include "base/alloc.h"
#include "base/text.h"
#include "base/banned.h"

#define PAGE      1000
#define MAX_ITEMS 1000000
#define MAX_EMPTY 1000 // pages in a row without anything; filters leave out a few

// Behind the caller's parameters: how many now, and where to go on.
static void set_page(struct kp_query *query, size_t n_own, size_t limit, const char *cursor)
{
    while (query->items.n > n_own) {
        struct kp_query_item *last = &query->items.items[--query->items.n];
        kp_free(last->key);
        kp_free(last->value);
    }
    kp_query_add_int(query, "limit", (int64_t)(limit < PAGE ? limit : PAGE));
    kp_query_add(query, "cursor", cursor);
}

static void add_items(json_t *items, const json_t *page, size_t limit)
{
    const json_t *more = json_object_get(page, "items");
    for (size_t i = 0; i < json_array_size(more) && json_array_size(items) < limit; i++)
        json_array_append(items, json_array_get(more, i));
}

int kp_pages_list(struct kp_cli *cli, const char *what, struct kp_query *query, size_t limit, json_t *items,
    bool *ret_more, struct kp_error *err)
{
    const size_t n_own = query->items.n;
    size_t n_empty = 0;
    int rc = 0;
    kp_auto_free char *cursor = NULL;
    for (bool more = true; more && rc == 0;) {
        size_t before = json_array_size(items);
        json_t *page = NULL;
        set_page(query, n_own, limit - before, cursor);
        rc = kp_ask_json(cli, what, query, &page, err);
        const char *next = json_string_value(json_object_get(page, "cursor"));
        add_items(items, page, limit);
        n_empty = json_array_size(items) > before ? 0 : n_empty + 1;
        *ret_more = rc == 0 && kp_cli_given(next);
        more = *ret_more && json_array_size(items) < limit;
        if (more && (kp_streq(next, cursor) || n_empty > MAX_EMPTY))
            rc = kp_fail(err, KP_INVALID,
                "the list of %s does not go on: the registry gives page after page "
                "without an end",
                what);
        else if (more && json_array_size(items) > MAX_ITEMS)
            rc = kp_fail(err, KP_LIMIT, "there are more than %d %s: choose with --limit, --from and --to",
                MAX_ITEMS, what);
        kp_free(cursor);
        cursor = kp_strdup(next);
        json_decref(page);
    }
    return rc;
}
