// Any bytes as a spool file: opening never fails on them, and what it shows can be read again.
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/file.h"
#include "record/record.h"
#include "sink/spool.h"
#include "base/banned.h"

struct places {
    KP_ARRAY(struct kp_spool_place) all;
};

static bool note(
    void *user, const struct kp_spool_place *place, int64_t put_ms, const void *capture, size_t len)
{
    struct kp_record record;
    const uint8_t *profile;
    size_t profile_len;
    (void)put_ms;
    if (kp_capture_unframe(capture, len, &record, &profile, &profile_len, NULL) == 0)
        kp_record_finish(&record);
    struct places *places = user;
    *kp_array_add(&places->all) = *place;
    return true;
}

static char dir[] = "/tmp/kp-spool-fuzz-XXXXXX";

static void clean_up(void)
{
    kp_auto_free char *lock = kp_asprintf("%s/lock", dir);
    unlink(lock);
    rmdir(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char *path;
    struct kp_spool *spool = NULL;
    struct places places = {0};
    if (path == NULL) {
        if (mkdtemp(dir) == NULL)
            abort();
        atexit(clean_up);
        path = kp_asprintf("%s/000000000001.spool", dir);
    }
    if (kp_file_write_atomic(path, data, size, 0600, NULL) != 0 ||
        kp_spool_open(dir, note, &places, &spool, NULL) != 0)
        abort();
    for (size_t i = 0; i < places.all.n; i++) {
        char *capture = NULL;
        if (kp_spool_read(spool, &places.all.items[i], &capture, NULL) != 0)
            abort();
        kp_free(capture);
        kp_spool_drop(spool, &places.all.items[i]);
    }
    if (kp_spool_bytes(spool) != 0)
        abort();
    kp_spool_close(spool);
    kp_array_free(&places.all);
    unlink(path);
    return 0;
}
