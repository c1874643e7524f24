// Pods from the API server's own encoding: one pass over the message picks the fields of struct kp_pod.
// Numbers of the fields: k8s.io/api/core/v1/generated.proto and
// k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto; they never change their meaning, and unknown ones are
// stepped over.
#include "kube/reflector.h"

#include <string.h>

#include "base/arena.h"
#include "base/proto.h"
#include "base/text.h"
#include "kube/pod_draft.h"

#include "base/banned.h"

enum { MOST_TEXTS = 4096 };

struct pod_reader {
    bool bad;
    size_t n_texts;
    struct kp_arena *more_texts; // of the few pods that have more of them
    char texts[MOST_TEXTS];
    struct kp_pod_draft draft;
};

static char *text_room(struct pod_reader *x, size_t len)
{
    if (len > MOST_TEXTS - x->n_texts)
        return kp_arena_alloc(&x->more_texts, len);
    char *room = x->texts + x->n_texts;
    x->n_texts += len;
    return room;
}

// Reads the fields of the message in hand of r with a function of a field.
typedef void (*field_fn)(struct pod_reader *x, const struct kp_proto *field, void *into);

static void read_message(struct pod_reader *x, const struct kp_proto *message, field_fn on_field, void *into)
{
    struct kp_proto r;
    if (message->type != KP_PROTO_BYTES) {
        x->bad = true;
        return;
    }
    kp_proto_start(&r, message->data, message->len);
    while (kp_proto_next(&r))
        on_field(x, &r, into);
    x->bad |= r.bad;
}

// As JSON would have it: what is no UTF-8, and NULs, become U+FFFD.
static const char *mended(struct pod_reader *x, const char *from, size_t len)
{
    static const char replacement[] = "\xef\xbf\xbd";
    char *text = text_room(x, 3 * len + 1);
    char *to = text;
    for (size_t at = 0; at < len;) {
        size_t n = from[at] == '\0' ? 0 : kp_utf8_length(from + at, len - at);
        memcpy(to, n > 0 ? from + at : replacement, n > 0 ? n : 3);
        to += n > 0 ? n : 3;
        at += n > 0 ? n : 1;
    }
    *to = '\0';
    return text;
}

static bool plain(const char *text, size_t len)
{
    unsigned char all = 0;
    unsigned char nul = 0;
    for (size_t i = 0; i < len; i++) {
        all |= (unsigned char)text[i];
        nul |= text[i] == '\0';
    }
    return all < 0x80 && !nul;
}

static const char *text_of(struct pod_reader *x, const struct kp_proto *field)
{
    const char *from = (const char *)field->data;
    if (field->type != KP_PROTO_BYTES) {
        x->bad = true;
        return "";
    }
    if (field->len == 0)
        return "";
    if (!plain(from, field->len))
        return mended(x, from, field->len);
    char *text = text_room(x, field->len + 1);
    memcpy(text, from, field->len);
    text[field->len] = '\0';
    return text;
}

static bool text_is(const struct kp_proto *field, const char *text)
{
    size_t n = strlen(text);
    return field->type == KP_PROTO_BYTES && field->len == n && memcmp(field->data, text, n) == 0;
}

static int64_t number_of(struct pod_reader *x, const struct kp_proto *field)
{
    x->bad |= field->type != KP_PROTO_VARINT;
    return (int64_t)field->value;
}

// ---- a time ----

static void read_time_field(struct pod_reader *x, const struct kp_proto *field, void *into)
{
    int64_t *ms = into;
    if (field->field == 1 && __builtin_mul_overflow(number_of(x, field), 1000, ms))
        *ms = 0;
}

static int64_t time_of(struct pod_reader *x, const struct kp_proto *field)
{
    int64_t ms = 0;
    read_message(x, field, read_time_field, &ms);
    return ms;
}

// ---- metadata ----

struct entry { // of a map<string, string>
    struct kp_proto key, value;
};

static void read_entry_field(struct pod_reader *x, const struct kp_proto *field, void *into)
{
    struct entry *entry = into;
    (void)x;
    if (field->field == 1)
        entry->key = *field;
    else if (field->field == 2)
        entry->value = *field;
}

static struct entry entry_of(struct pod_reader *x, const struct kp_proto *field)
{
    static const struct kp_proto empty = {.type = KP_PROTO_BYTES, .data = (const uint8_t *)""};
    struct entry entry = {empty, empty};
    read_message(x, field, read_entry_field, &entry);
    return entry;
}

