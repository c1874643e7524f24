// Looking for frames by a part of their name or file.
#include <string.h>

#include "base/regex.h"
#include "base/text.h"
#include "cli/flameview_private.h"
#include "report/unit.h"
#include "base/banned.h"

// Work of an expression over all names; what would take more is looked for as it stands.
#define MAX_WORK 200000000u

void kp_search_init(struct kp_flameview *view)
{
    view->search.frames = KP_NEW_ARRAY(uint8_t, (size_t)view->flame->n_frames + 1);
    view->search.before = KP_NEW_ARRAY(uint32_t, (size_t)view->flame->n + 1);
    view->search.only = KP_FLAME_NO_FRAME;
}

void kp_search_finish(struct kp_flameview *view)
{
    kp_free(view->search.frames);
    kp_free(view->search.before);
}

bool kp_search_matches(const struct kp_flameview *view, uint32_t node)
{
    uint32_t frame = view->flame->nodes[node].frame;
    return view->search.is_active && frame != KP_FLAME_NO_FRAME && view->search.frames[frame];
}

bool kp_search_has(const struct kp_flameview *view, const struct kp_span *span)
{
    const struct kp_search *search = &view->search;
    if (span->n == 1)
        return kp_search_matches(view, span->node);
    return search->is_active && search->before[span->end] > search->before[span->node];
}

uint32_t kp_search_count(const struct kp_flameview *view)
{
    return view->search.is_active ? view->search.before[view->flame->n] : 0;
}

uint32_t kp_search_number(const struct kp_flameview *view, uint32_t node)
{
    return view->search.before[node] + 1;
}

// Each stack counts once, with its match that is nearest to the root.
static void count(struct kp_flameview *view)
{
    struct kp_search *search = &view->search;
    const struct kp_flame *flame = view->flame;
    uint32_t covered = 0;
    search->value = search->base = 0;
    search->n_frames = 0;
    for (uint32_t i = 0; i < flame->n_frames; i++)
        search->n_frames += search->frames[i];
    for (uint32_t i = 0; i < flame->n; i++) {
        bool is_match = kp_search_matches(view, i);
        search->before[i + 1] = search->before[i] + is_match;
        if (!is_match || i < covered)
            continue;
        search->value = kp_add_capped(search->value, flame->nodes[i].value);
        search->base = kp_add_capped(search->base, flame->nodes[i].base);
        covered = i + view->sizes[i];
    }
}

void kp_search_clear(struct kp_flameview *view)
{
    view->search.is_active = false;
    view->search.text[0] = '\0';
    view->search.only = KP_FLAME_NO_FRAME;
}

static bool has_upper(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text >= 'A' && *text <= 'Z')
            return true;
    return false;
}

// NULL where the text is no expression, has no operators, or would take too long.
static struct kp_regex *expression(const struct kp_flame *flame, const char *text, bool is_exact)
{
    if (text[strcspn(text, "\\^$.[|()*+?{")] == '\0')
        return NULL;
    kp_auto_free char *whole = kp_asprintf("%s%s", is_exact ? "" : "(?i)", text);
    struct kp_regex *regex = NULL;
    size_t bytes = 1;
    if (kp_regex_compile(whole, &regex, NULL) < 0)
        return NULL;
    for (uint32_t i = 0; i < flame->n_frames; i++)
        bytes += strlen(flame->frames[i].name) + strlen(flame->frames[i].file);
    if (kp_regex_steps(regex) < MAX_WORK / bytes)
        return regex;
    kp_regex_destroy(regex);
    return NULL;
}

static bool finds(const char *where, const char *text, bool is_exact, const struct kp_regex *regex)
{
    if ((is_exact ? strstr(where, text) : strcasestr(where, text)) != NULL)
        return true;
    return regex != NULL && kp_regex_finds(regex, where, strlen(where));
}

// Names are full of what are operators in expressions, so the text as it stands counts as well.
void kp_search_set(struct kp_flameview *view, const char *text)
{
    const struct kp_flame *flame = view->flame;
    struct kp_search *search = &view->search;
    if (text != search->text)
        kp_copy(search->text, sizeof search->text, text);
    text = search->text;
    search->only = KP_FLAME_NO_FRAME;
    search->is_active = text[0] != '\0';
    if (!search->is_active)
        return;
    bool is_exact = has_upper(text);
    struct kp_regex *regex = expression(flame, text, is_exact);
    for (uint32_t i = 0; i < flame->n_frames; i++)
        search->frames[i] = finds(flame->frames[i].name, text, is_exact, regex) ||
                            finds(flame->frames[i].file, text, is_exact, regex);
    kp_regex_destroy(regex);
    count(view);
}

void kp_search_frame(struct kp_flameview *view, uint32_t frame)
{
    memset(view->search.frames, 0, view->flame->n_frames);
    view->search.frames[frame] = 1;
    view->search.text[0] = '\0';
    view->search.only = frame;
    view->search.is_active = true;
    count(view);
}

