// Stands in until segments can be read: nothing is sealed before that.
#include "store/segment.h"
#include "base/banned.h"

__attribute__((weak)) int kp_segment_read_space(
    const struct kp_segment *segment, uint32_t space, struct kp_space **ret, struct kp_error *err)
{
    (void)space;
    (void)ret;
    return kp_fail(err, KP_INTERNAL, "segment '%s' cannot be read", segment->name);
}

__attribute__((weak)) int kp_segment_read_block(
    const struct kp_segment *segment, uint32_t block, struct kp_block **ret, struct kp_error *err)
{
    (void)block;
    (void)ret;
    return kp_fail(err, KP_INTERNAL, "segment '%s' cannot be read", segment->name);
}

__attribute__((weak)) void kp_space_free(struct kp_space *space)
{
    (void)space;
}

__attribute__((weak)) void kp_block_free(struct kp_block *block)
{
    (void)block;
}
