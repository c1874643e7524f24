#include "store/format.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "store/frame.h"
#include "base/banned.h"

#define HEAD     "kube-pprof data "
#define MAX_FILE 256

static int refuse(const char *path, unsigned found, unsigned known, struct kp_error *err)
{
    return kp_fail(err, KP_INVALID,
        "'%.80s' is in format %u, kube-pprof " KP_VERSION
        " reads up to %u: a newer one wrote it; start that again, or restore a backup; nothing was changed",
        path, found, known);
}

// ---- the file ----

struct note {
    unsigned format;
    char version[32];
};

static char *line_of(const struct note *note)
{
    kp_auto_free char *text = kp_asprintf(HEAD "%u by %s", note->format, note->version);
    return kp_asprintf("%s %08" PRIx32 "\n", text, kp_crc32c(0, text, strlen(text)));
}

static bool read_note(const char *text, struct note *ret)
{
    char *end;
    *ret = (struct note){0};
    if (!kp_starts_with(text, HEAD))
        return false;
    ret->format = (unsigned)strtoul(text + strlen(HEAD), &end, 10);
    if (!kp_starts_with(end, " by "))
        return false;
    size_t len = strcspn(end + 4, " \n");
    if (len >= sizeof ret->version)
        return false;
    memcpy(ret->version, end + 4, len);
    kp_auto_free char *again = line_of(ret);
    return kp_streq(text, again); // every digit, and the checksum
}

// False: there is none, or it is damaged.
static int load_note(const char *dir, struct note *ret, bool *ret_found, struct kp_error *err)
{
    kp_auto_free char *path = kp_asprintf("%s/format", dir);
    kp_auto_free char *text = NULL;
    struct kp_error why = {0};
    size_t len = 0;
    int rc = kp_file_read(path, MAX_FILE, &text, &len, &why);
    *ret_found = rc == 0 && strlen(text) == len && read_note(text, ret);
    return rc == 0 || rc == KP_NOT_FOUND || rc == KP_LIMIT ? 0 : kp_fail(err, rc, "%s", why.text);
}

void kp_format_note(const char *dir)
{
    struct note note = {0};
    struct kp_error err = {0};
    bool found;
    if (load_note(dir, &note, &found, &err) == 0 && found && note.format >= KP_STORE_FORMAT)
        return;
    kp_auto_free char *path = kp_asprintf("%s/format", dir);
    note = (struct note){.format = KP_STORE_FORMAT};
    kp_copy(note.version, sizeof note.version, KP_VERSION);
    kp_auto_free char *line = line_of(&note);
    if (kp_file_write_atomic(path, line, strlen(line), 0600, &err) != 0)
        KP_DEBUG("the format of the data folder is not noted yet", KP_E(&err));
}

// ---- each file for itself ----

// "kube-pprof ids 2"
static int check_text(const char *dir, const char *name, struct kp_error *err)
{
    char line[64] = {0};
    kp_auto_free char *path = kp_asprintf("%s/%s", dir, name);
    kp_auto_free char *head = kp_asprintf("kube-pprof %s ", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? pread(fd, line, sizeof line - 1, 0) : 0;
    if (fd >= 0)
        close(fd);
    if (n <= 0 || !kp_starts_with(line, head)) // what is wrong with it, its reader says
        return 0;
    char *end;
    unsigned long found = strtoul(line + strlen(head), &end, 10);
    return *end == '\n' && found > 1 && found < 1000 ? refuse(path, (unsigned)found, 1, err) : 0;
}

static int check_log(const char *log_dir, const char *name, struct kp_error *err)
{
    uint8_t head[KP_LOG_HEAD_BYTES];
    unsigned found;
    kp_auto_free char *path = kp_asprintf("%s/%s", log_dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? pread(fd, head, sizeof head, 0) : 0;
    if (fd >= 0)
        close(fd);
    return n == sizeof head && kp_log_head_is_newer(head, &found) ? refuse(path, found, 1, err) : 0;
}

static int check_logs(const char *log_dir, struct kp_error *err)
{
    int rc = 0;
    DIR *dir = opendir(log_dir);
    if (dir == NULL)
        return kp_fail_errno(err, errno, "cannot list '%s'", log_dir);
    for (struct dirent *e = readdir(dir); rc == 0 && e; e = readdir(dir)) // NOLINT(concurrency-mt-unsafe)
        if (kp_ends_with(e->d_name, ".log"))
            rc = check_log(log_dir, e->d_name, err);
    closedir(dir);
    return rc;
}

int kp_format_check(const char *dir, const char *log_dir, struct kp_error *err)
{
    struct note note;
    bool found;
    int rc = load_note(dir, &note, &found, err);
    if (rc == 0 && found && note.format > KP_STORE_FORMAT)
        return kp_fail(err, KP_INVALID,
            "'%.80s' is in format %u of kube-pprof %s; this is " KP_VERSION
            ", which reads up to %d: start the newer one again, or restore a backup; nothing was changed",
            dir, note.format, note.version, KP_STORE_FORMAT);
    if (rc == 0)
        rc = check_text(dir, "forgotten", err);
    if (rc == 0)
        rc = check_text(dir, "ids", err);
    return rc != 0 ? rc : check_logs(log_dir, err);
}
