#include "controller/namespaces.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/banned.h"

#define BATCH      1000
#define COLLECT_MS 20
#define RETRY_MS   1000
#define RETRY_MAX  60000
#define MAX_BODY   (1u << 20)

struct item {
    char *name, *created;
    bool due, in_flight;
    UT_hash_handle hh;
};

struct kp_namespaces {
    struct kp_namespaces_options options;
    struct kp_timer *timer;
    struct kp_backoff backoff;
    struct item *items;
    bool posting, busy, asks;
    // All are told, in parts that the registry counts: what was sent to one that has gone since does not
    // count. restart: from the first part on, when what is under way has its answer
    bool tells_all, restart, is_last; // is_last: of what is under way
    int64_t part;
    uint64_t round, salt; // salt: another leader's rounds are not ours
};

static void item_free(struct kp_namespaces *n, struct item *item)
{
    HASH_DEL(n->items, item);
    kp_free(item->name);
    kp_free(item->created);
    kp_free(item);
}

// ---- what is due ----

static size_t count_due(const struct kp_namespaces *n)
{
    struct item *item, *next;
    size_t count = 0;
    HASH_ITER (hh, n->items, item, next)
        count += item->due;
    return count;
}

static void begin_round(struct kp_namespaces *n)
{
    struct item *item, *next;
    HASH_ITER (hh, n->items, item, next)
        item->due = true;
    n->tells_all = true;
    n->restart = false;
    n->part = 0;
    n->round++;
}

// ---- one post ----

static void settle_items(struct kp_namespaces *n, bool again)
{
    struct item *item, *next;
    HASH_ITER (hh, n->items, item, next) {
        item->due = item->due || (item->in_flight && again);
        item->in_flight = false;
    }
}

static void on_posted(void *poster, enum kp_namespaces_answer answer)
{
    struct kp_namespaces *n = poster;
    bool was_round = n->tells_all;
    bool failed = answer == KP_NAMESPACES_AGAIN || (answer == KP_NAMESPACES_TELL_ALL && was_round);
    n->busy = false;
    settle_items(n, answer == KP_NAMESPACES_AGAIN);
    if (!failed)
        kp_backoff_reset(&n->backoff);
    if (n->restart || answer == KP_NAMESPACES_TELL_ALL || (failed && was_round))
        begin_round(n);
    else if (answer == KP_NAMESPACES_REFUSED || n->is_last)
        n->tells_all = false;
    if (answer == KP_NAMESPACES_TELL_ALL && n->options.on_new != NULL)
        n->options.on_new(n->options.user);
    if (n->posting && !n->busy && (n->tells_all || count_due(n) > 0))
        kp_timer_start(n->timer, failed ? kp_backoff_next_ms(&n->backoff, kp_mono_ms()) : 1, 0);
}

// Returns whether more are due.
static bool add_items(struct kp_namespaces *n, struct kp_strbuf *text)
{
    struct item *item, *next;
    size_t count = 0;
    HASH_ITER (hh, n->items, item, next) {
        if (!item->due)
            continue;
        if (count == n->options.max_batch)
            return true;
        kp_strbuf_adds(text, count++ > 0 ? ",{\"name\":" : "{\"name\":");
        kp_strbuf_add_json(text, item->name);
        kp_strbuf_adds(text, ",\"created\":");
        kp_strbuf_add_json(text, item->created);
        kp_strbuf_addc(text, '}');
        item->due = false;
        item->in_flight = true;
    }
    return false;
}

static void on_timer(void *user)
{
    struct kp_namespaces *n = user;
    kp_auto_strbuf text;
    if (!n->posting || n->busy || !(n->tells_all || n->asks || count_due(n) > 0))
        return;
    if (n->options.may_post != NULL && !n->options.may_post(n->options.user)) {
        kp_timer_start(n->timer, RETRY_MS, 0);
        return;
    }
    kp_strbuf_init(&text, MAX_BODY);
    kp_strbuf_adds(&text, "{\"items\":[");
    bool more = add_items(n, &text);
    kp_strbuf_addc(&text, ']');
    n->is_last = !more;
    if (n->tells_all)
        kp_strbuf_addf(&text,
            ",\"all\":{\"round\":\"%" PRIx64 "-%" PRIu64 "\",\"part\":%" PRId64 ",\"more\":%s}", n->salt,
            n->round, n->part++, more ? "true" : "false");
    kp_strbuf_addc(&text, '}');
    struct kp_blob *body = kp_blob_copy(text.data, text.len);
    n->busy = true;
    n->asks = false;
    n->options.post(n->options.user, body, on_posted, n);
    kp_blob_unref(body);
}

static void kick(struct kp_namespaces *n)
{
    if (n->posting && !n->busy)
        kp_timer_start(n->timer, COLLECT_MS, 0);
}

// ---- the interface ----

void kp_namespaces_set(struct kp_namespaces *n, const char *name, const char *created)
{
    struct item *item;
    HASH_FIND_STR(n->items, name, item);
    if (created == NULL || created[0] == '\0') {
        if (item != NULL)
            item_free(n, item);
        return;
    }
    if (item != NULL && kp_streq(item->created, created))
        return;
    if (item == NULL) {
        item = KP_NEW(struct item);
        item->name = kp_strdup(name);
        HASH_ADD_KEYPTR(hh, n->items, item->name, strlen(item->name), item);
    }
    kp_free(item->created);
    item->created = kp_strdup(created);
    item->due = true;
    kick(n);
}

void kp_namespaces_tell_all(struct kp_namespaces *n)
{
    if (n->busy)
        n->restart = true;
    else
        begin_round(n);
    kick(n);
}

void kp_namespaces_ask(struct kp_namespaces *n)
{
    if (!n->posting || n->busy || kp_timer_active(n->timer))
        return; // what is under way is an answer as well
    n->asks = true;
    kick(n);
}

void kp_namespaces_set_posting(struct kp_namespaces *n, bool posting)
{
    if (n->posting == posting)
        return;
    n->posting = posting;
    if (posting)
        kp_namespaces_tell_all(n);
    else
        kp_timer_stop(n->timer);
}

struct kp_namespaces *kp_namespaces_create(struct kp_loop *loop, const struct kp_namespaces_options *options)
{
    struct kp_namespaces *n = KP_NEW(struct kp_namespaces);
    n->options = *options;
    if (n->options.max_batch == 0)
        n->options.max_batch = BATCH;
    n->timer = kp_timer_create(loop, on_timer, n);
    n->salt = (uint64_t)kp_now_ms() << 20 ^ (uint64_t)kp_mono_us();
    kp_backoff_init(&n->backoff, RETRY_MS, RETRY_MAX, 0.5, (uint64_t)kp_mono_ms());
    return n;
}

void kp_namespaces_destroy(struct kp_namespaces *n)
{
    struct item *item, *next;
    if (n == NULL)
        return;
    HASH_ITER (hh, n->items, item, next)
        item_free(n, item);
    kp_timer_destroy(n->timer);
    kp_free(n);
}
