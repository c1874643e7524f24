#include "store/index.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/banned.h"

enum query {
    PUT_SERIES,
    REMOVE_SERIES,
    CLOSE_LOG,
    REMOVE_LOG,
    LOG_CLOSED,
    PUT_SEGMENT,
    REMOVE_SEGMENT,
    HAS_SEGMENT,
    LIST_SEGMENTS,
    N_QUERIES
};

static const char *const texts[N_QUERIES] = {
    [PUT_SERIES] = "INSERT OR REPLACE INTO series(id, identity) VALUES(?1, ?2)",
    [REMOVE_SERIES] = "DELETE FROM series WHERE id = ?1",
    [CLOSE_LOG] = "INSERT OR REPLACE INTO logs(number, bytes) VALUES(?1, ?2)",
    [REMOVE_LOG] = "DELETE FROM logs WHERE number = ?1",
    [PUT_SEGMENT] = "INSERT OR REPLACE INTO segments(name, bytes) VALUES(?1, ?2)",
    [REMOVE_SEGMENT] = "DELETE FROM segments WHERE name = ?1",
    [HAS_SEGMENT] = "SELECT 1 FROM segments WHERE name = ?1 AND bytes = ?2",
    [LIST_SEGMENTS] = "SELECT name FROM segments",
    [LOG_CLOSED] = "SELECT 1 FROM logs WHERE number = ?1 AND bytes = ?2",
};

struct kp_index {
    sqlite3 *db;
    char *path;
    dev_t dev; // of the file that is open
    ino_t ino;
    bool is_corrupt;
    sqlite3_stmt *queries[N_QUERIES];
};

static int fail(struct kp_index *index, const char *what, struct kp_error *err)
{
    int rc = sqlite3_errcode(index->db) & 0xff;
    int code = rc == SQLITE_FULL                             ? KP_LIMIT
               : rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB ? KP_CORRUPT
                                                             : KP_INTERNAL;
    index->is_corrupt |= code == KP_CORRUPT;
    return kp_fail(err, code, "index: cannot %s: %s", what, sqlite3_errmsg(index->db));
}

static int exec(struct kp_index *index, const char *sql, const char *what, struct kp_error *err)
{
    return sqlite3_exec(index->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(index, what, err);
}

void kp_index_close(struct kp_index *index)
{
    if (index == NULL)
        return;
    for (int i = 0; i < N_QUERIES; i++)
        sqlite3_finalize(index->queries[i]);
    sqlite3_close(index->db);
    kp_free(index->path);
    kp_free(index);
}

static int set_up(struct kp_index *index, bool *ret_fresh, struct kp_error *err)
{
    static const char pragmas[] =
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -512;"
        "PRAGMA journal_size_limit = 1048576; PRAGMA temp_store = MEMORY;";
    static const char schema[] =
        "CREATE TABLE IF NOT EXISTS series(id INTEGER PRIMARY KEY, identity BLOB NOT NULL);"
        "CREATE TABLE IF NOT EXISTS logs(number INTEGER PRIMARY KEY, bytes INTEGER NOT NULL);"
        "CREATE TABLE IF NOT EXISTS segments(name TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;"
        "PRAGMA user_version = 2;";
    int rc = exec(index, pragmas, "be set up", err);
    if (rc != 0)
        return rc;
    sqlite3_stmt *version = NULL;
    if (sqlite3_prepare_v2(index->db, "PRAGMA user_version", -1, &version, NULL) != SQLITE_OK ||
        sqlite3_step(version) != SQLITE_ROW) {
        sqlite3_finalize(version);
        return fail(index, "be read", err);
    }
    int found = sqlite3_column_int(version, 0);
    sqlite3_finalize(version);
    if (found > 2)
        return kp_fail(err, KP_CORRUPT, "index: version %d is newer than this program", found);
    *ret_fresh = found == 0;
    if (found < 2) // else nothing is written, so that a start does not fail on a full disk
        rc = exec(index, schema, "create its tables", err);
    for (int i = 0; rc == 0 && i < N_QUERIES; i++)
        if (sqlite3_prepare_v3(
                index->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &index->queries[i], NULL) != SQLITE_OK)
            rc = fail(index, "prepare a statement", err);
    return rc;
}

// Damage that opening does not come across would stop the start, or every seal, later.
static int check(struct kp_index *index, struct kp_error *err)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(index->db, "PRAGMA quick_check(1)", -1, &s, NULL) != SQLITE_OK ||
        sqlite3_step(s) != SQLITE_ROW) {
        sqlite3_finalize(s);
        return fail(index, "be checked", err);
    }
    const char *text = (const char *)sqlite3_column_text(s, 0);
    int rc = kp_streq(text, "ok") ? 0 : kp_fail(err, KP_CORRUPT, "index: %.200s", text ? text : "damaged");
    sqlite3_finalize(s);
    return rc;
}

