// Requests from outside: however they are cut, the same comes of them.
#include "http/parser.h"

#include <stdlib.h>

#include "http/parser_fixture.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 100000)
        return 0;
    kp_auto_strbuf whole, bytes, pieces;
    kp_strbuf_init(&whole, 16 << 20);
    kp_strbuf_init(&bytes, 16 << 20);
    kp_strbuf_init(&pieces, 16 << 20);
    fixture_parse(&whole, data, size, SIZE_MAX);
    fixture_parse(&bytes, data, size, 1);
    fixture_parse(&pieces, data, size, 7);
    if (whole.len != bytes.len || memcmp(whole.data, bytes.data, whole.len) != 0 || whole.len != pieces.len ||
        memcmp(whole.data, pieces.data, whole.len) != 0)
        abort();
    return 0;
}
