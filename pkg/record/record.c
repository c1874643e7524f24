#include "record/record.h"

#include <endian.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/text.h"
#include "record/member.h"
#include "base/banned.h"

// Numbers are for ever: they lie in logs and spools.
// clang-format off
#define STR(number, member, max) KP_MEMBER(struct kp_record, number, KP_MEMBER_STR, member, max)
#define I64(number, member)      KP_MEMBER(struct kp_record, number, KP_MEMBER_I64, member, 0)
#define U64(number, member)      KP_MEMBER(struct kp_record, number, KP_MEMBER_U64, member, 0)
#define U32(number, member)      KP_MEMBER(struct kp_record, number, KP_MEMBER_U32, member, 0)

static const struct kp_member members[] = {
    STR(1, service, KP_MAX_SERVICE_NAME),
    STR(2, type, KP_MAX_TYPE_NAME),
    STR(3, format, 15),
    STR(4, namespace, 63),
    STR(5, pod, 253),
    STR(6, pod_uid, 63),
    STR(7, container, 63),
    STR(8, container_id, 253),
    STR(9, node, 253),
    STR(10, workload_kind, 63),
    STR(11, workload_name, 253),
    STR(12, revision, 253),
    STR(13, version, 253),
    STR(14, image, 1024),
    STR(15, image_digest, 253),
    STR(16, architecture, 63),
    STR(17, path, 1024),
    U32(18, port),
    U32(19, restarts),
    I64(20, container_started_ms),
    I64(21, slot_ms),
    I64(22, start_ms),
    I64(23, end_ms),
    I64(24, interval_ms),
    I64(25, duration_ms),
    U32(26, sample_k),
    U32(27, sample_n),
    STR(28, policies, 4096),
    I64(29, retention_ms),
    STR(30, key, KP_CAPTURE_KEY_TEXT - 1),
    I64(31, received_ms),
    STR(32, id, 127),
    U64(33, size_bytes),
};
// clang-format on
#define N_MEMBERS (sizeof members / sizeof members[0])

#define NUMBER_LABEL 40 // one nested message per label: 1 key, 2 value

void kp_record_init(struct kp_record *record)
{
    memset(record, 0, sizeof *record);
}

void kp_record_finish(struct kp_record *record)
{
    kp_members_free(members, N_MEMBERS, record);
    kp_labels_destroy(record->labels);
    record->labels = NULL;
}

void kp_record_copy(struct kp_record *to, const struct kp_record *from)
{
    memset(to, 0, sizeof *to);
    kp_members_copy(members, N_MEMBERS, to, from);
    to->labels = kp_labels_copy(from->labels);
}

bool kp_record_equal(const struct kp_record *a, const struct kp_record *b)
{
    static const struct kp_labels none;
    return kp_members_equal(members, N_MEMBERS, a, b) &&
           kp_labels_equal(a->labels ? a->labels : &none, b->labels ? b->labels : &none);
}

static void encode_labels(const struct kp_labels *labels, struct kp_strbuf *out)
{
    kp_auto_strbuf one;
    kp_strbuf_init(&one, KP_MAX_LABEL_KEY + KP_MAX_LABEL_VALUE + 32);
    for (size_t i = 0; labels && i < labels->n; i++) {
        kp_strbuf_clear(&one);
        kp_wire_put_str(&one, 1, labels->items[i].key);
        kp_wire_put_str(&one, 2, labels->items[i].value);
        if (one.overflow)
            out->overflow = true;
        kp_wire_put_bytes(out, NUMBER_LABEL, one.data, one.len);
    }
}

void kp_record_encode(const struct kp_record *record, struct kp_strbuf *out)
{
    kp_members_encode(members, N_MEMBERS, record, out);
    encode_labels(record->labels, out);
}

// ---- decode ----

struct label_texts {
    KP_ARRAY(struct kp_label) pairs; // strings owned
};

static void label_texts_finish(struct label_texts *t)
{
    for (size_t i = 0; i < t->pairs.n; i++) {
        kp_free((char *)(uintptr_t)t->pairs.items[i].key);
        kp_free((char *)(uintptr_t)t->pairs.items[i].value);
    }
    kp_array_free(&t->pairs);
}

