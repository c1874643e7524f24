#include "cli/describe.h"

#include <stdarg.h>
#include <string.h>

#include "base/alloc.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_TEXT 16384

// Columns of n bytes of valid UTF-8: code points.
static int columns_of(const char *text, size_t n)
{
    int columns = 0;
    for (size_t i = 0; i < n; i++)
        columns += ((unsigned char)text[i] & 0xc0) != 0x80;
    return columns;
}

static void put_words(FILE *out, const char *text, int column, int begin)
{
    bool is_first = true;
    while (*text) {
        size_t len = strcspn(text, " ");
        int wide = columns_of(text, len);
        if (len > 0 && !is_first && column + 1 + wide > KP_DESCRIBE_WIDTH) {
            fprintf(out, "\n%*s", begin, "");
            column = begin;
            is_first = true;
        }
        if (len > 0) {
            fprintf(out, "%s%.*s", is_first ? "" : " ", (int)len, text);
            column += wide + (is_first ? 0 : 1);
            is_first = false;
        }
        text += len + (text[len] != '\0');
    }
    fputc('\n', out);
}

void kp_describe(FILE *out, int indent, int width, const char *label, const char *fmt, ...)
{
    kp_auto_strbuf text;
    kp_strbuf_init(&text, MAX_TEXT);
    va_list args;
    va_start(args, fmt);
    kp_strbuf_vaddf(&text, fmt, args);
    va_end(args);
    kp_auto_free char *shown = kp_alloc(text.len + 16);
    kp_auto_free char *head = kp_alloc(strlen(label) + 16);
    kp_printable(shown, text.len + 16, text.data, text.len);
    kp_printable(head, strlen(label) + 16, label, strlen(label));
    int at = columns_of(head, strlen(head));
    if (at > 0 && shown[0] == '\0') {
        fprintf(out, "%*s%s\n", indent, "", head);
        return;
    }
    int gap = at < width ? width - at : at > 0 ? 1 : 0;
    fprintf(out, "%*s%s%*s", indent, "", head, gap, "");
    put_words(out, shown, indent + at + gap, indent + width);
}
