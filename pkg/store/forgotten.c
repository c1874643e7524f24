#include "store/forgotten.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "store/quarantine.h"
#include "store/tier.h"
#include "base/banned.h"

#define HEAD          "kube-pprof forgotten 1\n"
#define MAX_NOTES     100000
#define MAX_FILE      ((size_t)32 * KP_MIB)
#define MAX_NAMESPACE 253
#define LINE_MIN      30 // checksum, time, namespace: "%08x %020d NAME"
#define NAME_AT       30
#define LATE_MS       (INT64_C(7) * 24 * 3600000) // a spool keeps captures for less
#define PRUNE_MS      (INT64_C(3600) * 1000)
#define DROPS_A_STEP  16

static char *path_of(const struct kp_store *store)
{
    return kp_asprintf("%s/forgotten", store->dir);
}

// ---- the file ----

static void add_line(struct kp_strbuf *out, const char *namespace, int64_t before_ms)
{
    kp_auto_free char *line = kp_asprintf("%020" PRId64 " %s", before_ms, namespace);
    kp_strbuf_addf(out, "%08" PRIx32 " %s\n", kp_crc32c(0, line, strlen(line)), line);
}

// "" is a namespace like any other. False: the line is damaged.
static bool read_line(const char *line, size_t len, int64_t *ret_before_ms, const char **ret_namespace)
{
    char *end;
    if (len < LINE_MIN || len > LINE_MIN + MAX_NAMESPACE || line[8] != ' ' || line[NAME_AT - 1] != ' ')
        return false;
    unsigned long sum = strtoul(line, &end, 16);
    if (end != line + 8 || sum != kp_crc32c(0, line + 9, len - 9))
        return false;
    *ret_before_ms = strtoll(line + 9, &end, 10);
    *ret_namespace = line + NAME_AT;
    return end == line + NAME_AT - 1 && *ret_before_ms > 0;
}

// Calls each for the notes of a file; returns how many lines are damaged, or an error. No file: no notes.
static int read_file(const char *path, void (*each)(void *user, const char *namespace, int64_t before_ms),
    void *user, size_t *ret_bad, struct kp_error *err)
{
    kp_auto_free char *text = NULL;
    size_t len = 0;
    struct kp_error why = {0};
    *ret_bad = 0;
    int rc = kp_file_read(path, MAX_FILE, &text, &len, &why);
    if (rc == KP_NOT_FOUND)
        return 0;
    if (rc != 0)
        return kp_fail(err, rc, "%s", why.text);
    if (!kp_starts_with(text, HEAD))
        return kp_fail(err, KP_CORRUPT,
            "'%s' is damaged, or of a newer program: it says which namespaces were deleted; put back a copy, "
            "or remove it, and profiles of deleted namespaces may be seen again",
            path);
    for (char *line = text + strlen(HEAD); *line;) {
        size_t n = strcspn(line, "\n");
        bool whole = line[n] == '\n';
        int64_t before_ms;
        const char *namespace;
        line[n] = '\0';
        if (whole && read_line(line, n, &before_ms, &namespace))
            each(user, namespace, before_ms);
        else
            ++*ret_bad;
        line += n + whole;
    }
    return 0;
}

static struct kp_forgotten_note *find_note(struct kp_forgotten_note *notes, const char *namespace)
{
    struct kp_forgotten_note *note;
    HASH_FIND_STR(notes, namespace, note);
    return note;
}

// What is known, and what is to be: of a namespace that is in both the fresh note stands.
static int write_file(struct kp_store *store, struct kp_forgotten_note *fresh, struct kp_error *err)
{
    struct kp_forgotten_note *note;
    struct kp_forgotten_note *next;
    kp_auto_free char *path = path_of(store);
    kp_auto_strbuf out;
    kp_strbuf_init(&out, MAX_FILE);
    kp_strbuf_adds(&out, HEAD);
    HASH_ITER (hh, store->forgotten.notes, note, next)
        if (find_note(fresh, note->namespace) == NULL)
            add_line(&out, note->namespace, note->before_ms);
    HASH_ITER (hh, fresh, note, next)
        add_line(&out, note->namespace, note->before_ms);
    return kp_file_write_atomic(path, out.data, out.len, 0600, err);
}

// ---- notes ----

static void set_note(struct kp_forgotten_note **notes, const char *namespace, int64_t before_ms)
{
    struct kp_forgotten_note *note = find_note(*notes, namespace);
    if (note == NULL) {
        size_t len = strlen(namespace);
        note = kp_calloc(1, sizeof *note + len + 1);
        memcpy(note->namespace, namespace, len);
        HASH_ADD_KEYPTR(hh, *notes, note->namespace, len, note);
    }
    if (before_ms > note->before_ms)
        note->before_ms = before_ms;
    note->applied = false;
}

