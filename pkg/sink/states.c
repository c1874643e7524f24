// States of targets: the newest of each namespace, one post at a time.
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "sink/sink_private.h"
#include "base/banned.h"

void kp_sink_state_free(struct kp_sink *sink, struct kp_sink_state *post)
{
    HASH_DEL(sink->states, post);
    kp_blob_unref(post->blob);
    kp_free(post->namespace);
    kp_free(post);
}

static void on_state_sent(void *user, const struct kp_sink_answer *answer)
{
    struct kp_sink_state *post = user;
    struct kp_blob *sent = kp_take(post->in_flight);
    struct kp_sink *sink = post->sink;
    sink->state_in_flight = false;
    if (answer->retry)
        kp_sink_block(sink, answer);
    else if (post->blob == sent)
        kp_sink_state_free(sink, post); // delivered, or refused for good; a newer one goes next
    kp_blob_unref(sent);
    if (!sink->closing)
        kp_sink_pump(sink);
}

void kp_sink_pump_states(struct kp_sink *sink)
{
    struct kp_sink_state *post = sink->states;
    if (post == NULL || sink->state_in_flight)
        return;
    sink->state_in_flight = true;
    post->in_flight = kp_blob_ref(post->blob);
    sink->options.ops->send_state(sink->options.self, post->in_flight, on_state_sent, post);
}

void kp_sink_put_state(struct kp_sink *sink, const char *namespace, struct kp_blob *encoded)
{
    struct kp_sink_state *post;
    HASH_FIND_STR(sink->states, namespace, post);
    if (post == NULL) {
        post = KP_NEW(struct kp_sink_state);
        post->sink = sink;
        post->namespace = kp_strdup(namespace);
        HASH_ADD_KEYPTR(hh, sink->states, post->namespace, strlen(post->namespace), post);
    }
    kp_blob_unref(post->blob);
    post->blob = kp_blob_ref(encoded);
    kp_sink_pump(sink);
}