static void read_label(struct pod_reader *x, const struct kp_proto *field)
{
    struct entry entry = entry_of(x, field);
    if (kp_pod_draft_more_labels(&x->draft))
        kp_pod_draft_add_label(&x->draft, text_of(x, &entry.key), text_of(x, &entry.value));
}

static void read_annotation(struct pod_reader *x, const struct kp_proto *field)
{
    struct entry entry = entry_of(x, field);
    if (entry.key.type != KP_PROTO_BYTES)
        x->bad = true;
    else if (kp_pod_keeps_annotation((const char *)entry.key.data, entry.key.len) &&
             kp_pod_draft_more_annotations(&x->draft))
        kp_pod_draft_add_annotation(&x->draft, text_of(x, &entry.key), text_of(x, &entry.value));
}

struct owner {
    const char *kind, *name;
    bool controller;
};

static void read_owner_field(struct pod_reader *x, const struct kp_proto *field, void *into)
{
    struct owner *owner = into;
    if (field->field == 1)
        owner->kind = text_of(x, field);
    else if (field->field == 3)
        owner->name = text_of(x, field);
    else if (field->field == 6)
        owner->controller = number_of(x, field) != 0;
}

static void read_owner(struct pod_reader *x, const struct kp_proto *field)
{
    struct owner owner = {"", "", false};
    read_message(x, field, read_owner_field, &owner);
    if (!owner.controller)
        return;
    x->draft.pod.owner_kind = owner.kind;
    x->draft.pod.owner_name = owner.name;
}

static void read_metadata_field(struct pod_reader *x, const struct kp_proto *field, void *into)
{
    struct kp_pod *pod = into;
    switch (field->field) {
    case 1:
        pod->name = text_of(x, field);
        break;
    case 3:
        pod->namespace = text_of(x, field);
        break;
    case 5:
        pod->uid = text_of(x, field);
        break;
    case 6:
        pod->resource_version = text_of(x, field);
        break;
    case 8:
        pod->created_ms = time_of(x, field);
        break;
    case 9:
        pod->deleting = true;
        break;
    case 11:
        read_label(x, field);
        break;
    case 12:
        read_annotation(x, field);
        break;
    case 13:
        read_owner(x, field);
        break;
    default:
        break;
    }
}

// ---- spec ----

struct port {
    const char *name;
    int64_t number;
    bool tcp;
};

static void read_port_field(struct pod_reader *x, const struct kp_proto *field, void *into)
{
    struct port *port = into;
    if (field->field == 1)
        port->name = text_of(x, field);
    else if (field->field == 3)
        port->number = number_of(x, field);
    else if (field->field == 4)
        port->tcp = text_is(field, "") || text_is(field, "TCP");
}

static void read_container_field(struct pod_reader *x, const struct kp_proto *field, void *into)
{
    struct kp_container_draft *c = into;
    struct port port = {"", 0, true};
    switch (field->field) {
    case 1:
        c->c.name = text_of(x, field);
        break;
    case 2:
        c->c.image = text_of(x, field);
        break;
    case 6:
        read_message(x, field, read_port_field, &port);
        kp_pod_draft_add_port(&x->draft, c, port.name, port.number, port.tcp);
        break;
    case 24:
        c->sidecar = text_is(field, "Always");
        break;
    default:
        break;
    }
}

static void read_container(struct pod_reader *x, const struct kp_proto *field, bool init)
{
    struct kp_container_draft c = {.init = init, .first_port = x->draft.n_ports};
    read_message(x, field, read_container_field, &c);
    kp_pod_draft_add_container(&x->draft, &c);
}

static void read_spec_field(struct pod_reader *x, const struct kp_proto *field, void *into)
{
    struct kp_pod *pod = into;
    if (field->field == 2)
        read_container(x, field, false);
    else if (field->field == 10)
        pod->node = text_of(x, field);
    else if (field->field == 11)
        pod->host_network = number_of(x, field) != 0;
    else if (field->field == 20)
        read_container(x, field, true);
}

// ---- status ----

static void read_running_field(struct pod_reader *x, const struct kp_proto *field, void *into)
{
    struct kp_container_status *status = into;
    if (field->field == 1)
        status->started_ms = time_of(x, field);
}

