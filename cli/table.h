// Tables as kubectl prints them: upper-case headers, columns three blanks apart, "<none>" for what is empty.
#ifndef KP_CLI_TABLE_H
#define KP_CLI_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct kp_table;

// columns: "NAME", "TYPE" ... NULL-terminated, borrowed.
struct kp_table *kp_table_create(const char *const *columns);
void kp_table_destroy(struct kp_table *table);
// The next cell, row after row; copied. Control characters are taken out. NULL or "" shows as "<none>".
void kp_table_cell(struct kp_table *table, const char *text);
void kp_table_cellf(struct kp_table *table, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// Numbers stand at the right in this column.
void kp_table_align_right(struct kp_table *table, unsigned column);
void kp_table_print(const struct kp_table *table, bool headers, FILE *out);

// "5s", "3m12s", "4h", "2d3h", "45d", "3y": the age kubectl shows (apimachinery duration.HumanDuration).
#define KP_AGE_TEXT 24
const char *kp_age_format(char out[KP_AGE_TEXT], int64_t ms);
// "1.2 MB"
const char *kp_size_format(char out[KP_AGE_TEXT], uint64_t bytes);

#endif