static const char *const suffixes[] = {"", "-wal", "-shm"};

// It names what the profiles are of. SQLite gives its other files the mode of the first; earlier programs let
// others read all three.
static void keep_private(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    for (size_t i = 0; i < KP_COUNT(suffixes); i++) {
        kp_auto_free char *file = kp_asprintf("%s%s", path, suffixes[i]);
        (void)!chmod(file, 0600);
    }
}

static int open_once(const char *path, struct kp_index **ret, bool *ret_fresh, struct kp_error *err)
{
    struct kp_index *index = KP_NEW(struct kp_index);
    keep_private(path);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int rc = sqlite3_open_v2(path, &index->db, flags, NULL) == SQLITE_OK ? 0 : fail(index, "be opened", err);
    if (rc == 0)
        rc = set_up(index, ret_fresh, err);
    if (rc == 0)
        rc = check(index, err);
    if (rc != 0) {
        kp_index_close(index);
        return rc;
    }
    struct stat st = {0};
    (void)!stat(path, &st); // else it is lost from the start
    index->path = kp_strdup(path);
    index->dev = st.st_dev;
    index->ino = st.st_ino;
    *ret = index;
    return 0;
}

bool kp_index_is_lost(const struct kp_index *index)
{
    struct stat st;
    return index->is_corrupt || stat(index->path, &st) != 0 || st.st_dev != index->dev ||
           st.st_ino != index->ino;
}

static void put_aside(const char *path)
{
    for (size_t i = 0; i < KP_COUNT(suffixes); i++) {
        kp_auto_free char *from = kp_asprintf("%s%s", path, suffixes[i]);
        kp_auto_free char *to = kp_asprintf("%s.broken%s", path, suffixes[i]);
        if (rename(from, to) != 0)
            unlink(from);
    }
}

int kp_index_open(const char *path, struct kp_index **ret, bool *ret_fresh, struct kp_error *err)
{
    struct kp_error first = {0};
    int rc = open_once(path, ret, ret_fresh, &first);
    if (rc == KP_CORRUPT) {
        put_aside(path);
        return open_once(path, ret, ret_fresh, err);
    }
    return rc == 0 ? 0 : kp_fail(err, rc, "%s", first.text);
}

int kp_index_load_series(struct kp_index *index, struct kp_series_table *table, struct kp_error *err)
{
    sqlite3_stmt *all = NULL;
    if (sqlite3_prepare_v2(index->db, "SELECT id, identity FROM series ORDER BY id", -1, &all, NULL) !=
        SQLITE_OK)
        return fail(index, "read the series", err);
    int rc;
    while ((rc = sqlite3_step(all)) == SQLITE_ROW) {
        struct kp_record record;
        int64_t id = sqlite3_column_int64(all, 0);
        const void *blob = sqlite3_column_blob(all, 1);
        if (id <= 0 || id > UINT32_MAX || blob == NULL ||
            kp_record_decode(blob, (size_t)sqlite3_column_bytes(all, 1), &record, NULL) != 0)
            continue; // a log that names it brings it back
        uint64_t hash[2];
        kp_series_hash(&record, hash);
        if (kp_series_of_id(table, (uint32_t)id) == NULL && kp_series_find(table, hash) == NULL)
            kp_series_add(table, &record, (uint32_t)id);
        kp_record_finish(&record);
    }
    sqlite3_finalize(all);
    return rc == SQLITE_DONE ? 0 : fail(index, "read the series", err);
}

static sqlite3_stmt *bind(struct kp_index *index, enum query q, uint64_t a, uint64_t b)
{
    sqlite3_stmt *s = index->queries[q];
    sqlite3_reset(s);
    sqlite3_bind_int64(s, 1, (int64_t)a);
    if (q == CLOSE_LOG || q == LOG_CLOSED)
        sqlite3_bind_int64(s, 2, (int64_t)b);
    return s;
}

