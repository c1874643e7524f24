#include "controller/limits.h"

#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/banned.h"

#define TOLD_MS   (INT64_C(15) * 60000)
#define MAX_NOTES 10000

struct note {
    char *policy, *message;
    int64_t told_mono_ms;
    UT_hash_handle hh;
};

struct kp_limit_notes {
    struct note *all;
};

struct kp_limit_notes *kp_limit_notes_create(void)
{
    return KP_NEW(struct kp_limit_notes);
}

static void drop(struct kp_limit_notes *notes, struct note *note)
{
    HASH_DEL(notes->all, note);
    kp_free(note->policy);
    kp_free(note->message);
    kp_free(note);
}

void kp_limit_notes_destroy(struct kp_limit_notes *notes)
{
    struct note *note;
    struct note *next;
    if (notes == NULL)
        return;
    HASH_ITER (hh, notes->all, note, next)
        drop(notes, note);
    kp_free(notes);
}

static void add(struct kp_limit_notes *notes, const char *policy, const char *message, int64_t mono_ms)
{
    struct note *note;
    HASH_FIND_STR(notes->all, policy, note);
    if (note == NULL) {
        if (HASH_COUNT(notes->all) >= MAX_NOTES)
            return;
        note = KP_NEW(struct note);
        note->policy = kp_strdup(policy);
        HASH_ADD_KEYPTR(hh, notes->all, note->policy, strlen(note->policy), note);
    }
    kp_free(note->message);
    note->message = kp_strdup(message);
    note->told_mono_ms = mono_ms;
}

void kp_limit_notes_add(
    struct kp_limit_notes *notes, const char *policies, const char *message, int64_t mono_ms)
{
    kp_auto_free char *copy = kp_strdup(policies ? policies : "");
    char *rest = copy;
    for (char *key = strsep(&rest, ","); key != NULL; key = strsep(&rest, ","))
        if (key[0] != '\0')
            add(notes, key, message, mono_ms);
}

const char *kp_limit_notes_get(const struct kp_limit_notes *notes, const char *policy_key)
{
    const struct note *note;
    HASH_FIND_STR(notes->all, policy_key, note);
    return note ? note->message : NULL;
}

void kp_limit_notes_forget(struct kp_limit_notes *notes, int64_t mono_ms)
{
    struct note *note;
    struct note *next;
    HASH_ITER (hh, notes->all, note, next)
        if (mono_ms - note->told_mono_ms > TOLD_MS)
            drop(notes, note);
}