static void count_pending(struct kp_forgotten *forgotten)
{
    struct kp_forgotten_note *note;
    struct kp_forgotten_note *next;
    forgotten->pending_ms = 0;
    HASH_ITER (hh, forgotten->notes, note, next)
        if (!note->applied && note->before_ms > forgotten->pending_ms)
            forgotten->pending_ms = note->before_ms;
}

static void remove_note(struct kp_forgotten_note **notes, struct kp_forgotten_note *note)
{
    HASH_DEL(*notes, note);
    kp_free(note);
}

static void free_notes(struct kp_forgotten_note **notes)
{
    struct kp_forgotten_note *note;
    struct kp_forgotten_note *next;
    HASH_ITER (hh, *notes, note, next)
        remove_note(notes, note);
}

void kp_forgotten_finish(struct kp_forgotten *forgotten)
{
    free_notes(&forgotten->notes);
}

static void on_note(void *user, const char *namespace, int64_t before_ms)
{
    struct kp_forgotten *forgotten = user;
    set_note(&forgotten->notes, namespace, before_ms);
}

int kp_forgotten_load(struct kp_store *store, struct kp_error *err)
{
    kp_auto_free char *path = path_of(store);
    size_t n_bad = 0;
    int rc = read_file(path, on_note, &store->forgotten, &n_bad, err);
    for (size_t i = 0; i < n_bad; i++)
        kp_store_count_corrupt(store);
    count_pending(&store->forgotten);
    return rc;
}

int64_t kp_forgotten_before(const struct kp_forgotten *forgotten, const char *namespace)
{
    const struct kp_forgotten_note *note = find_note(forgotten->notes, namespace);
    return note ? note->before_ms : 0;
}

bool kp_forgotten_hides_row(const struct kp_store *store, const struct kp_row *row)
{
    const struct kp_forgotten *f = &store->forgotten;
    if (!kp_forgotten_is_before(f->pending_ms, row->start_ms, row->received_ms))
        return false;
    const struct kp_series *series = kp_series_of_id(&store->series, row->series);
    return series && kp_forgotten_is_before(kp_forgotten_before(f, series->fields[KP_SERIES_NAMESPACE]),
                         row->start_ms, row->received_ms);
}

void kp_forgotten_note_sealed(struct kp_store *store, struct kp_sealed *sealed)
{
    const struct kp_segment *s = sealed->segment;
    struct kp_forgotten_note *note = find_note(store->forgotten.notes, s->namespace);
    if (note == NULL)
        return;
    __atomic_store_n(&sealed->forgotten_ms, note->before_ms, __ATOMIC_RELAXED);
    if (kp_forgotten_is_before(note->before_ms, s->min_start_ms, s->min_received_ms)) {
        note->applied = false;
        count_pending(&store->forgotten);
    }
}

void kp_forgotten_rearm(struct kp_store *store)
{
    struct kp_forgotten_note *note;
    struct kp_forgotten_note *next;
    pthread_rwlock_wrlock(&store->lock);
    HASH_ITER (hh, store->forgotten.notes, note, next)
        note->applied = false;
    count_pending(&store->forgotten);
    pthread_rwlock_unlock(&store->lock);
}

static int check_namespace(const char *namespace, int64_t before_ms, struct kp_error *err)
{
    size_t len = strlen(namespace);
    bool bad = len > MAX_NAMESPACE || before_ms <= 0;
    for (size_t i = 0; i < len; i++)
        bad |= (uint8_t) namespace[i] < ' ';
    char shown[64];
    return bad ? kp_fail(err, KP_INVALID, "'%s' cannot be the name of a namespace to forget",
                     kp_printable(shown, sizeof shown, namespace, len))
               : 0;
}

// Those that say more than what is known; ret_full: for some there is no room.
static int collect(const struct kp_forgotten *f, const struct kp_forget *items, size_t n,
    struct kp_forgotten_note **fresh, bool *ret_full, struct kp_error *err)
{
    size_t room = MAX_NOTES - HASH_COUNT(f->notes);
    for (size_t i = 0; i < n; i++) {
        const struct kp_forget *item = &items[i];
        if (check_namespace(item->namespace, item->before_ms, err) != 0)
            return KP_INVALID;
        int64_t known_ms = kp_forgotten_before(f, item->namespace);
        bool takes_room = known_ms == 0 && find_note(*fresh, item->namespace) == NULL;
        if (known_ms >= item->before_ms)
            continue;
        if (takes_room && room == 0) {
            *ret_full = true;
            continue;
        }
        room -= takes_room;
        set_note(fresh, item->namespace, item->before_ms);
    }
    return 0;
}

