// What tests share: folders that vanish, files, golden texts. Tests only.
#ifndef KP_TESTKIT_TESTKIT_H
#define KP_TESTKIT_TESTKIT_H

#include <stddef.h>

// A new empty folder below $TMPDIR; kp_test_rmdir() removes it with all that is in it and frees the path.
char *kp_test_tmpdir(void);
void kp_test_rmdir(char *path);
// A file of the test data, whole, with a NUL behind it; a missing file fails the test. Free it.
char *kp_test_read_file(const char *path, size_t *ret_len);
// Compares with a golden file and fails the test with the first line that differs. With KP_UPDATE_GOLDEN=1 in
// the environment it writes the file instead: look at the difference before you commit it.
void kp_test_golden(const char *path, const char *text);

// Counts how often a file was put in place by a rename, as kp_file_write_atomic() does it, since the folder
// is watched or it was counted last. close() the watch.
int kp_test_watch_moves(const char *dir);
int kp_test_count_moves(int watch, const char *name);

#endif