static int run(struct kp_index *index, sqlite3_stmt *s, const char *what, struct kp_error *err)
{
    int rc = sqlite3_step(s) == SQLITE_DONE ? 0 : fail(index, what, err);
    sqlite3_reset(s);
    return rc;
}

bool kp_index_log_closed(struct kp_index *index, uint64_t number, uint64_t bytes)
{
    sqlite3_stmt *s = bind(index, LOG_CLOSED, number, bytes);
    bool closed = sqlite3_step(s) == SQLITE_ROW;
    sqlite3_reset(s);
    return closed;
}

static sqlite3_stmt *bind_name(struct kp_index *index, enum query q, const char *name, uint64_t bytes)
{
    sqlite3_stmt *s = index->queries[q];
    sqlite3_reset(s);
    sqlite3_bind_text(s, 1, name, -1, SQLITE_TRANSIENT);
    if (q != REMOVE_SEGMENT)
        sqlite3_bind_int64(s, 2, (int64_t)bytes);
    return s;
}

bool kp_index_has_segment(struct kp_index *index, const char *name, uint64_t bytes)
{
    sqlite3_stmt *s = bind_name(index, HAS_SEGMENT, name, bytes);
    bool has = sqlite3_step(s) == SQLITE_ROW;
    sqlite3_reset(s);
    return has;
}

int kp_index_list_segments(
    struct kp_index *index, void (*each)(void *user, const char *name), void *user, struct kp_error *err)
{
    sqlite3_stmt *s = index->queries[LIST_SEGMENTS];
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW)
        each(user, (const char *)sqlite3_column_text(s, 0));
    rc = rc == SQLITE_DONE ? 0 : fail(index, "read the segments", err);
    sqlite3_reset(s);
    return rc;
}

int kp_index_put_segment(struct kp_index *index, const char *name, uint64_t bytes, struct kp_error *err)
{
    return run(index, bind_name(index, PUT_SEGMENT, name, bytes), "note a segment", err);
}

int kp_index_remove_segment(struct kp_index *index, const char *name, struct kp_error *err)
{
    return run(index, bind_name(index, REMOVE_SEGMENT, name, 0), "forget a segment", err);
}

int kp_index_begin(struct kp_index *index, struct kp_error *err)
{
    return exec(index, "BEGIN IMMEDIATE", "begin a change", err);
}

int kp_index_put_series(struct kp_index *index, const struct kp_series *series, struct kp_error *err)
{
    kp_auto_strbuf buf;
    kp_strbuf_init(&buf, KP_MAX_RECORD_BYTES);
    struct kp_record record;
    kp_series_record(series, &record);
    kp_record_encode(&record, &buf);
    kp_record_finish(&record);
    sqlite3_stmt *s = bind(index, PUT_SERIES, series->id, 0);
    sqlite3_bind_blob(s, 2, buf.data, (int)buf.len, SQLITE_TRANSIENT);
    int rc = run(index, s, "store a series", err);
    sqlite3_clear_bindings(s);
    return rc;
}

int kp_index_remove_series(struct kp_index *index, uint32_t id, struct kp_error *err)
{
    return run(index, bind(index, REMOVE_SERIES, id, 0), "remove a series", err);
}

int kp_index_close_log(struct kp_index *index, uint64_t number, uint64_t bytes, struct kp_error *err)
{
    return run(index, bind(index, CLOSE_LOG, number, bytes), "note a closed log file", err);
}

int kp_index_remove_log(struct kp_index *index, uint64_t number, struct kp_error *err)
{
    return run(index, bind(index, REMOVE_LOG, number, 0), "forget a log file", err);
}

int kp_index_commit(struct kp_index *index, bool durable, struct kp_error *err)
{
    // PRAGMA synchronous cannot change inside a transaction; a checkpoint afterwards brings the WAL to the
    // disk instead, and leaves no WAL behind that is larger than the index.
    int rc = exec(index, "COMMIT", "commit a change", err);
    if (rc == 0 && durable &&
        sqlite3_wal_checkpoint_v2(index->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) != SQLITE_OK)
        rc = fail(index, "reach the disk", err);
    return rc;
}

void kp_index_rollback(struct kp_index *index)
{
    if (!sqlite3_get_autocommit(index->db))
        sqlite3_exec(index->db, "ROLLBACK", NULL, NULL, NULL);
}
