#include "controller/namespaces.h"

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
    kp_namespaces_post_fn post;
    void *user;
    struct kp_timer *timer;
    struct kp_backoff backoff;
    struct item *items;
    bool posting, busy;
};

static void item_free(struct kp_namespaces *n, struct item *item)
{
    HASH_DEL(n->items, item);
    kp_free(item->name);
    kp_free(item->created);
    kp_free(item);
}

static void on_posted(void *poster, bool taken)
{
    struct kp_namespaces *n = poster;
    struct item *item, *next;
    bool is_more = false;
    n->busy = false;
    HASH_ITER (hh, n->items, item, next) {
        item->due = item->due || (item->in_flight && !taken);
        item->in_flight = false;
        is_more = is_more || item->due;
    }
    if (taken)
        kp_backoff_reset(&n->backoff);
    if (n->posting && is_more)
        kp_timer_start(n->timer, taken ? 1 : kp_backoff_next_ms(&n->backoff, kp_mono_ms()), 0);
}

static void on_timer(void *user)
{
    struct kp_namespaces *n = user;
    struct item *item, *next;
    size_t count = 0;
    kp_auto_strbuf text;
    if (!n->posting || n->busy)
        return;
    kp_strbuf_init(&text, MAX_BODY);
    kp_strbuf_adds(&text, "{\"items\":[");
    HASH_ITER (hh, n->items, item, next) {
        if (!item->due || count == BATCH)
            continue;
        kp_strbuf_adds(&text, count++ > 0 ? ",{\"name\":" : "{\"name\":");
        kp_strbuf_add_json(&text, item->name);
        kp_strbuf_adds(&text, ",\"created\":");
        kp_strbuf_add_json(&text, item->created);
        kp_strbuf_addc(&text, '}');
        item->due = false;
        item->in_flight = true;
    }
    kp_strbuf_adds(&text, "]}");
    if (count == 0)
        return;
    struct kp_blob *body = kp_blob_copy(text.data, text.len);
    n->busy = true;
    n->post(n->user, body, on_posted, n);
    kp_blob_unref(body);
}

static void kick(struct kp_namespaces *n)
{
    if (n->posting && !n->busy)
        kp_timer_start(n->timer, COLLECT_MS, 0);
}

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
    struct item *item, *next;
    HASH_ITER (hh, n->items, item, next)
        item->due = true;
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

struct kp_namespaces *kp_namespaces_create(struct kp_loop *loop, kp_namespaces_post_fn post, void *user)
{
    struct kp_namespaces *n = KP_NEW(struct kp_namespaces);
    n->post = post;
    n->user = user;
    n->timer = kp_timer_create(loop, on_timer, n);
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
