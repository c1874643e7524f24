#include "http/query.h"

#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "base/banned.h"

// Decodes s[0..len) into out (len + 1 bytes); returns what was written with its NUL, 0 if badly escaped.
static size_t decode(const char *s, size_t len, char *out, char *room)
{
    for (size_t i = 0; i < len; i++)
        room[i] = s[i] == '+' ? ' ' : s[i];
    if (!kp_url_decode(room, len, out))
        return 0;
    return strlen(out) + 1;
}

void kp_http_query_parse(struct kp_http_query *query, const char *text)
{
    size_t len = strlen(text), used = 0;
    *query = (struct kp_http_query){.is_whole = true};
    if (len == 0)
        return;
    // every pair needs at most its own length and two NULs
    query->text = kp_alloc(2 * len + 2 * KP_HTTP_MAX_ARGS + 2);
    query->args = KP_NEW_ARRAY(struct kp_http_arg, KP_HTTP_MAX_ARGS);
    kp_auto_free char *room = kp_alloc(len + 1);
    while (*text != '\0' && query->n < KP_HTTP_MAX_ARGS) {
        size_t pair = strcspn(text, "&"), name = strcspn(text, "&=");
        size_t value_at = name < pair ? name + 1 : pair;
        char *name_out = query->text + used;
        size_t n = pair > 0 ? decode(text, name, name_out, room) : 0;
        size_t m = n > 0 ? decode(text + value_at, pair - value_at, name_out + n, room) : 0;
        if (m > 0) {
            query->args[query->n++] = (struct kp_http_arg){name_out, name_out + n};
            used += n + m;
        }
        query->is_whole = query->is_whole && (m > 0 || pair == 0);
        text += pair + (text[pair] == '&');
    }
    query->is_whole = query->is_whole && text[strspn(text, "&")] == '\0';
}

void kp_http_query_finish(struct kp_http_query *query)
{
    kp_free(query->text);
    kp_free(query->args);
    *query = (struct kp_http_query){0};
}

const char *kp_http_query_get(const struct kp_http_query *query, const char *name)
{
    for (size_t i = 0; i < query->n; i++)
        if (strcmp(query->args[i].name, name) == 0)
            return query->args[i].value;
    return NULL;
}
