// Locations are guessed by their address, all of a profile at once.
#include "profile/profile_fixture.h"
#include "profile/symbols.h"
#include "base/banned.h"

// One sample at one address in a function; what differs is given.
static struct kp_profile *guess_profile(
    uint64_t address, const char *name, const char *file, uint64_t line, uint64_t column, uint64_t start)
{
    kp_auto_strbuf b;
    kp_auto_strbuf m;
    kp_strbuf_init(&b, 1 << 20);
    kp_strbuf_init(&m, 1 << 20);
    MESSAGE(&b, 1, 1, 1, 2, 1);
    MESSAGE(&b, 2, 1, 1, 2, 7);
    fixture_number(&m, 1, 1);
    fixture_number(&m, 3, address);
    MESSAGE(&m, 4, 1, 1, 2, line, 3, column);
    fixture_bytes(&b, 4, m.data, m.len);
    MESSAGE(&b, 5, 1, 1, 2, 2, 3, 2, 4, 3, 5, start);
    const char *strings[] = {"", "samples", name, file};
    for (size_t i = 0; i < KP_COUNT(strings); i++)
        fixture_bytes(&b, 6, strings[i], strlen(strings[i]));
    return fixture_decode_bytes("guess", b.data, b.len);
}

static void test_a_wrong_guess_is_seen(void **state)
{
    (void)state;
    struct kp_symbols *s = kp_symbols_create(KP_SYMBOLS_EXACT);
    const struct {
        uint64_t address;
        const char *name, *file;
        uint64_t line, column, start;
    } rows[] = {{4096, "main.a", "a.go", 10, 0, 1}, {4096, "main.b", "a.go", 10, 0, 1},
        {4096, "main.a", "b.go", 10, 0, 1}, {4096, "main.ab", "a.go", 10, 0, 1},
        {4096, "main.a", "a.go", 10, 3, 1}, {4096, "main.a", "a.go", 10, 0, 2},
        {4096, "main.a", "a.go", 11, 0, 1}, {4097, "main.a", "a.go", 10, 0, 1}};
    for (uint32_t round = 0; round < 3; round++)
        for (uint32_t i = 0; i < KP_COUNT(rows); i++) {
            kp_auto_profile *p = guess_profile(
                rows[i].address, rows[i].name, rows[i].file, rows[i].line, rows[i].column, rows[i].start);
            uint32_t stack, set;
            fixture_intern(s, p, &stack, &set);
            uint32_t id = s->nodes[stack].location;
            assert_int_equal(id, i); // and in every later round
            const struct kp_line *l = &s->lines[s->locations[id].first_line];
            const struct kp_function *f = &s->functions[l->function];
            assert_true(kp_str_equal(s->strings[f->name], p->strings[2]));
            assert_true(kp_str_equal(s->strings[f->filename], p->strings[3]));
            assert_true(s->locations[id].address == rows[i].address && l->line == (int64_t)rows[i].line &&
                        l->column == (int64_t)rows[i].column && f->start_line == (int64_t)rows[i].start);
        }
    assert_int_equal(s->n_locations, KP_COUNT(rows));
    kp_symbols_destroy(s);
}

