// Any bytes as a segment, and, since checksums keep most changes from getting further, as the inside of its
// parts: no crash, bounded memory.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "store/segment_private.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t len;
};

static int get(void *self, const char *name, uint64_t offset, size_t len, void *out, struct kp_error *err)
{
    const struct input *in = self;
    if (offset > in->len || len > in->len - offset)
        return kp_fail(err, KP_CORRUPT, "'%s' is shorter than expected", name);
    if (len > 0)
        memcpy(out, in->data + offset, len);
    return 0;
}

static void on_wrong(void *user, const char *file, const char *what)
{
    (void)file;
    *(size_t *)user += strlen(what);
}

// What is left of it, whatever it is, makes a segment.
static void salvage(struct kp_segment *s)
{
    struct kp_segment_salvage left = {0};
    struct kp_segment_builder *b =
        kp_segment_builder_create(&(struct kp_segment_options){.namespace = s->namespace, .level = 1});
    struct kp_blob *blob = NULL;
    if (kp_segment_look(s, &left, NULL) == 0 &&
        kp_segment_builder_salvage(b, s, &left, NULL, NULL, NULL) == 0 &&
        kp_segment_builder_finish(b, &blob, NULL, NULL, NULL) == 0)
        kp_blob_unref(blob);
    kp_free(left.states);
    kp_segment_builder_destroy(b);
}

static void read_all(const uint8_t *data, size_t size)
{
    static const struct kp_storage_ops ops = {.get = get};
    struct input in = {data, size};
    const struct kp_storage storage = {&ops, &in};
    struct kp_segment *s;
    struct kp_error err = {0};
    size_t n_wrong = 0;
    if (kp_segment_open(&storage, "fuzz", &s, &err) != 0) {
        if (err.code == 0)
            abort();
        return;
    }
    if (kp_segment_verify(s, on_wrong, &n_wrong, &err) != 0)
        abort();
    struct kp_segment_row row;
    for (uint32_t i = 0; i < s->n_rows && i < 50; i++) {
        struct kp_blob *blob;
        if (kp_segment_read_rows(s, i, 1, &row, NULL) == 0 && kp_segment_read_body(s, &row, &blob, NULL) == 0)
            kp_blob_unref(blob);
        (void)kp_segment_find_run(s, i);
    }
    salvage(s);
    kp_segment_unref(s);
}

// The first byte says what the rest is: a file, or the inside of a block.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kp_space *space;
    struct kp_block *block;
    struct kp_segment segment = {0};
    struct kp_segment_private private = {0};
    const uint8_t *item;
    size_t len;
    char *type;
    if (size < 1)
        return 0;
    switch (data[0] % 5) {
    case 0:
        read_all(data + 1, size - 1);
        break;
    case 1:
        if (kp_dictionary_get(data + 1, size - 1, &space, NULL) == 0)
            kp_space_free(space);
        break;
    case 2:
        if (kp_block_get(data + 1, size - 1, &block, &type, NULL) == 0) {
            kp_free(type);
            kp_block_free(block);
        }
        break;
    case 3:
        segment.private = &private;
        segment.file_bytes = 1 << 20;
        (void)kp_segment_footer_get(data + 1, size - 1, &segment, NULL);
        kp_arena_free(private.arena);
        break;
    default:
        for (uint32_t i = 0; i < 64; i++)
            (void)kp_list_block_item(data + 1, size - 1, i, &item, &len, NULL);
        break;
    }
    return 0;
}
