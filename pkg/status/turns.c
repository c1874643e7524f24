#include "status/turns.h"

#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/banned.h"

#define MAX_TURNS 10000 // that are remembered of namespaces where nothing waits

struct turn {
    char *namespace;
    uint64_t last; // 0 = it had none yet
    struct kp_list nodes;
    struct kp_list in_waiting; // alone when it does not
    UT_hash_handle hh;
};

struct kp_turns {
    struct turn *all;
    struct kp_list waiting; // also those all of whose nodes were taken out, until somebody looks
    size_t limit;
    uint64_t now;
};

static void turn_free(struct kp_turns *turns, struct turn *turn)
{
    HASH_DEL(turns->all, turn);
    kp_list_remove(&turn->in_waiting);
    kp_free(turn->namespace);
    kp_free(turn);
}

// Most of them are of namespaces that are long gone.
static void forget(struct kp_turns *turns)
{
    struct turn *turn, *next;
    HASH_ITER (hh, turns->all, turn, next)
        if (kp_list_empty(&turn->nodes))
            turn_free(turns, turn);
    turns->limit = HASH_COUNT(turns->all) + MAX_TURNS;
}

void kp_turns_wait(struct kp_turns *turns, const char *namespace, struct kp_list *node)
{
    struct turn *turn;
    HASH_FIND_STR(turns->all, namespace, turn);
    if (turn == NULL) {
        if (HASH_COUNT(turns->all) >= turns->limit)
            forget(turns);
        turn = KP_NEW(struct turn);
        turn->namespace = kp_strdup(namespace);
        kp_list_init(&turn->nodes);
        kp_list_init(&turn->in_waiting);
        HASH_ADD_KEYPTR(hh, turns->all, turn->namespace, strlen(turn->namespace), turn);
    }
    kp_list_append(&turn->nodes, node);
    if (kp_list_empty(&turn->in_waiting))
        kp_list_append(&turns->waiting, &turn->in_waiting);
}

static struct turn *next_turn(struct kp_turns *turns)
{
    struct turn *best = NULL;
    kp_list_foreach_safe (node, &turns->waiting) {
        struct turn *turn = kp_container_of(node, struct turn, in_waiting);
        if (kp_list_empty(&turn->nodes))
            kp_list_remove(node);
        else if (best == NULL || turn->last < best->last)
            best = turn;
        if (best != NULL && best->last == 0)
            break;
    }
    return best;
}

struct kp_list *kp_turns_take(struct kp_turns *turns)
{
    struct turn *turn = next_turn(turns);
    if (turn == NULL)
        return NULL;
    turn->last = ++turns->now;
    struct kp_list *node = turn->nodes.next;
    kp_list_remove(node);
    return node;
}

bool kp_turns_empty(struct kp_turns *turns)
{
    while (!kp_list_empty(&turns->waiting)) {
        const struct turn *turn = kp_container_of(turns->waiting.next, struct turn, in_waiting);
        if (!kp_list_empty(&turn->nodes))
            return false;
        kp_list_remove(turns->waiting.next);
    }
    return true;
}

struct kp_turns *kp_turns_create(void)
{
    struct kp_turns *turns = KP_NEW(struct kp_turns);
    kp_list_init(&turns->waiting);
    turns->limit = MAX_TURNS;
    return turns;
}

void kp_turns_destroy(struct kp_turns *turns)
{
    struct turn *turn, *next;
    if (turns == NULL)
        return;
    HASH_ITER (hh, turns->all, turn, next)
        turn_free(turns, turn);
    kp_free(turns);
}
