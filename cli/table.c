#include "cli/table.h"

#include <stdarg.h>
#include <string.h>

#include "base/array.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_CELL 4096
#define GAP      3

struct kp_table {
    const char *const *columns;
    size_t n_columns;
    uint64_t right; // bit of each column whose cells stand at the right
    KP_ARRAY(char *) cells;
};

struct kp_table *kp_table_create(const char *const *columns)
{
    struct kp_table *table = KP_NEW(struct kp_table);
    table->columns = columns;
    while (columns[table->n_columns] != NULL)
        table->n_columns++;
    return table;
}

void kp_table_destroy(struct kp_table *table)
{
    if (table == NULL)
        return;
    for (size_t i = 0; i < table->cells.n; i++)
        kp_free(table->cells.items[i]);
    kp_array_free(&table->cells);
    kp_free(table);
}

void kp_table_cell(struct kp_table *table, const char *text)
{
    size_t len = text ? strnlen(text, MAX_CELL) : 0;
    if (len == 0) {
        *kp_array_add(&table->cells) = kp_strdup("<none>");
        return;
    }
    char *cell = kp_alloc(len + 1);
    kp_printable(cell, len + 1, text, len);
    *kp_array_add(&table->cells) = cell;
}

void kp_table_cellf(struct kp_table *table, const char *fmt, ...)
{
    kp_auto_strbuf text;
    kp_strbuf_init(&text, MAX_CELL);
    va_list args;
    va_start(args, fmt);
    kp_strbuf_vaddf(&text, fmt, args);
    va_end(args);
    kp_table_cell(table, text.data);
}

void kp_table_align_right(struct kp_table *table, unsigned column)
{
    table->right |= UINT64_C(1) << column;
}

// Code points; cells hold valid UTF-8 (kp_printable).
static int width_of(const char *text)
{
    int width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void print_row(const struct kp_table *table, char *const *row, const int *widths, FILE *out)
{
    for (size_t c = 0; c < table->n_columns; c++) {
        int blanks = widths[c] - width_of(row[c]);
        bool right = table->right >> c & 1;
        bool last = c + 1 == table->n_columns;
        fprintf(out, "%*s%s%*s", right ? blanks : 0, "", row[c], last ? 0 : (right ? 0 : blanks) + GAP, "");
    }
    fputc('\n', out);
}

void kp_table_print(const struct kp_table *table, bool headers, FILE *out)
{
    kp_auto_free int *widths = KP_NEW_ARRAY(int, table->n_columns);
    kp_auto_free char **head = KP_NEW_ARRAY(char *, table->n_columns);
    for (size_t c = 0; c < table->n_columns; c++) {
        head[c] = kp_strdup(table->columns[c]);
        widths[c] = headers ? width_of(head[c]) : 0;
    }
    for (size_t i = 0; i < table->cells.n; i++) {
        int width = width_of(table->cells.items[i]);
        if (width > widths[i % table->n_columns])
            widths[i % table->n_columns] = width;
    }
    if (headers)
        print_row(table, head, widths, out);
    for (size_t i = 0; i + table->n_columns <= table->cells.n; i += table->n_columns)
        print_row(table, table->cells.items + i, widths, out);
    for (size_t c = 0; c < table->n_columns; c++)
        kp_free(head[c]);
}

// ---- ages and sizes ----

// Two units while the first is small, as kubectl has it.
static const char *two(char out[KP_AGE_TEXT], int64_t a, const char *unit_a, int64_t b, const char *unit_b)
{
    if (b == 0)
        snprintf(out, KP_AGE_TEXT, "%lld%s", (long long)a, unit_a);
    else
        snprintf(out, KP_AGE_TEXT, "%lld%s%lld%s", (long long)a, unit_a, (long long)b, unit_b);
    return out;
}

const char *kp_age_format(char out[KP_AGE_TEXT], int64_t ms)
{
    int64_t s = ms / 1000;
    int64_t m = s / 60;
    int64_t h = m / 60;
    int64_t d = h / 24;
    if (s < -1)
        return two(out, 0, "s", 0, ""); // clocks differ
    if (s < 120)
        return two(out, s < 0 ? 0 : s, "s", 0, "");
    if (m < 10)
        return two(out, m, "m", s % 60, "s");
    if (m < 180)
        return two(out, m, "m", 0, "");
    if (h < 8)
        return two(out, h, "h", m % 60, "m");
    if (h < 48)
        return two(out, h, "h", 0, "");
    if (d < 8)
        return two(out, d, "d", h % 24, "h");
    if (d < 2 * 365)
        return two(out, d, "d", 0, "");
    if (d < 8 * 365)
        return two(out, d / 365, "y", d % 365, "d");
    return two(out, d / 365, "y", 0, "");
}

const char *kp_size_format(char out[KP_AGE_TEXT], uint64_t bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1000 && unit + 1 < sizeof units / sizeof units[0])
        value /= 1000, unit++;
    snprintf(out, KP_AGE_TEXT, unit == 0 || value >= 99.5 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return out;
}
