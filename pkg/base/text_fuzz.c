// Text from outside on its way to logs, status and JSON.
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/strbuf.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_printable(const char *bytes, size_t n, size_t room)
{
    kp_auto_free char *out = kp_alloc(room);
    size_t len = strlen(kp_printable(out, room, bytes, n));
    if (len >= room || !kp_utf8_valid(out, len))
        abort();
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const char *bytes = (const char *)data + 1;
    size_t n = size - 1;
    check_printable(bytes, n, 1 + data[0] % 64u);
    check_printable(bytes, n, n + 1);
    kp_auto_free char *text = kp_strndup(bytes, n), *out = kp_alloc(n + 1), *back = kp_alloc(3 * n + 1);
    (void)kp_url_decode(bytes, n, out);
    kp_auto_strbuf json, url;
    kp_strbuf_init(&json, 6 * n + 16);
    kp_strbuf_init(&url, 3 * n + 1);
    kp_strbuf_add_json(&json, text);
    kp_strbuf_add_url(&url, text);
    if (json.overflow || !kp_utf8_valid(json.data, json.len))
        abort();
    if (url.overflow || !kp_url_decode(url.data, url.len, back) || strcmp(back, text) != 0)
        abort();
    return 0;
}