// They are in the file.
static void take_notes(struct kp_store *store, struct kp_forgotten_note *fresh)
{
    struct kp_forgotten *f = &store->forgotten;
    struct kp_forgotten_note *note;
    struct kp_forgotten_note *next;
    pthread_rwlock_wrlock(&store->lock);
    HASH_ITER (hh, fresh, note, next)
        set_note(&f->notes, note->namespace, note->before_ms);
    count_pending(f);
    for (size_t i = 0; i < store->sealed.n; i++) {
        struct kp_sealed *sealed = store->sealed.items[i];
        note = find_note(fresh, sealed->segment->namespace);
        if (note)
            __atomic_store_n(&sealed->forgotten_ms, note->before_ms, __ATOMIC_RELAXED);
    }
    pthread_rwlock_unlock(&store->lock);
}

int kp_store_forget_namespaces(
    struct kp_store *store, const struct kp_forget *items, size_t n, struct kp_error *err)
{
    struct kp_forgotten_note *fresh = NULL;
    bool full = false;
    int rc = collect(&store->forgotten, items, n, &fresh, &full, err);
    if (rc == 0 && fresh != NULL)
        rc = write_file(store, fresh, err);
    if (rc == 0 && fresh != NULL)
        take_notes(store, fresh);
    free_notes(&fresh);
    if (rc == 0 && full)
        return kp_fail(err, KP_LIMIT, "more than %d namespaces were deleted in the last days", MAX_NOTES);
    return rc;
}

int kp_store_forget_namespace(
    struct kp_store *store, const char *namespace, int64_t before_ms, struct kp_error *err)
{
    const struct kp_forget item = {namespace, before_ms};
    return kp_store_forget_namespaces(store, &item, 1, err);
}

// ---- upkeep ----

static void mark_rows(struct kp_store *store, struct kp_logfile *file)
{
    pthread_rwlock_wrlock(&store->lock);
    for (size_t i = 0; file->n_live > 0 && i < file->rows.n; i++)
        if (file->rows.flags[i] == 0 && kp_forgotten_hides_row(store, &file->rows.items[i]))
            kp_store_mark(store, file, i, KP_ROW_DEAD);
    pthread_rwlock_unlock(&store->lock);
}

struct marking {
    struct kp_store *store;
    struct kp_sealed *sealed;
    int64_t before_ms;
};

static int mark_row(void *user, uint32_t at, const struct kp_segment_row *row)
{
    struct marking *m = user;
    if (!kp_forgotten_is_before(m->before_ms, row->start_ms, row->received_ms) ||
        kp_sealed_is_dead(m->sealed, at))
        return 0;
    pthread_rwlock_wrlock(&m->store->lock);
    kp_store_mark_sealed(m->store, m->sealed, at, row->series, KP_ROW_DEAD);
    pthread_rwlock_unlock(&m->store->lock);
    return 0;
}

static int apply_to_segment(struct kp_store *store, struct kp_sealed *sealed, int64_t before_ms,
    size_t *n_drops, struct kp_error *err)
{
    const struct kp_segment *s = sealed->segment;
    struct marking marking = {store, sealed, before_ms};
    if (kp_sealed_is_forgotten(sealed)) {
        ++*n_drops;
        return kp_tier_drop(store, sealed, err);
    }
    if (!kp_forgotten_is_before(before_ms, s->min_start_ms, s->min_received_ms))
        return 0;
    return kp_sealed_each(sealed, 0, s->n_rows, mark_row, &marking, err);
}

static int apply_one(
    struct kp_store *store, struct kp_forgotten_note *note, size_t *n_drops, struct kp_error *err)
{
    int rc = 0;
    for (size_t i = store->sealed.n; rc == 0 && i-- > 0 && *n_drops < DROPS_A_STEP;)
        if (kp_streq(store->sealed.items[i]->segment->namespace, note->namespace))
            rc = apply_to_segment(store, store->sealed.items[i], note->before_ms, n_drops, err);
    if (rc != 0 || *n_drops >= DROPS_A_STEP || note->before_ms > kp_store_now(store))
        return rc; // what is yet to be received may be hidden as well
    pthread_rwlock_wrlock(&store->lock);
    note->applied = true;
    count_pending(&store->forgotten);
    pthread_rwlock_unlock(&store->lock);
    return 0;
}