// Of samples with one location each: two in one mapping, one in another, with lines but for the last.
static struct kp_profile *three_places(uint64_t first, uint64_t second, uint64_t third)
{
    kp_auto_strbuf b;
    kp_strbuf_init(&b, 1 << 20);
    MESSAGE(&b, 1, 1, 1, 2, 1);
    const uint64_t places[][2] = {{first, 1}, {second, 1}, {third, 2}};
    for (uint64_t i = 0; i < 3; i++) {
        kp_auto_strbuf m;
        kp_strbuf_init(&m, 1 << 20);
        MESSAGE(&b, 2, 1, i + 1, 2, 7);
        fixture_number(&m, 1, i + 1);
        fixture_number(&m, 2, places[i][1]);
        fixture_number(&m, 3, places[i][0]);
        if (i < 2)
            MESSAGE(&m, 4, 1, i + 1, 2, 5);
        fixture_bytes(&b, 4, m.data, m.len);
    }
    MESSAGE(&b, 3, 1, 1, 2, 0x1000, 3, 0x9000, 5, 2);
    MESSAGE(&b, 3, 1, 2, 3, 0x500, 5, 3);
    MESSAGE(&b, 5, 1, 1, 2, 2, 3, 2);
    MESSAGE(&b, 5, 1, 2, 2, 3, 3, 3);
    const char *strings[] = {"", "samples", "main.a", "main.b"};
    for (size_t i = 0; i < KP_COUNT(strings); i++)
        fixture_bytes(&b, 6, strings[i], strlen(strings[i]));
    return fixture_decode_bytes("three places", b.data, b.len);
}

static void test_what_is_known_at_once_is_what_is_found_one_by_one(void **state)
{
    (void)state;
    struct kp_symbols *s = kp_symbols_create(KP_SYMBOLS_EXACT);
    // nowhere mapped, without lines, at an address that the third will have in a mapping not looked at yet
    const struct kp_sym_location bare = {.address = 0x77, .mapping = KP_NO_MAPPING};
    uint32_t id = kp_symbols_location(s, &bare, NULL);
    kp_auto_profile *p = three_places(0x2000, 0x3000, 0x77);
    uint32_t stacks[3], sets[3], again[3];
    fixture_intern(s, p, stacks, sets);
    assert_int_not_equal(s->nodes[stacks[2]].location, id);
    assert_int_equal(s->n_mappings, 2);
    fixture_intern(s, p, again, sets);
    assert_memory_equal(again, stacks, sizeof stacks);
    assert_int_equal(s->n_locations, 4);
    // a part of it, among others, and nothing of what no sample uses
    kp_auto_profile *q = three_places(0x2008, 0x3000, 0x78);
    q->n_samples = 2;
    fixture_intern(s, q, again, sets);
    assert_int_equal(again[1], stacks[1]);
    assert_int_not_equal(again[0], stacks[0]);
    assert_int_equal(s->n_locations, 5);
    assert_int_equal(s->n_functions, 2);
    kp_symbols_destroy(s);
}

// Stacks may lie anywhere in the frames, over each other, and be empty; some are known, some are not.
static void test_stacks_anywhere(void **state)
{
    (void)state;
    struct kp_symbols *s = kp_symbols_create(KP_SYMBOLS_EXACT);
    kp_auto_profile *p = three_places(0x2000, 0x3000, 0x77);
    uint32_t frames[] = {2, 0, 1, 0, 2, 1, 1}; // locations, which get the ids 0, 1, 2
    struct kp_sample rows[] = {{1, 2, 0, 0}, {3, 4, 0, 0}, {1, 4, 0, 0}, {0, 7, 0, 0}, {2, 0, 0, 0},
        {2, 1, 0, 0}, {6, 1, 0, 0}, {0, 1, 0, 0}};
    uint32_t stacks[KP_COUNT(rows)], sets[KP_COUNT(rows)];
    fixture_intern(s, p, stacks, sets);
    p->frames = frames;
    p->n_frames = KP_COUNT(frames);
    p->samples = rows;
    for (uint32_t known = 0; known <= KP_COUNT(rows); known++) {
        p->n_samples = known;
        fixture_intern(s, p, stacks, sets);
        for (uint32_t i = 0; i < known; i++)
            assert_int_equal(stacks[i], kp_symbols_stack(s, frames + rows[i].first_frame, rows[i].n_frames));
    }
    assert_int_equal(stacks[5], stacks[6]);
    assert_int_equal(stacks[4], 0);
    kp_symbols_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_wrong_guess_is_seen),
        cmocka_unit_test(test_what_is_known_at_once_is_what_is_found_one_by_one),
        cmocka_unit_test(test_stacks_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
