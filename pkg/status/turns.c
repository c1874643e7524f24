#include "status/turns.h"

#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/banned.h"

#define MAX_TURNS 10000

struct turn {
    char *namespace;
    uint64_t last;
    UT_hash_handle hh;
};

struct kp_turns {
    struct turn *all;
    uint64_t now;
};

uint64_t kp_turns_last(const struct kp_turns *turns, const char *namespace)
{
    const struct turn *turn;
    if (turns == NULL)
        return 0;
    HASH_FIND_STR(turns->all, namespace, turn);
    return turn != NULL ? turn->last : 0;
}

void kp_turns_take(struct kp_turns **turns, const char *namespace)
{
    struct turn *turn;
    if (*turns != NULL && HASH_COUNT((*turns)->all) >= MAX_TURNS)
        kp_turns_clear(turns); // of namespaces that are long gone, most of them
    if (*turns == NULL)
        *turns = KP_NEW(struct kp_turns);
    HASH_FIND_STR((*turns)->all, namespace, turn);
    if (turn == NULL) {
        turn = KP_NEW(struct turn);
        turn->namespace = kp_strdup(namespace);
        HASH_ADD_KEYPTR(hh, (*turns)->all, turn->namespace, strlen(turn->namespace), turn);
    }
    turn->last = ++(*turns)->now;
}

void kp_turns_clear(struct kp_turns **turns)
{
    struct turn *turn;
    struct turn *next;
    if (*turns == NULL)
        return;
    HASH_ITER (hh, (*turns)->all, turn, next) {
        HASH_DEL((*turns)->all, turn);
        kp_free(turn->namespace);
        kp_free(turn);
    }
    kp_free(*turns);
    *turns = NULL;
}
