// The columns of a space: what dictionary.c writes and dictionary_read.c reads.
//
// Order makes most numbers predictable. Locations stand in the order of their addresses, so neighbours are
// of one function, one file, one package; functions in the order in which locations name them; strings in the
// order in which functions do; nodes in depth-first order with the children of a node in the order of their
// locations: siblings, called from one place, are close to each other. Entries keep their ids, since blocks
// of samples name them.
#ifndef KP_STORE_DICTIONARY_PRIVATE_H
#define KP_STORE_DICTIONARY_PRIVATE_H

#include "store/segment_private.h"

enum {
    KP_DICT_COUNTS, // strings, functions, mappings, locations, lines, nodes, label sets, labels, entries,
                    // shapes
    KP_DICT_STRING_SHARED,  // bytes shared with the string before
    KP_DICT_STRING_LENGTHS, // of the rest
    KP_DICT_STRING_BYTES,
    KP_DICT_FUNCTION_NAMES,     // 0 = the next string no one has named, else 1 + string; as the two below
    KP_DICT_FUNCTION_SYSTEM,    // 0 = the same as the name
    KP_DICT_FUNCTION_FILES,     // 0 = as the function before
    KP_DICT_FUNCTION_STARTS,    // difference to the function before
    KP_DICT_MAPPINGS,           // all fields
    KP_DICT_LOCATION_MAPPINGS,  // difference to the one before, of mapping + 1
    KP_DICT_LOCATION_ADDRESSES, // difference within a mapping
    KP_DICT_LOCATION_LINES,     // lines << 1 | folded
    KP_DICT_LINE_FUNCTIONS, // outermost first; 0 = the next function, else 1 + difference to the outermost of
                            // the location before
    KP_DICT_LINE_LINES,     // difference to the last line of the function
    KP_DICT_LINE_COLUMNS,
    KP_DICT_NODE_UPS,      // levels from the node before up to the parent
    KP_DICT_NODE_SIBLINGS, // with a sibling before: difference to its location, less 1
    KP_DICT_NODE_KNOWN,    // first child of a location that had a child before: difference to that
    KP_DICT_NODE_NEW,      // else: difference to the parent's location
    KP_DICT_LABEL_SETS,    // labels of each
    KP_DICT_LABELS,        // all fields
    KP_DICT_ENTRY_NODES,   // difference to the entry before
    KP_DICT_ENTRY_LABELS,  // likewise
    KP_DICT_SHAPE_LENGTHS,
    KP_DICT_SHAPES,         // their bytes
    KP_DICT_SHAPE_MAPPINGS, // ids of the mappings of all shapes
    KP_DICT_COLUMNS
};

#endif
