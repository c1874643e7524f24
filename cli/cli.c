#include "cli/cli.h"

#include <stdarg.h>
#include <string.h>

#include "base/alloc.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/banned.h"

// A sentence may hold what a server sent: kp_printable leaves no control character in it.
static void print_line(FILE *out, const char *before, const char *text)
{
    char shown[1024];
    fprintf(out, "%s%s\n", before, kp_printable(shown, sizeof shown, text, strlen(text)));
}

// Kubernetes' reason of an HTTP status, as kubectl shows it.
static const char *reason_of(int http_status)
{
    static const struct {
        int status;
        const char *reason;
    } rows[] = {
        {400, "BadRequest"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "NotFound"},
        {405, "MethodNotAllowed"},
        {409, "Conflict"},
        {410, "Gone"},
        {413, "RequestEntityTooLarge"},
        {415, "UnsupportedMediaType"},
        {422, "Invalid"},
        {429, "TooManyRequests"},
        {503, "ServiceUnavailable"},
        {504, "Timeout"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].status == http_status)
            return rows[i].reason;
    return "InternalError";
}

void kp_cli_complain_of(struct kp_cli *cli, const char *what, const struct kp_error *err)
{
    char before[64] = "error: ";
    cli->n_failures++;
    if (err->http_status >= 400)
        snprintf(before, sizeof before, "Error from server (%s): ", reason_of(err->http_status));
    kp_auto_free char *text = kp_asprintf("%s%s%s", what, what[0] ? ": " : "", err->text);
    print_line(cli->err, before, text);
}

void kp_cli_complain(struct kp_cli *cli, const struct kp_error *err)
{
    kp_cli_complain_of(cli, "", err);
}

void kp_cli_note(struct kp_cli *cli, const char *fmt, ...)
{
    kp_auto_strbuf text;
    kp_strbuf_init(&text, 4096);
    va_list args;
    va_start(args, fmt);
    kp_strbuf_vaddf(&text, fmt, args);
    va_end(args);
    print_line(cli->err, "note: ", text.data);
}

void kp_cli_verbose(struct kp_cli *cli, int level, const char *fmt, ...)
{
    if (cli->flags.verbosity < level)
        return;
    kp_auto_strbuf text;
    kp_strbuf_init(&text, 4096);
    va_list args;
    va_start(args, fmt);
    kp_strbuf_vaddf(&text, fmt, args);
    va_end(args);
    print_line(cli->err, "", text.data);
}

void kp_cli_write(const struct kp_cli *cli, FILE *to, const char *text, size_t len)
{
    bool is_terminal = to == cli->out ? cli->is_out_tty : cli->is_err_tty;
    if (!is_terminal) {
        fwrite(text, 1, len, to);
        return;
    }
    kp_auto_free char *shown = kp_alloc(len + 1);
    for (size_t at = 0; at < len; at++) {
        size_t n = 0;
        while (at + n < len && text[at + n] != '\n' && text[at + n] != '\t')
            n++;
        fputs(kp_printable(shown, len + 1, text + at, n), to);
        at += n;
        if (at < len)
            fputc(text[at], to);
    }
}

int kp_cli_usage(struct kp_cli *cli, struct kp_error *err, const char *fmt, ...)
{
    va_list args;
    cli->is_usage_wrong = true;
    va_start(args, fmt);
    int rc = kp_vfail(err, KP_INVALID, fmt, args);
    va_end(args);
    return rc;
}
