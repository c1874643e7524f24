#include "cli/progress.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/text.h"
#include "base/banned.h"

#define MAX_TEXT 512

static size_t width(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1U : 79;
}

void kp_progress_show(const struct kp_cli *cli, const char *text)
{
    char shown[MAX_TEXT];
    if (!cli->is_err_tty)
        return;
    kp_printable(shown, sizeof shown, text, strlen(text));
    size_t columns = width();
    size_t len = 0;
    for (size_t left = columns; shown[len] && left > 0; left--) {
        size_t n = kp_utf8_length(shown + len, strlen(shown + len));
        len += n ? n : 1;
    }
    fprintf(cli->err, "\r\x1b[K%.*s", (int)len, shown);
    fflush(cli->err);
}

void kp_progress_clear(const struct kp_cli *cli)
{
    if (!cli->is_err_tty)
        return;
    fputs("\r\x1b[K", cli->err);
    fflush(cli->err);
}
