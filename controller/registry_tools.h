// Programs for a data folder that no registry has open: `kube-pprof registry verify | repair | export |
// import`. argv[0] is the command's name; they return the exit status.
#ifndef KP_CONTROLLER_REGISTRY_TOOLS_H
#define KP_CONTROLLER_REGISTRY_TOOLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/array.h"
#include "base/error.h"
#include "options/options.h"
#include "record/record.h"
#include "store/store.h"

int kp_registry_verify_main(int argc, char **argv);
int kp_registry_repair_main(int argc, char **argv);
int kp_registry_export_main(int argc, char **argv);
int kp_registry_import_main(int argc, char **argv);

// What they share: options from a table of rows into an object; 0, or the exit status + 1 to end with.
int kp_tool_options(const struct kp_option *rows, size_t n, int argc, char **argv, const char *command,
    const char *summary, void *object);
// Says it on stderr; returns exit status 1.
int kp_tool_fail(const char *command, const struct kp_error *err);
// Whether the folder is there: opening makes one that is not.
KP_MUST_CHECK int kp_tool_check_folder(const char *dir, struct kp_error *err);
// Opens the store of a folder, without any limit of age or bytes.
KP_MUST_CHECK int kp_tool_open(const char *dir, struct kp_store **ret, struct kp_error *err);

// What is wrong with a data folder: files, each once (as kp_store_verify names them), and the number of
// faults.
struct kp_faults {
    KP_ARRAY(char *) files;
    size_t n;
};
// Opens the folder, reads everything in it, prints what is wrong, closes it.
KP_MUST_CHECK int kp_tool_look(
    const char *dir, struct kp_faults *faults, struct kp_store_stats *ret_stats, struct kp_error *err);
void kp_faults_free(struct kp_faults *faults);

// A description as a line of JSON, as the registry's API gives it, and back. file: name of the profile's
// file.
void kp_tool_write_record(struct kp_strbuf *out, const struct kp_record *record, const char *file);
// *ret_file: free it. Finish the record also after an error.
KP_MUST_CHECK int kp_tool_read_record(
    const char *line, struct kp_record *ret, char **ret_file, struct kp_error *err);

// Puts profiles into a store that are not there yet.
struct kp_intake;
KP_MUST_CHECK int kp_intake_create(struct kp_store *store, struct kp_intake **ret, struct kp_error *err);
// Profiles that name no namespace are put into the one this label of theirs holds, if its value is a name of
// one, else into `fallback`. Both may be NULL; borrowed.
void kp_intake_set_namespaces(struct kp_intake *intake, const char *label, const char *fallback);
void kp_intake_destroy(struct kp_intake *intake); // what was not flushed is lost; NULL is fine
// Takes the record over. What is there already is counted, what is no profile is said on stderr and counted.
KP_MUST_CHECK int kp_intake_add(
    struct kp_intake *intake, struct kp_record *record, const void *data, size_t len, struct kp_error *err);
// The same with the time of a profile that has none of its own.
KP_MUST_CHECK int kp_intake_add_at(struct kp_intake *intake, struct kp_record *record, int64_t fallback_ms,
    const void *data, size_t len, struct kp_error *err);
KP_MUST_CHECK int kp_intake_flush(struct kp_intake *intake, struct kp_error *err);
struct kp_intake_counts {
    uint64_t stored, known, refused, gone; // gone: of a namespace that was deleted since
};
struct kp_intake_counts kp_intake_counts(const struct kp_intake *intake);

// All of a running profefe.
KP_MUST_CHECK int kp_import_profefe(const char *url, struct kp_intake *intake, struct kp_error *err);

#endif
