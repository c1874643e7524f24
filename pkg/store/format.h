// In which form the data folder is written. The file `format` says it of the folder as a whole, and by which
// program; log files, segments, `forgotten` and `ids` say it each for itself as well. A program reads its own
// form and the one before; a folder of a newer program is left as it is, so that going back to an older
// program and forward again loses nothing. What is a cache (index, sidecars) has no say: of another form it
// is made anew.
//
// For who changes the form of anything: raise KP_STORE_FORMAT, write frames of a new form into new log files
// only, and keep where the number stands: `format` and the first line of the text files, byte 7 of a log file
// and bytes 8 to 11 of a segment, with the checksum of the head where it is.
// Private to this module.
#ifndef KP_STORE_FORMAT_H
#define KP_STORE_FORMAT_H

#include "base/error.h"

#define KP_STORE_FORMAT 1

// Before anything in the folder is read or changed. KP_INVALID: it is of a newer program.
KP_MUST_CHECK int kp_format_check(const char *dir, const char *log_dir, struct kp_error *err);
// Notes that this program wrote the folder, unless that is noted. Where the disk is full it is not.
void kp_format_note(const char *dir);

#endif
