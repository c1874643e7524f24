#include "report/markup.h"

#include <string.h>

#include "base/text.h"
#include "base/banned.h"

static const char *entity(char c)
{
    switch (c) {
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '&':
        return "&amp;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

// Length of the character at s if a document may hold it, else 0.
static size_t allowed(const char *s, size_t len)
{
    size_t n = kp_utf8_length(s, len);
    const unsigned char *b = (const unsigned char *)s;
    bool is_control = n == 1 && (b[0] == 0x7f || (b[0] < 0x20 && b[0] != '\t' && b[0] != '\n'));
    bool is_control_above = n == 2 && b[0] == 0xc2 && b[1] < 0xa0;
    bool is_no_character = n == 3 && b[0] == 0xef && b[1] == 0xbf && b[2] >= 0xbe;
    return is_control || is_control_above || is_no_character ? 0 : n;
}

void kp_markup_add(struct kp_strbuf *out, const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len;) {
        size_t n = allowed(text + i, len - i);
        const char *escaped = n == 1 ? entity(text[i]) : NULL;
        if (n == 0)
            kp_strbuf_adds(out, "\xef\xbf\xbd");
        else if (escaped)
            kp_strbuf_adds(out, escaped);
        else
            kp_strbuf_add(out, text + i, n);
        // what cannot be read is skipped byte by byte, what must not be there as a whole
        size_t whole = kp_utf8_length(text + i, len - i);
        i += whole != 0 ? whole : 1;
    }
}
