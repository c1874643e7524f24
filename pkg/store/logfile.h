// One log file and its rows. Shared by reference: a reader keeps the file readable while it is dropped.
// Private to this module.
#ifndef KP_STORE_LOGFILE_H
#define KP_STORE_LOGFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "record/record.h"
#include "store/frame.h"
#include "store/row.h"

struct kp_logfile {
    char *path, *sidecar;
    struct kp_log_head head;
    int fd;
    uint64_t size; // whole frames, log head included
    struct kp_rows rows;
    int64_t min_start_ms, max_start_ms, max_received_ms; // of all rows
    uint64_t n_live, live_bytes;                         // not dead, not bad
    int64_t next_expiry_ms;                              // no live row is past its age before this; 0 = look
    bool closed;                                         // its sidecar and its row in the index are written
    KP_ARRAY(struct kp_row) lost;                        // while opening: rows that only segments know
    int refs;                                            // atomic
};

// "DIR/00000001.log"
struct kp_logfile *kp_logfile_new(const char *dir, uint64_t number);
struct kp_logfile *kp_logfile_ref(struct kp_logfile *file);
void kp_logfile_unref(struct kp_logfile *file); // NULL is fine

// Makes the file with its head, durable. Fails as the disk does.
KP_MUST_CHECK int kp_logfile_create(
    struct kp_logfile *file, uint64_t first, int64_t now_ms, struct kp_error *err);
// Opens it and reads its head; size becomes the length on disk. KP_CORRUPT without a head.
KP_MUST_CHECK int kp_logfile_open(struct kp_logfile *file, struct kp_error *err);

// Lets go of the descriptor of a file without frames, of which only the rows count: there may be thousands.
void kp_logfile_park(struct kp_logfile *file);

// Notes a row's times and size in the counters.
void kp_logfile_count(struct kp_logfile *file, const struct kp_row *row, bool live);

// The record of a row, without id. KP_CORRUPT if the checksum of the head fails.
KP_MUST_CHECK int kp_logfile_read_record(
    const struct kp_logfile *file, const struct kp_row *row, struct kp_record *ret, struct kp_error *err);
// The record as it is encoded, and behind it the body; checksum checked. Free it.
KP_MUST_CHECK int kp_logfile_read_payload(
    const struct kp_logfile *file, const struct kp_row *row, uint8_t **ret, struct kp_error *err);
// Record and body (either may be NULL), checksum checked.
KP_MUST_CHECK int kp_logfile_read(const struct kp_logfile *file, const struct kp_row *row,
    struct kp_record *ret_record, struct kp_blob **ret_body, struct kp_error *err);

#endif
