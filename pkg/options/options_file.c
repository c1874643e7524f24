#include "options/options_file.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/banned.h"

#define MAX_FILE_BYTES (256 * KP_KIB)

struct reader {
    int (*each)(void *user, const char *key, const char *value, bool first, struct kp_error *err);
    void *user;
    char key[96]; // of the list whose items follow; "" outside one
    bool first;
};

static char *trim(char *s)
{
    while (*s == ' ' || *s == '\t')
        s++;
    size_t len = strlen(s);
    while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t' || s[len - 1] == '\r'))
        s[--len] = '\0';
    return s;
}

// Cuts a comment: '#' at the start or behind a space, outside quotes.
static void cut_comment(char *s)
{
    char quote = 0;
    for (size_t i = 0; s[i]; i++) {
        if (quote) {
            quote = s[i] == quote ? 0 : quote;
        } else if (s[i] == '"' || s[i] == '\'') {
            quote = s[i];
        } else if (s[i] == '#' && (i == 0 || s[i - 1] == ' ' || s[i - 1] == '\t')) {
            s[i] = '\0';
            return;
        }
    }
}

static int unquote(char **s, struct kp_error *err)
{
    char quote = (*s)[0];
    size_t len = strlen(*s);
    if (quote == '"' || quote == '\'') {
        if (len < 2 || (*s)[len - 1] != quote || memchr(*s + 1, quote, len - 2))
            return kp_fail(err, KP_INVALID, "a quote is not closed, or more follows it");
        (*s)[len - 1] = '\0';
        (*s)++;
        return 0;
    }
    if (quote != '\0' && strchr("{&*!|>%@`", quote))
        return kp_fail(err, KP_INVALID, "'%c' cannot start a value here: quote it", quote);
    return 0;
}

static int give(struct reader *r, const char *key, char *value, bool first, struct kp_error *err)
{
    value = trim(value);
    int rc = unquote(&value, err);
    return rc != 0 ? rc : r->each(r->user, key, value, first, err);
}

static int take_flow_list(struct reader *r, const char *key, char *value, struct kp_error *err)
{
    size_t len = strlen(value);
    if (value[len - 1] != ']')
        return kp_fail(err, KP_INVALID, "a list must end with ']' on its line");
    value[len - 1] = '\0';
    bool first = true;
    for (char *item = value + 1; item;) {
        char *comma = strchr(item, ',');
        if (comma)
            *comma = '\0';
        int rc = give(r, key, item, first, err);
        if (rc != 0)
            return rc;
        first = false;
        item = comma ? comma + 1 : NULL;
    }
    return 0;
}

static int take_line(struct reader *r, char *line, struct kp_error *err)
{
    cut_comment(line);
    bool indented = *line == ' ' || *line == '\t';
    char *s = trim(line);
    if (*s == '\0' || kp_streq(s, "---"))
        return 0;
    if (s[0] == '-' && (s[1] == ' ' || s[1] == '\0')) {
        if (r->key[0] == '\0')
            return kp_fail(err, KP_INVALID, "a list item without a key above it");
        bool first = r->first;
        r->first = false;
        return give(r, r->key, s + 1, first, err);
    }
    char *colon = strchr(s, ':');
    if (indented || colon == NULL || (colon[1] != ' ' && colon[1] != '\t' && colon[1] != '\0'))
        return kp_fail(err, KP_INVALID, "expected a line 'key: value' without indentation");
    *colon = '\0';
    char *value = trim(colon + 1);
    r->key[0] = '\0';
    if (*value == '[')
        return take_flow_list(r, trim(s), value, err);
    if (*value != '\0')
        return give(r, trim(s), value, true, err);
    r->first = true;
    if (!kp_copy(r->key, sizeof r->key, trim(s)))
        return kp_fail(err, KP_INVALID, "the key is too long");
    return 0;
}

int kp_options_file_read(const char *path,
    int (*each)(void *user, const char *key, const char *value, bool first, struct kp_error *err), void *user,
    struct kp_error *err)
{
    kp_auto_free char *text = NULL;
    size_t len;
    int rc = kp_file_read(path, MAX_FILE_BYTES, &text, &len, err);
    if (rc != 0)
        return rc;
    struct reader r = {.each = each, .user = user};
    int number = 1;
    for (char *line = text; line && *line; number++) {
        char *end = strchr(line, '\n');
        if (end)
            *end = '\0';
        rc = take_line(&r, line, err);
        if (rc != 0)
            return kp_wrap(err, "%s:%d", path, number);
        line = end ? end + 1 : NULL;
    }
    return 0;
}
