#include "store/id.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "base/banned.h"

static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

enum { TIME_DIGITS = 10, SERIES_DIGITS = 7, NUMBER_DIGITS = 8, SEAL_DIGITS = 13 };

// What follows the time: a digit with the form (3 bits) and the first bits, then 70 bits. Under a key it is a
// permutation of 72 bits, by a Feistel network over two halves; the older form has a series of 32 bits in 35.
enum { HALF_BITS = 36, HALF_DIGITS = 7, ROUNDS = 6 };
#define HALF_MASK  ((UINT64_C(1) << HALF_BITS) - 1)
#define LOW_DIGITS ((UINT64_C(1) << 5 * HALF_DIGITS) - 1)
#define KEYED      1 // the form
#define HEAD       "kube-pprof ids 1\n"
#define MAX_FILE   256

static void put(char *out, int n, uint64_t v)
{
    for (int i = n - 1; i >= 0; i--, v >>= 5)
        out[i] = digits[v & 31];
}

static bool get(const char *in, int n, uint64_t *ret)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++) {
        const char *d = in[i] ? strchr(digits, in[i]) : NULL;
        if (d == NULL)
            return false;
        v = v << 5 | (uint64_t)(d - digits);
    }
    *ret = v;
    return true;
}

// ---- under the key ----

static uint64_t mixed(const struct kp_id_form *form, int round, uint64_t time, uint64_t half)
{
    const uint64_t in[2] = {time, half | (uint64_t)round << HALF_BITS};
    return kp_siphash(form->key, in, sizeof in) & HALF_MASK;
}

static void hide(const struct kp_id_form *form, uint64_t time, uint64_t half[2])
{
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t left = half[0];
        half[0] = half[1];
        half[1] = left ^ mixed(form, round, time, half[0]);
    }
}

static void show(const struct kp_id_form *form, uint64_t time, uint64_t half[2])
{
    for (int round = ROUNDS; round-- > 0;) {
        uint64_t right = half[1];
        half[1] = half[0];
        half[0] = right ^ mixed(form, round, time, half[1]);
    }
}

// ---- ids ----

const char *kp_id_format(const struct kp_id_form *form, char out[KP_ID_TEXT], const struct kp_id *id)
{
    uint64_t time = (uint64_t)id->start_ms;
    uint64_t half[2] = {(uint64_t)id->series << 4 | (id->number >> HALF_BITS & 15), id->number & HALF_MASK};
    hide(form, time, half);
    put(out, TIME_DIGITS, time);
    put(out + TIME_DIGITS, 1, KEYED << 2 | half[0] >> 35 << 1 | half[1] >> 35);
    put(out + TIME_DIGITS + 1, HALF_DIGITS, half[0] & LOW_DIGITS);
    put(out + TIME_DIGITS + 1 + HALF_DIGITS, HALF_DIGITS, half[1] & LOW_DIGITS);
    out[KP_ID_TEXT - 1] = '\0';
    return out;
}

static bool parse_keyed(const struct kp_id_form *form, const char *text, uint64_t time, struct kp_id *ret)
{
    uint64_t top;
    uint64_t half[2];
    if (!get(text, 1, &top) || !get(text + 1, HALF_DIGITS, &half[0]) ||
        !get(text + 1 + HALF_DIGITS, HALF_DIGITS, &half[1]) || top >> 2 != KEYED)
        return false;
    half[0] |= (top >> 1 & 1) << 35;
    half[1] |= (top & 1) << 35;
    show(form, time, half);
    *ret = (struct kp_id){.start_ms = (int64_t)time,
        .series = (uint32_t)(half[0] >> 4),
        .number = (half[0] & 15) << HALF_BITS | half[1]};
    return true;
}

static bool parse_open(const struct kp_id_form *form, const char *text, uint64_t time, struct kp_id *ret)
{
    uint64_t series;
    uint64_t number;
    if (!get(text, SERIES_DIGITS, &series) || !get(text + SERIES_DIGITS, NUMBER_DIGITS, &number) ||
        series > UINT32_MAX || number >= form->first)
        return false;
    *ret = (struct kp_id){.start_ms = (int64_t)time, .series = (uint32_t)series, .number = number};
    return true;
}

