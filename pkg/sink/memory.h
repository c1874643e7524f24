// A receiver for tests: keeps what it is sent and answers when told to.
#ifndef KP_SINK_MEMORY_H
#define KP_SINK_MEMORY_H

#include "sink/sink.h"

struct kp_sink_memory;

extern const struct kp_sink_ops kp_sink_memory_ops;

// self for kp_sink_options. The sink's close() answers what is open with a retry, but frees nothing: the test
// looks first, then destroys.
struct kp_sink_memory *kp_sink_memory_create(struct kp_loop *loop);
void kp_sink_memory_destroy(struct kp_sink_memory *memory);

// Answers every delivery at the next turn with this; NULL = they wait for kp_sink_memory_answer(). The start:
// Succeeded.
void kp_sink_memory_script(struct kp_sink_memory *memory, const struct kp_sink_answer *answer);
// Answers an open delivery, counted in order of arrival among the open ones; false if there are not as many.
bool kp_sink_memory_answer(
    struct kp_sink_memory *memory, size_t open_index, const struct kp_sink_answer *answer);
size_t kp_sink_memory_open(const struct kp_sink_memory *memory);

// Every delivery that came in, answered or not.
struct kp_sink_delivery {
    char *key; // of the record, "state" for states of targets
    size_t len;
    uint64_t hash; // of the body
};
size_t kp_sink_memory_count(const struct kp_sink_memory *memory);
const struct kp_sink_delivery *kp_sink_memory_delivery(const struct kp_sink_memory *memory, size_t i);

#endif
