// The columns of a block of samples: what block_put.c writes and block.c reads.
#ifndef KP_STORE_BLOCK_PRIVATE_H
#define KP_STORE_BLOCK_PRIVATE_H

#include "store/segment_private.h"

enum {
    KP_COLUMN_HEAD,      // space, captures, sample types, samples, type
    KP_COLUMN_COUNTS,    // samples of each capture
    KP_COLUMN_SHAPES,    // difference to the capture before, as the next two
    KP_COLUMN_TIMES,     //
    KP_COLUMN_DURATIONS, //
    KP_COLUMN_ENTRIES,   // that occur, ascending: difference to the one before, less 1
    KP_COLUMN_SETS,      // of each: 0 = every capture once; else samples << 1 | as bits
    KP_COLUMN_MEMBERS,   // bits of captures; or first capture (difference to the list before), gaps
    KP_COLUMN_VALUES,    // of the first sample type; the others follow
};

// A column of values, after a number that says how.
enum {
    KP_VALUES_PLAIN,
    KP_VALUES_DELTAS,   // to the sample of the same entry before
    KP_VALUES_CONSTANT, // the one value
    KP_VALUES_MULTIPLE, // type, factor
};

#endif
