// The graph as a page of its own.
#include <string.h>

#include "base/alloc.h"
#include "report/flame.h"
#include "report/flame_page.h"
#include "report/markup.h"
#include "base/banned.h"

#define MAX_DATA ((size_t)256 << 20)

// JSON inside a script element: what could end the element, or begin another, is written as an escape. Those
// characters stand in strings only.
static void add_data(const struct kp_flame *flame, struct kp_strbuf *out)
{
    kp_auto_strbuf json;
    kp_strbuf_init(&json, MAX_DATA);
    kp_flame_json(flame, &json);
    const char *at = json.data, *end = json.data + json.len;
    while (at < end) {
        size_t plain = strcspn(at, "<>&\xe2");
        kp_strbuf_add(out, at, plain);
        at += plain;
        if (at == end)
            break;
        bool is_separator = (unsigned char)at[0] == 0xe2 && (unsigned char)at[1] == 0x80 &&
                            ((unsigned char)at[2] == 0xa8 || (unsigned char)at[2] == 0xa9);
        if (is_separator) { // a line break to older scripts
            kp_strbuf_adds(out, (unsigned char)at[2] == 0xa8 ? "\\u2028" : "\\u2029");
            at += 3;
        } else if ((unsigned char)*at == 0xe2) {
            kp_strbuf_addc(out, *at++);
        } else {
            kp_strbuf_addf(out, "\\u%04x", (unsigned)*at++);
        }
    }
    out->overflow |= json.overflow;
}

// Nothing is loaded from anywhere and nothing runs but the one script and the one style.
static void add_policy(struct kp_strbuf *out)
{
    kp_strbuf_addf(out,
        "default-src 'none'; script-src '%s'; style-src '%s'; base-uri 'none'; form-action 'none'",
        kp_page_script_hash, kp_page_style_hash);
}

static void add_part(const struct kp_page_part *part, struct kp_strbuf *out)
{
    kp_strbuf_add(out, part->bytes, part->len);
}

void kp_flame_html(const struct kp_flame *flame, const char *title, struct kp_strbuf *out)
{
    const char *at = (const char *)kp_page_html.bytes, *end = at + kp_page_html.len;
    for (;;) {
        const char *mark = memmem(at, (size_t)(end - at), "{{", 2);
        kp_strbuf_add(out, at, (size_t)((mark ? mark : end) - at));
        if (mark == NULL)
            return;
        const char *name = mark + 2;
        if (memcmp(name, "policy", 6) == 0)
            add_policy(out);
        else if (memcmp(name, "title", 5) == 0)
            kp_markup_add(out, title);
        else if (memcmp(name, "style", 5) == 0)
            add_part(&kp_page_style, out);
        else if (memcmp(name, "data", 4) == 0)
            add_data(flame, out);
        else
            add_part(&kp_page_script, out);
        at = (const char *)memmem(name, (size_t)(end - name), "}}", 2) + 2;
    }
}