uint32_t kp_search_next(const struct kp_flameview *view, uint32_t node, bool is_back)
{
    uint32_t n = view->flame->n;
    if (kp_search_count(view) == 0)
        return KP_FLAME_NO_FRAME;
    do {
        node = is_back ? (node > 0 ? node : n) - 1 : node + 1 < n ? node + 1 : 0;
    } while (!kp_search_matches(view, node));
    return node;
}

// In the table a match is a row.
static void go_in_table(struct kp_flameview *view, bool is_back, bool from_here)
{
    struct kp_flametable *table = &view->table;
    uint32_t at = table->selected;
    for (uint32_t i = 0; i < table->n; i++) {
        if (!from_here || i > 0)
            at = is_back ? (at > 0 ? at : table->n) - 1 : at + 1 < table->n ? at + 1 : 0;
        if (view->search.frames[table->rows[at].frame]) {
            kp_flametable_move(view, (int64_t)at - table->selected);
            return;
        }
    }
}

void kp_search_go(struct kp_flameview *view, bool is_back)
{
    uint32_t next = kp_search_next(view, view->selected, is_back);
    if (next == KP_FLAME_NO_FRAME)
        kp_copy(view->message, sizeof view->message,
            view->search.is_active ? "nothing matches" : "nothing is looked for: / begins a search");
    else if (view->is_table)
        go_in_table(view, is_back, false);
    else
        kp_flameview_select(view, next);
}

// ---- the prompt ----

void kp_search_begin(struct kp_flameview *view)
{
    struct kp_place *origin = &view->origin;
    kp_free(origin->zooms);
    origin->zooms = kp_memdup(view->zooms.items, view->zooms.n * sizeof *view->zooms.items);
    origin->n_zooms = view->zooms.n;
    origin->selected = view->selected;
    origin->top = view->top;
    origin->row = view->table.selected;
    kp_search_clear(view);
    view->is_prompt = true;
}

static void go_back(struct kp_flameview *view)
{
    const struct kp_place *origin = &view->origin;
    view->zooms.n = 0;
    for (size_t i = 0; i < origin->n_zooms; i++)
        *kp_array_add(&view->zooms) = origin->zooms[i];
    view->selected = origin->selected;
    view->top = origin->top;
    kp_layout_reset(view);
    kp_flameview_select(view, view->selected); // the size may have changed since
    if (view->is_table)
        kp_flametable_move(view, (int64_t)origin->row - view->table.selected);
}

static void changed(struct kp_flameview *view)
{
    go_back(view);
    kp_search_set(view, view->search.text);
    if (kp_search_count(view) == 0)
        return;
    if (view->is_table)
        go_in_table(view, false, true);
    else if (!kp_search_matches(view, view->selected))
        kp_flameview_select(view, kp_search_next(view, view->selected, false));
}

static void add_rune(char *text, uint32_t c)
{
    size_t n = strlen(text);
    if (n >= KP_SEARCH_MAX)
        return;
    char *out = text + n;
    if (c >= 0x10000)
        *out++ = (char)(0xf0 | c >> 18);
    if (c >= 0x800)
        *out++ = (char)(c >= 0x10000 ? 0x80 | (c >> 12 & 0x3f) : 0xe0 | c >> 12);
    if (c >= 0x80)
        *out++ = (char)(c >= 0x800 ? 0x80 | (c >> 6 & 0x3f) : 0xc0 | c >> 6);
    *out++ = (char)(c >= 0x80 ? 0x80 | (c & 0x3f) : c);
    *out = '\0';
}

static void remove_rune(char *text)
{
    size_t n = strlen(text);
    while (n > 0 && ((unsigned char)text[n - 1] & 0xc0) == 0x80)
        n--;
    text[n > 0 ? n - 1 : 0] = '\0';
}

static void give_up(struct kp_flameview *view)
{
    view->is_prompt = false;
    go_back(view);
    kp_search_clear(view);
}

enum kp_flameview_answer kp_search_key(struct kp_flameview *view, const struct kp_key *key)
{
    char *text = view->search.text;
    if (key->code == KP_KEY_ESC || (key->code == KP_KEY_RUNE && key->rune == 3 /* Ctrl-C */) ||
        (key->code == KP_KEY_BACKSPACE && text[0] == '\0')) {
        give_up(view);
    } else if (key->code == KP_KEY_ENTER) {
        view->is_prompt = false;
    } else if (key->code == KP_KEY_BACKSPACE) {
        remove_rune(text);
        changed(view);
    } else if (key->code == KP_KEY_RUNE && key->rune == 21 /* Ctrl-U */) {
        text[0] = '\0';
        changed(view);
    } else if (key->code == KP_KEY_RUNE && key->rune >= ' ') {
        add_rune(text, key->rune);
        changed(view);
    } else {
        return KP_FLAMEVIEW_NOTHING;
    }
    return KP_FLAMEVIEW_DRAW;
}
