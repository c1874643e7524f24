// A symbol space: strings, functions, mappings, locations, stacks and label sets of many profiles, each kept
// once, with dense ids in the order of arrival. The common language of everything that merges: sealing
// interns profiles of one build, a query interns what it sums, kp_profile_merge() interns its inputs. Ids
// start at 0; string 0 is "". Stacks are a tree: a node is (parent, location), the parent being the caller;
// node 0 is the empty stack. Not thread-safe.
#ifndef KP_PROFILE_SYMBOLS_H
#define KP_PROFILE_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profile/profile.h"

// What makes two entities one.
enum kp_symbols_mode {
    KP_SYMBOLS_EXACT, // everything the profile says; nothing is lost
    KP_SYMBOLS_MERGE, // what google/pprof's merge takes as the same (facts: its profile/merge.go)
};

// As in struct kp_mapping, without the place it was loaded to: addresses are relative to its start.
struct kp_sym_mapping {
    uint64_t size, offset;
    uint32_t filename, build_id, flags;
    uint32_t ordinal; // exact mode: the n-th of this kind in one profile
    uint64_t start;   // of the first seen; not part of the identity
};

struct kp_sym_location {
    uint64_t address; // relative to the mapping's start; absolute without one
    uint32_t mapping; // id, or KP_NO_MAPPING
    uint32_t first_line, n_lines;
    bool folded;
};

struct kp_sym_node {
    uint32_t parent, location;
};

struct kp_symbols {
    enum kp_symbols_mode mode;
    // Read these; only the functions below change them.
    struct kp_str *strings;
    struct kp_function *functions;
    struct kp_sym_mapping *mappings;
    struct kp_sym_location *locations;
    struct kp_line *lines;
    struct kp_sym_node *nodes;
    uint32_t *label_sets; // start of set i in labels; set 0 is the empty one; n_label_sets + 1 entries
    struct kp_sample_label *labels;
    uint32_t n_strings, n_functions, n_mappings, n_locations, n_lines, n_nodes, n_label_sets, n_labels;
    struct kp_symbols_index *index; // private: the hash tables
};

struct kp_symbols *kp_symbols_create(enum kp_symbols_mode mode);
void kp_symbols_destroy(struct kp_symbols *symbols); // NULL is fine
size_t kp_symbols_bytes(const struct kp_symbols *symbols);

// Each returns the id of the entity, which is added if it is new.
uint32_t kp_symbols_string(struct kp_symbols *symbols, const char *data, uint32_t len);
uint32_t kp_symbols_function(struct kp_symbols *symbols, const struct kp_function *function);
uint32_t kp_symbols_mapping(struct kp_symbols *symbols, const struct kp_sym_mapping *mapping);
uint32_t kp_symbols_location(
    struct kp_symbols *symbols, const struct kp_sym_location *location, const struct kp_line *lines);
uint32_t kp_symbols_node(struct kp_symbols *symbols, uint32_t parent, uint32_t location);
// The same for one that cannot be there yet: its parent has no such child.
uint32_t kp_symbols_new_node(struct kp_symbols *symbols, uint32_t parent, uint32_t location);
// Locations leaf first, as in a sample.
uint32_t kp_symbols_stack(struct kp_symbols *symbols, const uint32_t *locations, uint32_t n);
// Sorted in place by key, then text, then number.
uint32_t kp_symbols_label_set(struct kp_symbols *symbols, struct kp_sample_label *labels, uint32_t n);

// Takes over all that another space has into a new one, with the ids it has there: much faster than to look
// up one by one. Returns false where the new space takes some of it as the same (it then holds a part, which
// does no harm): map it instead.
bool kp_symbols_adopt(struct kp_symbols *symbols, const struct kp_symbols *from);

// That a profile will be mapped into the space: while it is empty, it is made as large as that takes at
// least.
void kp_symbols_expect(struct kp_symbols *symbols, const struct kp_profile *profile);

// Maps the ids of one profile, or of another symbol space, to ids here; made lazily, entity by entity. The
// source must stay as it is while the map lives.
struct kp_symbols_map;
struct kp_symbols_map *kp_symbols_map_profile(struct kp_symbols *to, const struct kp_profile *from);
struct kp_symbols_map *kp_symbols_map_symbols(struct kp_symbols *to, const struct kp_symbols *from);
void kp_symbols_map_destroy(struct kp_symbols_map *map); // NULL is fine
uint32_t kp_symbols_map_string(struct kp_symbols_map *map, uint32_t string);
uint32_t kp_symbols_map_mapping(struct kp_symbols_map *map, uint32_t mapping);
// Of a profile: the stack of a sample. Of a space: a node (kp_symbols_map_node).
uint32_t kp_symbols_map_stack(struct kp_symbols_map *map, uint32_t sample);
uint32_t kp_symbols_map_labels(struct kp_symbols_map *map, uint32_t sample);
uint32_t kp_symbols_map_node(struct kp_symbols_map *map, uint32_t node);
uint32_t kp_symbols_map_label_set(struct kp_symbols_map *map, uint32_t set);

#endif
