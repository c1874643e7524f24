#include "sink/memory.h"

#include "base/alloc.h"
#include "base/array.h"
#include "base/hash.h"
#include "base/banned.h"

struct open_delivery {
    void (*on_done)(void *user, const struct kp_sink_answer *answer);
    void *user;
};

struct kp_sink_memory {
    struct kp_timer *turn;
    bool scripted;
    struct kp_sink_answer script;
    KP_ARRAY(struct open_delivery) open;
    KP_ARRAY(struct kp_sink_delivery) deliveries;
};

bool kp_sink_memory_answer(
    struct kp_sink_memory *memory, size_t open_index, const struct kp_sink_answer *answer)
{
    if (open_index >= memory->open.n)
        return false;
    struct open_delivery open = memory->open.items[open_index];
    memory->open.n--;
    for (size_t i = open_index; i < memory->open.n; i++)
        memory->open.items[i] = memory->open.items[i + 1];
    open.on_done(open.user, answer);
    return true;
}

static void on_turn(void *user)
{
    struct kp_sink_memory *memory = user;
    for (size_t n = memory->open.n; n > 0 && memory->scripted; n--) {
        const struct kp_sink_answer answer = memory->script;
        kp_sink_memory_answer(memory, 0, &answer);
    }
}

static void take(
    struct kp_sink_memory *memory, const char *key, const struct kp_blob *body, struct open_delivery open)
{
    *kp_array_add(&memory->deliveries) =
        (struct kp_sink_delivery){kp_strdup(key), body->len, kp_hash64(body->data, body->len, 0)};
    *kp_array_add(&memory->open) = open;
    kp_timer_start(memory->turn, 0, 0);
}

static void send_capture(void *self, const struct kp_record *record, struct kp_blob *body,
    void (*on_done)(void *user, const struct kp_sink_answer *answer), void *user)
{
    take(self, record->key, body, (struct open_delivery){on_done, user});
}

static void send_state(void *self, struct kp_blob *encoded,
    void (*on_done)(void *user, const struct kp_sink_answer *answer), void *user)
{
    take(self, "state", encoded, (struct open_delivery){on_done, user});
}

static void close_memory(void *self)
{
    const struct kp_sink_answer away = {.retry = true, .message = "the receiver is closed"};
    while (kp_sink_memory_answer(self, 0, &away))
        ;
}

const struct kp_sink_ops kp_sink_memory_ops = {"memory", send_capture, send_state, close_memory};

struct kp_sink_memory *kp_sink_memory_create(struct kp_loop *loop)
{
    struct kp_sink_memory *memory = KP_NEW(struct kp_sink_memory);
    memory->turn = kp_timer_create(loop, on_turn, memory);
    memory->scripted = true;
    memory->script.outcome = KP_OUTCOME_SUCCEEDED;
    return memory;
}

void kp_sink_memory_destroy(struct kp_sink_memory *memory)
{
    kp_timer_destroy(memory->turn);
    for (size_t i = 0; i < memory->deliveries.n; i++)
        kp_free(memory->deliveries.items[i].key);
    kp_array_free(&memory->deliveries);
    kp_array_free(&memory->open);
    kp_free(memory);
}

void kp_sink_memory_script(struct kp_sink_memory *memory, const struct kp_sink_answer *answer)
{
    memory->scripted = answer != NULL;
    if (answer != NULL)
        memory->script = *answer;
    kp_timer_start(memory->turn, 0, 0);
}

size_t kp_sink_memory_open(const struct kp_sink_memory *memory)
{
    return memory->open.n;
}

size_t kp_sink_memory_count(const struct kp_sink_memory *memory)
{
    return memory->deliveries.n;
}

const struct kp_sink_delivery *kp_sink_memory_delivery(const struct kp_sink_memory *memory, size_t i)
{
    return i < memory->deliveries.n ? &memory->deliveries.items[i] : NULL;
}