bool kp_id_parse(const struct kp_id_form *form, const char *text, struct kp_id *ret)
{
    uint64_t time;
    if (strlen(text) != KP_ID_TEXT - 1 || !get(text, TIME_DIGITS, &time))
        return false;
    const char *rest = text + TIME_DIGITS;
    return parse_keyed(form, rest, time, ret) || parse_open(form, rest, time, ret);
}

// ---- cursors ----

static uint64_t seal_of(const struct kp_id_form *form, const char *id)
{
    const uint64_t other_key[2] = {~form->key[0], form->key[1]};
    return kp_siphash(other_key, id, KP_ID_TEXT - 1);
}

const char *kp_cursor_format(const struct kp_id_form *form, char out[KP_CURSOR_TEXT], const struct kp_id *id)
{
    kp_id_format(form, out, id);
    put(out + KP_ID_TEXT - 1, SEAL_DIGITS, seal_of(form, out));
    out[KP_CURSOR_TEXT - 1] = '\0';
    return out;
}

bool kp_cursor_parse(const struct kp_id_form *form, const char *text, struct kp_id *ret)
{
    uint64_t seal;
    if (strlen(text) != KP_CURSOR_TEXT - 1 || !get(text + KP_ID_TEXT - 1, SEAL_DIGITS, &seal) ||
        seal != seal_of(form, text))
        return false;
    kp_auto_free char *id = kp_strndup(text, KP_ID_TEXT - 1);
    return kp_id_parse(form, id, ret);
}

// ---- the file ----

static char *path_of(const char *dir)
{
    return kp_asprintf("%s/ids", dir);
}

static char *line_of(const struct kp_id_form *form)
{
    kp_auto_free char *values =
        kp_asprintf("%016" PRIx64 "%016" PRIx64 " %" PRIu64, form->key[0], form->key[1], form->first);
    return kp_asprintf(HEAD "%s %08" PRIx32 "\n", values, kp_crc32c(0, values, strlen(values)));
}

static bool read_line(const char *text, struct kp_id_form *ret)
{
    char first[17] = {0};
    struct kp_id_form form = {.is_saved = true};
    if (!kp_starts_with(text, HEAD) || strlen(text) < strlen(HEAD) + 33)
        return false;
    const char *line = text + strlen(HEAD);
    memcpy(first, line, 16);
    form.key[0] = strtoull(first, NULL, 16);
    form.key[1] = strtoull(line + 16, NULL, 16);
    form.first = strtoull(line + 33, NULL, 10);
    kp_auto_free char *again = line_of(&form);
    if (!kp_streq(text, again)) // every digit, and the checksum
        return false;
    *ret = form;
    return true;
}

int kp_id_form_save(const char *dir, struct kp_id_form *form, struct kp_error *err)
{
    kp_auto_free char *path = path_of(dir);
    kp_auto_free char *line = line_of(form);
    int rc = kp_file_write_atomic(path, line, strlen(line), 0600, err);
    form->is_saved = rc == 0;
    return rc;
}

static int make_new(const char *dir, uint64_t next_number, struct kp_id_form *ret, struct kp_error *err)
{
    struct kp_error why = {0};
    *ret = (struct kp_id_form){.first = next_number};
    if (getrandom(ret->key, sizeof ret->key, 0) != (ssize_t)sizeof ret->key)
        return kp_fail_errno(err, errno, "cannot make a key for ids");
    int rc = kp_id_form_save(dir, ret, &why);
    if (rc == KP_LIMIT)
        KP_DEBUG("the key of ids is not saved yet", KP_E(&why));
    return rc == 0 || rc == KP_LIMIT ? 0 : kp_fail(err, rc, "%s", why.text);
}

int kp_id_form_load(const char *dir, uint64_t next_number, struct kp_id_form *ret, struct kp_error *err)
{
    kp_auto_free char *path = path_of(dir);
    kp_auto_free char *text = NULL;
    size_t len = 0;
    struct kp_error why = {0};
    int rc = kp_file_read(path, MAX_FILE, &text, &len, &why);
    if (rc == KP_NOT_FOUND)
        return make_new(dir, next_number, ret, err);
    if (rc != 0 && rc != KP_LIMIT)
        return kp_fail(err, rc, "%s", why.text);
    if (rc == 0 && strlen(text) == len && read_line(text, ret))
        return 0;
    return kp_fail(err, KP_CORRUPT,
        "'%s' is damaged, or of a newer program: it holds the key of the profiles' ids; put back a copy, or "
        "remove it, and all profiles get new ids",
        path);
}
