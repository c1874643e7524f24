// Ids of profiles: time, series and number, so that they lead to the profile wherever it lies and never
// change. 25 characters of Crockford's base 32 in lower case; sorted as text they are sorted by time. Series
// and number count over all namespaces: they are written under a key, or a tenant would see from its own ids
// how much the others store. Private to this module.
#ifndef KP_STORE_ID_H
#define KP_STORE_ID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define KP_ID_TEXT     26
#define KP_CURSOR_TEXT 39

struct kp_id {
    int64_t start_ms; // 0 .. 2^50
    uint32_t series;
    uint64_t number; // below 2^40
};

// How this store writes its ids. Set when the store is opened; immutable from then on.
struct kp_id_form {
    uint64_t key[2];
    // Before the key they were written openly: such ids are read for numbers below this, so that those that
    // somebody kept go on leading to their profiles. No others: they could be guessed, and so numbers found
    // out.
    uint64_t first;
    bool is_saved; // the key is on the disk
};

// From the file `ids` of the data directory, or with a new key; next_number: of the next profile. Where the
// disk is full the key is in memory only and kp_id_form_save() is to be called again.
KP_MUST_CHECK int kp_id_form_load(
    const char *dir, uint64_t next_number, struct kp_id_form *ret, struct kp_error *err);
KP_MUST_CHECK int kp_id_form_save(const char *dir, struct kp_id_form *form, struct kp_error *err);

const char *kp_id_format(const struct kp_id_form *form, char out[KP_ID_TEXT], const struct kp_id *id);
// Takes exactly what format makes, and what older programs made.
bool kp_id_parse(const struct kp_id_form *form, const char *text, struct kp_id *ret);

// A place in a list: behind this profile. Nobody can make one up, which would be a way to compare numbers.
const char *kp_cursor_format(const struct kp_id_form *form, char out[KP_CURSOR_TEXT], const struct kp_id *id);
bool kp_cursor_parse(const struct kp_id_form *form, const char *text, struct kp_id *ret);

#endif