static int decode_label(const struct kp_wire *field, struct label_texts *ret, struct kp_error *err)
{
    if (!field->is_bytes)
        return kp_fail(err, KP_CORRUPT, "a label is not a message");
    if (ret->pairs.n == KP_MAX_LABELS)
        return kp_fail(err, KP_CORRUPT, "more than %d labels", KP_MAX_LABELS);
    struct kp_label *pair = kp_array_add(&ret->pairs);
    *pair = (struct kp_label){0};
    struct kp_wire w;
    kp_wire_start(&w, field->data, field->len);
    while (kp_wire_next(&w)) {
        if (!w.is_bytes || w.number < 1 || w.number > 2)
            continue;
        if (w.len > (w.number == 1 ? KP_MAX_LABEL_KEY : KP_MAX_LABEL_VALUE) ||
            (w.len > 0 && memchr(w.data, 0, w.len)))
            return kp_fail(err, KP_CORRUPT, "a label's %s is too long or holds a NUL byte",
                w.number == 1 ? "key" : "value");
        const char **slot = w.number == 1 ? &pair->key : &pair->value;
        kp_free((char *)(uintptr_t)*slot);
        *slot = kp_strndup(w.len > 0 ? (const char *)w.data : "", w.len);
    }
    if (w.bad || pair->key == NULL || pair->key[0] == '\0')
        return kp_fail(err, KP_CORRUPT, "a label is cut short or has no key");
    if (pair->value == NULL)
        pair->value = kp_strdup("");
    return 0;
}

static int decode_fields(
    const void *data, size_t len, struct kp_record *record, struct label_texts *labels, struct kp_error *err)
{
    if (len > KP_MAX_RECORD_BYTES)
        return kp_fail(
            err, KP_CORRUPT, "a record of %zu bytes, at most %d are allowed", len, KP_MAX_RECORD_BYTES);
    struct kp_wire w;
    kp_wire_start(&w, data, len);
    while (kp_wire_next(&w)) {
        bool known;
        int rc = w.number == NUMBER_LABEL ? decode_label(&w, labels, err)
                                          : kp_members_take(members, N_MEMBERS, &w, record, &known, err);
        if (rc != 0)
            return rc;
    }
    return w.bad ? kp_fail(err, KP_CORRUPT, "a record is cut short") : 0;
}

int kp_record_decode(const void *data, size_t len, struct kp_record *ret, struct kp_error *err)
{
    struct kp_record record = {0};
    struct label_texts labels = {0};
    int rc = decode_fields(data, len, &record, &labels, err);
    if (rc == 0) {
        record.labels = kp_labels_create(labels.pairs.items, labels.pairs.n);
        *ret = record;
    } else {
        kp_record_finish(&record);
    }
    label_texts_finish(&labels);
    return rc;
}

// ---- frames ----

void kp_capture_frame(struct kp_strbuf *out, const struct kp_record *record, const void *profile, size_t len)
{
    kp_auto_strbuf head;
    kp_strbuf_init(&head, KP_MAX_RECORD_BYTES);
    kp_record_encode(record, &head);
    if (head.overflow)
        out->overflow = true;
    uint32_t size = htole32((uint32_t)head.len);
    kp_strbuf_add(out, &size, sizeof size);
    kp_strbuf_add(out, head.data, head.len);
    kp_strbuf_add(out, profile, len);
}

int kp_capture_unframe(const void *data, size_t len, struct kp_record *ret_record,
    const uint8_t **ret_profile, size_t *ret_len, struct kp_error *err)
{
    uint32_t size;
    if (len < sizeof size)
        return kp_fail(err, KP_CORRUPT, "a capture of %zu bytes is cut short", len);
    memcpy(&size, data, sizeof size);
    size = le32toh(size);
    if (size > len - sizeof size)
        return kp_fail(err, KP_CORRUPT, "a capture whose record has %u bytes, but only %zu follow", size,
            len - sizeof size);
    const uint8_t *record = (const uint8_t *)data + sizeof size;
    int rc = kp_record_decode(record, size, ret_record, err);
    if (rc != 0)
        return rc;
    *ret_profile = record + size;
    *ret_len = len - sizeof size - size;
    return 0;
}

// ---- key ----

static void add_part(struct kp_strbuf *buf, const char *s)
{
    uint32_t len = s ? (uint32_t)strlen(s) : 0;
    uint32_t le = htole32(len);
    kp_strbuf_add(buf, &le, sizeof le); // so that "a"+"bc" is not "ab"+"c"
    kp_strbuf_add(buf, s ? s : "", len);
}

void kp_capture_key(char out[KP_CAPTURE_KEY_TEXT], const char *pod_uid, const char *container, uint32_t port,
    const char *path, const char *type, int64_t slot_ms)
{
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, KP_MAX_RECORD_BYTES);
    add_part(&buf, pod_uid);
    add_part(&buf, container);
    add_part(&buf, path);
    add_part(&buf, type);
    uint64_t numbers[2] = {htole64(port), htole64((uint64_t)slot_ms)};
    kp_strbuf_add(&buf, numbers, sizeof numbers);
    uint64_t high = kp_hash64(buf.data, buf.len, 0x6b65792d68696768); // two independent seeds
    uint64_t low = kp_hash64(buf.data, buf.len, 0x6b65792d6c6f7720);
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++) {
        out[i] = digits[(high >> (60 - 4 * i)) & 15];
        out[16 + i] = digits[(low >> (60 - 4 * i)) & 15];
    }
    out[32] = '\0';
}
