#include "record/member.h"

#include <string.h>

#include "base/alloc.h"
#include "base/outcome.h"
#include "base/text.h"
#include "base/banned.h"

static void *at(void *object, const struct kp_member *row)
{
    return (char *)object + row->offset;
}

static const void *in(const void *object, const struct kp_member *row)
{
    return (const char *)object + row->offset;
}

const char *kp_member_string(const struct kp_member *row, const void *object)
{
    char *s = NULL;
    if (row->kind == KP_MEMBER_STR)
        memcpy(&s, in(object, row), sizeof s);
    return s;
}

static int64_t number(const struct kp_member *row, const void *object)
{
    const void *p = in(object, row);
    switch (row->kind) {
    case KP_MEMBER_I64:
        return *(const int64_t *)p;
    case KP_MEMBER_U64:
        return (int64_t) * (const uint64_t *)p;
    case KP_MEMBER_U32:
        return *(const uint32_t *)p;
    case KP_MEMBER_BOOL:
        return *(const bool *)p;
    case KP_MEMBER_OUTCOME:
        return *(const enum kp_outcome *)p;
    case KP_MEMBER_STR:
        break;
    }
    return 0;
}

void kp_members_encode(const struct kp_member *rows, size_t n, const void *object, struct kp_strbuf *out)
{
    for (size_t i = 0; i < n; i++) {
        if (rows[i].kind == KP_MEMBER_STR) {
            kp_wire_put_str(out, rows[i].number, kp_member_string(&rows[i], object));
            continue;
        }
        int64_t v = number(&rows[i], object);
        if (v == 0)
            continue;
        if (rows[i].kind == KP_MEMBER_I64)
            kp_wire_put_int(out, rows[i].number, v);
        else
            kp_wire_put_uint(out, rows[i].number, (uint64_t)v);
    }
}

static int take_string(
    const struct kp_member *row, const struct kp_wire *w, void *object, struct kp_error *err)
{
    if (!w->is_bytes)
        return kp_fail(err, KP_CORRUPT, "field '%s' is not a text", row->name);
    if (w->len > row->max_len)
        return kp_fail(err, KP_CORRUPT, "field '%s' has %zu bytes, at most %zu are allowed", row->name,
            w->len, row->max_len);
    if (w->len > 0 && memchr(w->data, '\0', w->len) != NULL)
        return kp_fail(err, KP_CORRUPT, "field '%s' holds a NUL byte", row->name);
    char **s = at(object, row);
    kp_free(*s);
    *s = kp_strndup(w->len > 0 ? (const char *)w->data : "", w->len);
    return 0;
}

static int take_number(
    const struct kp_member *row, const struct kp_wire *w, void *object, struct kp_error *err)
{
    void *p = at(object, row);
    uint64_t max = row->kind == KP_MEMBER_U32       ? UINT32_MAX
                   : row->kind == KP_MEMBER_BOOL    ? 1
                   : row->kind == KP_MEMBER_OUTCOME ? KP_OUTCOME_COUNT - 1
                                                    : UINT64_MAX;
    if (w->is_bytes || w->value > max)
        return kp_fail(err, KP_CORRUPT, "field '%s' is not a number in range", row->name);
    switch (row->kind) {
    case KP_MEMBER_I64:
        *(int64_t *)p = kp_wire_int(w);
        break;
    case KP_MEMBER_U64:
        *(uint64_t *)p = w->value;
        break;
    case KP_MEMBER_U32:
        *(uint32_t *)p = (uint32_t)w->value;
        break;
    case KP_MEMBER_BOOL:
        *(bool *)p = w->value != 0;
        break;
    case KP_MEMBER_OUTCOME:
        *(enum kp_outcome *)p = (enum kp_outcome)w->value;
        break;
    case KP_MEMBER_STR:
        break;
    }
    return 0;
}

int kp_members_take(const struct kp_member *rows, size_t n, const struct kp_wire *w, void *object,
    bool *ret_known, struct kp_error *err)
{
    *ret_known = false;
    for (size_t i = 0; i < n; i++) {
        if (rows[i].number != w->number)
            continue;
        *ret_known = true;
        return rows[i].kind == KP_MEMBER_STR ? take_string(&rows[i], w, object, err)
                                             : take_number(&rows[i], w, object, err);
    }
    return 0;
}

void kp_members_free(const struct kp_member *rows, size_t n, void *object)
{
    for (size_t i = 0; i < n; i++) {
        if (rows[i].kind != KP_MEMBER_STR)
            continue;
        char **s = at(object, &rows[i]);
        kp_free(*s);
        *s = NULL;
    }
}

static size_t width(enum kp_member_kind kind)
{
    switch (kind) {
    case KP_MEMBER_STR:
        return sizeof(char *);
    case KP_MEMBER_I64:
    case KP_MEMBER_U64:
        return 8;
    case KP_MEMBER_U32:
        return 4;
    case KP_MEMBER_BOOL:
        return sizeof(bool);
    case KP_MEMBER_OUTCOME:
        return sizeof(enum kp_outcome);
    }
    return 0;
}

void kp_members_copy(const struct kp_member *rows, size_t n, void *to, const void *from)
{
    for (size_t i = 0; i < n; i++) {
        if (rows[i].kind == KP_MEMBER_STR) {
            char **s = at(to, &rows[i]);
            *s = kp_strdup(kp_member_string(&rows[i], from));
        } else {
            memcpy(at(to, &rows[i]), in(from, &rows[i]), width(rows[i].kind));
        }
    }
}

bool kp_members_equal(const struct kp_member *rows, size_t n, const void *a, const void *b)
{
    for (size_t i = 0; i < n; i++) {
        if (rows[i].kind == KP_MEMBER_STR) {
            if (!kp_streq(kp_member_string(&rows[i], a), kp_member_string(&rows[i], b)))
                return false;
        } else if (number(&rows[i], a) != number(&rows[i], b)) {
            return false;
        }
    }
    return true;
}