// The oldest of which the log has bytes. As only this thread may: without the lock.
static int64_t oldest_in_log(const struct kp_store *store)
{
    int64_t oldest_ms = INT64_MAX;
    for (size_t f = 0; f < store->files.n; f++) {
        const struct kp_rows *rows = &store->files.items[f]->rows;
        for (size_t i = 0; i < rows->n; i++) {
            const struct kp_row *row = &rows->items[i];
            int64_t ms = row->start_ms < row->received_ms ? row->start_ms : row->received_ms;
            if (row->offset != 0 && ms < oldest_ms)
                oldest_ms = ms;
        }
    }
    return oldest_ms;
}

// Whether a segment may hold bytes that only the note hides.
static bool is_needed(const struct kp_store *store, const struct kp_forgotten_note *note)
{
    if (kp_quarantine_may_hold(store, note->namespace, note->before_ms))
        return true;
    for (size_t i = 0; i < store->sealed.n + store->doomed.n; i++) {
        const struct kp_segment *s = i < store->sealed.n ? store->sealed.items[i]->segment
                                                         : store->doomed.items[i - store->sealed.n]->segment;
        if (kp_streq(s->namespace, note->namespace) &&
            kp_forgotten_is_before(note->before_ms, s->min_start_ms, s->min_received_ms))
            return true;
    }
    return false;
}

static void remove_old(struct kp_store *store, int64_t until_ms, bool *ret_any)
{
    struct kp_forgotten_note *note;
    struct kp_forgotten_note *next;
    int64_t oldest_ms = INT64_MIN;
    HASH_ITER (hh, store->forgotten.notes, note, next) {
        if (!note->applied || note->before_ms > until_ms)
            continue;
        if (oldest_ms == INT64_MIN)
            oldest_ms = oldest_in_log(store);
        if (oldest_ms < note->before_ms || is_needed(store, note))
            continue;
        pthread_rwlock_wrlock(&store->lock);
        remove_note(&store->forgotten.notes, note);
        pthread_rwlock_unlock(&store->lock);
        *ret_any = true;
    }
}

static void prune(struct kp_store *store)
{
    struct kp_forgotten *f = &store->forgotten;
    struct kp_error err = {0};
    int64_t now_ms = kp_store_now(store);
    bool any = false;
    if (now_ms < f->next_prune_ms)
        return;
    f->next_prune_ms = now_ms + PRUNE_MS;
    remove_old(store, now_ms - LATE_MS, &any);
    if (any && write_file(store, NULL, &err) != 0)
        KP_DEBUG("a note that is not needed any more stays until the next one", KP_E(&err));
}

int kp_forgotten_apply(struct kp_store *store, bool *ret_more, struct kp_error *err)
{
    struct kp_forgotten_note *note;
    struct kp_forgotten_note *next;
    size_t n_drops = 0;
    int rc = 0;
    *ret_more = false;
    if (store->forgotten.pending_ms != 0)
        for (size_t i = 0; i < store->files.n; i++)
            mark_rows(store, store->files.items[i]);
    HASH_ITER (hh, store->forgotten.notes, note, next)
        if (rc == 0 && !note->applied && n_drops < DROPS_A_STEP)
            rc = apply_one(store, note, &n_drops, err);
    *ret_more = n_drops >= DROPS_A_STEP;
    if (rc == 0 && !*ret_more)
        prune(store);
    return rc;
}

// ---- verify ----

struct comparison {
    struct kp_store *store;
    size_t n;
};

static void compare_note(void *user, const char *namespace, int64_t before_ms)
{
    struct comparison *c = user;
    pthread_rwlock_rdlock(&c->store->lock);
    c->n += kp_forgotten_before(&c->store->forgotten, namespace) <= before_ms;
    pthread_rwlock_unlock(&c->store->lock);
}

void kp_forgotten_verify(
    struct kp_store *store, void (*each)(void *user, const char *file, const char *what), void *user)
{
    kp_auto_free char *path = path_of(store);
    struct comparison c = {.store = store};
    struct kp_error err = {0};
    size_t n_bad = 0;
    pthread_rwlock_rdlock(&store->lock); // only what was there before
    size_t n = HASH_COUNT(store->forgotten.notes);
    pthread_rwlock_unlock(&store->lock);
    if (read_file(path, compare_note, &c, &n_bad, &err) != 0)
        each(user, path, err.text);
    else if (n_bad > 0)
        each(user, path, "lines are damaged: profiles of deleted namespaces may be seen again");
    else if (c.n < n)
        each(user, path, "does not hold every note");
}
