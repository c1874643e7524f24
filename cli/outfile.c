#include "cli/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio_ext.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "base/banned.h"

#define MODE 0644

static bool is_file(const struct kp_cli *cli)
{
    return kp_cli_given(cli->flags.file) && !kp_streq(cli->flags.file, "-");
}

// A pipe or a device can be written to, but nothing can be put in its place.
static bool is_special(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

static int check_file(const struct kp_cli *cli, const char *path, struct kp_error *err)
{
    if (!cli->flags.force && access(path, F_OK) == 0 && !is_special(path))
        return kp_fail(err, KP_CONFLICT, "%.150s is there already; --force writes over it", path);
    return 0;
}

int kp_out_check(struct kp_cli *cli, bool is_text, struct kp_error *err)
{
    if (is_file(cli))
        return check_file(cli, cli->flags.file, err);
    if (!is_text && cli->is_out_tty && !kp_streq(cli->flags.file, "-"))
        return kp_cli_usage(cli, err,
            "the profile is no text for a terminal: write it to a file with -O FILE, or into a pipe");
    return 0;
}

static int write_special(const char *path, const void *data, size_t len, struct kp_error *err)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return kp_fail_errno(err, errno, "cannot write '%.150s'", path);
    int rc = kp_write_all(fd, data, len, err);
    close(fd);
    return rc != 0 ? kp_wrap(err, "'%.150s'", path) : 0;
}

int kp_out_file(struct kp_cli *cli, const char *path, const void *data, size_t len, struct kp_error *err)
{
    int rc = check_file(cli, path, err);
    if (rc == 0 && is_special(path))
        return write_special(path, data, len, err);
    return rc != 0 ? rc : kp_file_write_atomic(path, data, len, MODE, err);
}

static int write_out(struct kp_cli *cli, const void *data, size_t len, bool is_text, struct kp_error *err)
{
    int rc = kp_out_check(cli, is_text, err);
    if (rc != 0)
        return rc;
    if (is_file(cli))
        return kp_out_file(cli, cli->flags.file, data, len, err);
    if (is_text)
        kp_cli_write(cli, cli->out, data, len);
    else
        fwrite(data, 1, len, cli->out);
    if (fflush(cli->out) == 0 && !ferror(cli->out))
        return 0;
    int why = errno;
    __fpurge(cli->out); // it is said here, once
    clearerr(cli->out);
    if (why != EPIPE)
        return kp_fail_errno(err, why, "cannot write to standard output");
    cli->n_failures++; // `| head` has enough: not worth a word
    return 0;
}

int kp_out_bytes(struct kp_cli *cli, const void *data, size_t len, struct kp_error *err)
{
    return write_out(cli, data, len, false, err);
}

int kp_out_text(struct kp_cli *cli, const void *data, size_t len, struct kp_error *err)
{
    return write_out(cli, data, len, true, err);
}
