// "(WORKLOAD | FILE... | ID...)": which profile a command is to look at, and that profile.
//
// An argument is a FILE if there is such a file or it is written as a path; "-" is standard input. It is an
// ID if it is written as registries write them. Else it is a WORKLOAD: the name of a service, or KIND/NAME
// with kubectl's kinds. Without arguments --service says which.
#ifndef KP_CLI_SOURCE_H
#define KP_CLI_SOURCE_H

#include <stdbool.h>

#include "cli/cli.h"
#include "profile/profile.h"

struct kp_query;

enum kp_source_kind { KP_SOURCE_FILES, KP_SOURCE_IDS, KP_SOURCE_WORKLOAD };

struct kp_source {
    enum kp_source_kind kind;
    char **args; // files or ids; borrowed, but for the array
    size_t n_args;
    // of a workload: how it is asked for, "" = not
    char *name; // as it is shown
    char *service, *selector, *from, *to, *revision, *type;
    bool is_type_said; // else cpu, or what there is
};

// What an argument is, by itself.
enum kp_source_kind kp_source_kind_of(const char *arg);
bool kp_source_is_id(const char *arg);
// "deploy/checkout" -> "Deployment", and the name behind the slash; NULL: no kind that is known.
const char *kp_source_workload_kind(const char *arg, const char **ret_name);

// KP_INVALID (and wrong usage) where the arguments make no sense together. Finish it also then.
KP_MUST_CHECK int kp_source_parse(
    struct kp_cli *cli, char *const *args, size_t n_args, struct kp_source *ret, struct kp_error *err);
// What the arguments and --base... flags say there is to compare: *ret against *ret_base. With --base
// revision=NAME and no --revision, *ret is all other revisions. Where there is nothing to compare with and it
// is not needed, *ret_has_base is false. Finish both also after an error.
KP_MUST_CHECK int kp_source_parse_pair(struct kp_cli *cli, bool needs_base, struct kp_source *ret,
    struct kp_source *ret_base, bool *ret_has_base, struct kp_error *err);
void kp_source_finish(struct kp_source *source);

// The profile: files are read and added up, a registry is asked for the sum. A type that was not said is
// found out here (note on stderr unless it is cpu), and stays in source->type.
KP_MUST_CHECK int kp_source_load(
    struct kp_cli *cli, struct kp_source *source, struct kp_profile **ret, struct kp_error *err);
// The bytes of it as they came, if there is one only and nothing is to be added up; *ret_blob NULL: use
// kp_source_load.
struct kp_blob;
KP_MUST_CHECK int kp_source_bytes(
    struct kp_cli *cli, struct kp_source *source, struct kp_blob **ret_blob, struct kp_error *err);
// The parameters that ask the registry for it (ids or workload). Init the query first.
KP_MUST_CHECK int kp_source_query(
    struct kp_cli *cli, const struct kp_source *source, struct kp_query *query, struct kp_error *err);
// "checkout cpu", "a.pb.gz and 2 more"; free it.
char *kp_source_title(const struct kp_source *source);

// A file, or standard input for "-": profiles are at most so large. Free with kp_free.
KP_MUST_CHECK int kp_source_read_file(const char *path, char **ret, size_t *ret_len, struct kp_error *err);

#endif