static void read_state_field(struct pod_reader *x, const struct kp_proto *field, void *into)
{
    if (field->field == 2)
        read_message(x, field, read_running_field, into);
}

static void read_container_status_field(struct pod_reader *x, const struct kp_proto *field, void *into)
{
    struct kp_container_status *status = into;
    switch (field->field) {
    case 1:
        status->name = text_of(x, field);
        break;
    case 2:
        read_message(x, field, read_state_field, status);
        break;
    case 4:
        status->ready = number_of(x, field) != 0;
        break;
    case 5:
        status->restarts = kp_pod_draft_restarts(number_of(x, field));
        break;
    case 7:
        status->image_id = text_of(x, field);
        break;
    case 8:
        status->container_id = text_of(x, field);
        break;
    default:
        break;
    }
}

static void read_container_status(struct pod_reader *x, const struct kp_proto *field, bool init)
{
    struct kp_container_status status = {.name = "", .init = init};
    read_message(x, field, read_container_status_field, &status);
    kp_pod_draft_add_status(&x->draft, &status);
}

struct condition {
    struct kp_proto type, status;
    int64_t since_ms;
};

static void read_condition_field(struct pod_reader *x, const struct kp_proto *field, void *into)
{
    struct condition *condition = into;
    if (field->field == 1)
        condition->type = *field;
    else if (field->field == 2)
        condition->status = *field;
    else if (field->field == 4)
        condition->since_ms = time_of(x, field);
}

static void read_condition(struct pod_reader *x, const struct kp_proto *field)
{
    struct condition condition = {0};
    read_message(x, field, read_condition_field, &condition);
    kp_pod_draft_add_condition(&x->draft, text_is(&condition.type, "Ready") ? "Ready" : "",
        text_is(&condition.status, "True") ? "True" : "", condition.since_ms);
}

static void read_address_field(struct pod_reader *x, const struct kp_proto *field, void *into)
{
    if (field->field == 1)
        *(const char **)into = text_of(x, field);
}

// Of the addresses the one that is not the first: a pod has at most two, one of each family.
static void read_address(struct pod_reader *x, const struct kp_proto *field, int *n, const char **other)
{
    if ((*n)++ > 0)
        read_message(x, field, read_address_field, other);
}

struct addresses {
    int n, n_host;
};

static void read_status_field(struct pod_reader *x, const struct kp_proto *field, void *into)
{
    struct addresses *seen = into;
    struct kp_pod *pod = &x->draft.pod;
    switch (field->field) {
    case 1:
        kp_pod_draft_set_phase(&x->draft, text_of(x, field));
        break;
    case 2:
        read_condition(x, field);
        break;
    case 5:
        pod->host_ip = text_of(x, field);
        break;
    case 6:
        pod->ip = text_of(x, field);
        break;
    case 8:
        read_container_status(x, field, false);
        break;
    case 10:
        read_container_status(x, field, true);
        break;
    case 12:
        read_address(x, field, &seen->n, &pod->other_ip);
        break;
    case 16:
        read_address(x, field, &seen->n_host, &pod->other_host_ip);
        break;
    default:
        break;
    }
}

// ---- the whole ----

static void read_pod_field(struct pod_reader *x, const struct kp_proto *field, void *into)
{
    struct addresses seen = {0};
    (void)into;
    if (field->field == 1)
        read_message(x, field, read_metadata_field, &x->draft.pod);
    else if (field->field == 2)
        read_message(x, field, read_spec_field, &x->draft.pod);
    else if (field->field == 3)
        read_message(x, field, read_status_field, &seen);
}

void *kp_decode_pod_protobuf(
    void *user, const char *data, size_t len, char key[512], char rv[64], struct kp_error *err)
{
    const struct kp_proto message = {.type = KP_PROTO_BYTES, .data = (const uint8_t *)data, .len = len};
    struct pod_reader x; // its arrays are written as they are filled
    struct kp_pod *pod = NULL;
    (void)user;
    x.bad = false;
    x.n_texts = 0;
    x.more_texts = NULL;
    kp_pod_draft_start(&x.draft);
    read_message(&x, &message, read_pod_field, NULL);
    if (x.bad)
        kp_fail(err, KP_INVALID, "cannot read a pod: it is no protobuf of a pod");
    else
        pod = kp_pod_draft_build(&x.draft, key, rv, err);
    kp_arena_free(x.more_texts);
    return pod;
}
