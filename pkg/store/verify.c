// Reading everything, to find what has rotted.
#include "base/alloc.h"
#include "store/tier.h"
#include "base/banned.h"

struct report {
    void (*each)(void *user, const char *file, const char *what);
    void *user;
};

static void verify_row(
    struct kp_store *store, struct kp_logfile *file, size_t at, const struct report *report)
{
    uint8_t *payload = NULL;
    struct kp_error err = {0};
    pthread_rwlock_rdlock(&store->lock);
    struct kp_row row = file->rows.items[at];
    uint8_t flags = file->rows.flags[at];
    pthread_rwlock_unlock(&store->lock);
    if (row.offset == 0 || (flags & (KP_ROW_DEAD | KP_ROW_MOVED)) != 0)
        return;
    if (kp_logfile_read_payload(file, &row, &payload, &err) != 0)
        report->each(report->user, file->path, err.text);
    kp_free(payload);
}

// Everything that is there now, referenced.
struct all {
    KP_ARRAY(struct kp_logfile *) files;
    KP_ARRAY(size_t) n_rows;
    KP_ARRAY(struct kp_sealed *) sealed;
    KP_ARRAY(char *) bad;
};

static void hold_all(struct kp_store *store, struct all *all)
{
    pthread_rwlock_rdlock(&store->lock);
    for (size_t i = 0; i < store->files.n; i++) {
        *kp_array_add(&all->files) = kp_logfile_ref(store->files.items[i]);
        *kp_array_add(&all->n_rows) = store->files.items[i]->rows.n;
    }
    for (size_t i = 0; i < store->sealed.n; i++)
        *kp_array_add(&all->sealed) = kp_sealed_ref(store->sealed.items[i]);
    for (size_t i = 0; i < store->bad_names.n; i++)
        *kp_array_add(&all->bad) = kp_strdup(store->bad_names.items[i]);
    pthread_rwlock_unlock(&store->lock);
}

static void release_all(struct all *all)
{
    for (size_t i = 0; i < all->files.n; i++)
        kp_logfile_unref(all->files.items[i]);
    for (size_t i = 0; i < all->sealed.n; i++)
        kp_sealed_unref(all->sealed.items[i]);
    for (size_t i = 0; i < all->bad.n; i++)
        kp_free(all->bad.items[i]);
    kp_array_free(&all->files);
    kp_array_free(&all->n_rows);
    kp_array_free(&all->sealed);
    kp_array_free(&all->bad);
}

int kp_store_verify(struct kp_store *store, void (*each)(void *user, const char *file, const char *what),
    void *user, struct kp_error *err)
{
    const struct report report = {each, user};
    struct all all = {0};
    int rc = 0;
    kp_forgotten_verify(store, each, user);
    hold_all(store, &all);
    for (size_t i = 0; i < all.bad.n; i++)
        each(user, all.bad.items[i], "was found damaged and is left out");
    for (size_t i = 0; i < all.files.n; i++)
        for (size_t k = 0; k < all.n_rows.items[i]; k++)
            verify_row(store, all.files.items[i], k, &report);
    for (size_t i = 0; rc == 0 && i < all.sealed.n; i++)
        rc = kp_segment_verify(all.sealed.items[i]->segment, each, user, err);
    release_all(&all);
    return rc;
}
