#include "controller/nodes.h"

#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_NODES        10000
#define MAX_REQUESTS     4
#define KEEP_MS          86400000
#define RETRY_MS         600000
#define TIMEOUT_MS       10000
#define ARCH_LABEL       "kubernetes.io/arch"
#define MAX_ARCHITECTURE 63 // of a record

enum state {
    STATE_RESTING,
    STATE_QUEUED,
    STATE_READING,
};

struct node {
    char *name, *architecture; // NULL: not known
    enum state state;
    int64_t ask_after_ms;    // monotonic
    struct kp_list in_queue; // while STATE_QUEUED
    struct kp_kube_call *call;
    struct kp_nodes *owner;
    UT_hash_handle hh;
};

struct kp_nodes {
    struct kp_nodes_options options;
    struct node *map; // the one longest not used first
    struct kp_list queue;
    size_t n_reading, n_queued;
    int64_t denied_until_ms;
    bool denial_said;
};

// ---- the map ----

static struct node *find(struct kp_nodes *nodes, const char *name)
{
    struct node *node;
    HASH_FIND_STR(nodes->map, name, node);
    if (node != NULL) { // it is the one last used now
        HASH_DEL(nodes->map, node);
        HASH_ADD_KEYPTR(hh, nodes->map, node->name, strlen(node->name), node);
    }
    return node;
}

static void drop(struct node *node)
{
    struct kp_nodes *nodes = node->owner;
    HASH_DEL(nodes->map, node);
    if (node->state == STATE_QUEUED) {
        kp_list_remove(&node->in_queue);
        nodes->n_queued--;
    } else if (node->state == STATE_READING) {
        kp_kube_forget(node->call);
        nodes->n_reading--;
    }
    kp_free(node->name);
    kp_free(node->architecture);
    kp_free(node);
}

static struct node *add(struct kp_nodes *nodes, const char *name)
{
    if (HASH_COUNT(nodes->map) >= nodes->options.max_nodes)
        drop(nodes->map);
    struct node *node = KP_NEW(struct node);
    node->name = kp_strdup(name);
    node->owner = nodes;
    HASH_ADD_KEYPTR(hh, nodes->map, node->name, strlen(node->name), node);
    return node;
}

// ---- reading ----

static const char *architecture_of(json_t *json)
{
    json_t *info = json_object_get(json_object_get(json, "status"), "nodeInfo");
    const char *text = json_string_value(json_object_get(info, "architecture"));
    if (text == NULL || text[0] == '\0') {
        json_t *labels = json_object_get(json_object_get(json, "metadata"), "labels");
        text = json_string_value(json_object_get(labels, ARCH_LABEL));
    }
    return text != NULL && strlen(text) <= MAX_ARCHITECTURE && kp_kube_name_valid(text) ? text : NULL;
}

static void denied(struct kp_nodes *nodes, const struct kp_error *err)
{
    nodes->denied_until_ms = kp_mono_ms() + nodes->options.retry_ms;
    kp_list_foreach_safe (at, &nodes->queue) {
        kp_list_remove(at);
        kp_container_of(at, struct node, in_queue)->state = STATE_RESTING;
    }
    nodes->n_queued = 0;
    if (!nodes->denial_said)
        KP_WARN("may not read nodes: captures go without the architecture (give the controller's "
                "ServiceAccount 'get' on nodes by a ClusterRole)",
            KP_E(err));
    nodes->denial_said = true;
}

static void on_node(void *user, int http_status, json_t *json, const struct kp_error *err);

static void read_next(struct kp_nodes *nodes)
{
    while (nodes->n_reading < nodes->options.max_requests && !kp_list_empty(&nodes->queue)) {
        struct node *node = kp_container_of(nodes->queue.next, struct node, in_queue);
        kp_list_remove(&node->in_queue);
        nodes->n_queued--;
        kp_auto_free char *path = kp_asprintf("/api/v1/nodes/%s", node->name);
        struct kp_kube_request request = {.method = "GET",
            .path = path,
            .max_body = 2 * KP_MIB,
            .timeout_ms = TIMEOUT_MS,
            .max_tries = 2,
            .on_done = on_node,
            .user = node};
        bool started = kp_kube_start(nodes->options.kube, &request, &node->call, NULL) == 0;
        node->state = started ? STATE_READING : STATE_RESTING;
        if (started)
            nodes->n_reading++;
        else
            node->ask_after_ms = kp_mono_ms() + nodes->options.retry_ms;
    }
}

static void on_node(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct node *node = user;
    struct kp_nodes *nodes = node->owner;
    const char *architecture = err == NULL ? architecture_of(json) : NULL;
    node->call = NULL;
    node->state = STATE_RESTING;
    nodes->n_reading--;
    if (architecture != NULL || http_status == 404) {
        kp_free(node->architecture);
        node->architecture = architecture != NULL ? kp_strdup(architecture) : NULL;
    }
    int64_t wait_ms = architecture != NULL ? nodes->options.keep_ms : nodes->options.retry_ms;
    node->ask_after_ms = kp_mono_ms() + wait_ms;
    if (err != NULL && err->code == KP_CANCELED)
        return; // the client ends
    if (err != NULL && err->code == KP_DENIED)
        denied(nodes, err);
    else if (architecture == NULL)
        KP_DEBUG("architecture of a node is not known", KP_S("node", node->name),
            KP_S("error", err != NULL ? err->text : "the answer does not name one"));
    read_next(nodes);
}

void kp_nodes_ask(struct kp_nodes *nodes, const char *name)
{
    int64_t now = kp_mono_ms();
    if (now < nodes->denied_until_ms || name == NULL || !kp_kube_name_valid(name))
        return;
    struct node *node = find(nodes, name);
    if (node == NULL)
        node = add(nodes, name);
    if (node->state != STATE_RESTING || now < node->ask_after_ms)
        return;
    node->state = STATE_QUEUED;
    kp_list_append(&nodes->queue, &node->in_queue);
    nodes->n_queued++;
    read_next(nodes);
}

const char *kp_nodes_architecture(struct kp_nodes *nodes, const char *name)
{
    struct node *node = name != NULL ? find(nodes, name) : NULL;
    return node != NULL ? node->architecture : NULL;
}

size_t kp_nodes_asked(const struct kp_nodes *nodes)
{
    return nodes->n_reading + nodes->n_queued;
}

// ---- life ----

struct kp_nodes *kp_nodes_create(const struct kp_nodes_options *options)
{
    struct kp_nodes *nodes = KP_NEW(struct kp_nodes);
    nodes->options = *options;
    if (nodes->options.max_nodes == 0)
        nodes->options.max_nodes = MAX_NODES;
    if (nodes->options.max_requests == 0)
        nodes->options.max_requests = MAX_REQUESTS;
    if (nodes->options.keep_ms == 0)
        nodes->options.keep_ms = KEEP_MS;
    if (nodes->options.retry_ms == 0)
        nodes->options.retry_ms = RETRY_MS;
    kp_list_init(&nodes->queue);
    return nodes;
}

void kp_nodes_destroy(struct kp_nodes *nodes)
{
    if (nodes == NULL)
        return;
    struct node *node, *next;
    HASH_ITER (hh, nodes->map, node, next)
        drop(node);
    kp_free(nodes);
}
