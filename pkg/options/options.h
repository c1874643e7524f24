// Options of a program from one table: the same row gives the flag, the environment variable, the key in the
// configuration file and the line of --help. Weakest first: default, file, environment, flag. Values land in
// the program's own struct.
#ifndef KP_OPTIONS_OPTIONS_H
#define KP_OPTIONS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

enum kp_option_type {
    KP_OPTION_STRING,   // char *, never NULL; "" if nothing is set
    KP_OPTION_CHOICE,   // char *; what names the allowed words: "text|json"
    KP_OPTION_LIST,     // struct kp_option_list; the flag may be repeated, values hold commas between items
    KP_OPTION_TEXTS,    // struct kp_option_list; the flag may be repeated, each value is one item as it is
    KP_OPTION_BOOL,     // bool; --flag or --flag=false
    KP_OPTION_INT,      // int64_t within [min, max]
    KP_OPTION_PERCENT,  // double within [0, 100]; "1", "0.5" or "1%"
    KP_OPTION_DECIMAL,  // double within [min, max]; "0.5"
    KP_OPTION_DURATION, // int64_t, milliseconds; "1h30m", "5d", "2w"
    KP_OPTION_BYTES,    // int64_t; "64Mi"
};

struct kp_option_list {
    char **items;
    size_t n;
};

struct kp_option {
    const char *flag; // "listen": --listen, key listen in the file, KUBE_PPROF_LISTEN in the environment
    const char *what; // of the value: "ADDRESS"; for choices the words; NULL for bool
    enum kp_option_type type;
    size_t offset;    // of the value in the program's struct
    const char *def;  // as text; NULL = empty, false, 0
    int64_t min, max; // numbers, durations (ms), bytes; max 0 = no upper bound
    const char *help; // one sentence; '\n' starts a new line
};

// -n NAME, -nNAME, -n=NAME for --namespace; letters of bools may stand together.
struct kp_option_letter {
    char letter;
    const char *flag;
};

struct kp_options_source {
    int argc; // argv[0] is the command's name and skipped
    char **argv;
    const char *(*env)(const char *name);   // NULL = no environment
    const struct kp_option_letter *letters; // the last has letter 0; NULL = none
    // What is no flag, in order, and everything behind "--": borrowed from argv. Room for argc; NULL =
    // nothing but flags may be there.
    char **args;
    size_t *n_args;
};

// Flags may stand anywhere among the arguments. An option named "config" with type STRING, if the table has
// one, names the file: flat YAML, one `key: value` a line, lists as [a, b] or lines `- a`, comments with #.
// Fills every row's value; object must be zeroed or finished before. On error object is finished. The
// sentence names flag, variable or file and line. Returns KP_OPTIONS_HELP when --help or -h was there
// (nothing else was looked at).
#define KP_OPTIONS_HELP 1
KP_MUST_CHECK int kp_options_load(const struct kp_option *rows, size_t n,
    const struct kp_options_source *source, void *object, struct kp_error *err);
void kp_options_finish(const struct kp_option *rows, size_t n, void *object); // frees strings and lists

// "usage: kube-pprof COMMAND [FLAGS]", the summary, a paragraph per row.
void kp_options_help(
    const struct kp_option *rows, size_t n, const char *command, const char *summary, FILE *out);

// "listen-address" -> "KUBE_PPROF_LISTEN_ADDRESS"
#define KP_OPTION_ENV_TEXT 96
const char *kp_option_env(char out[KP_OPTION_ENV_TEXT], const char *flag);

#endif
