// The usual form of a message is read straight on, any other field by field: both say the same.
#include "profile/profile_fixture.h"
#include "base/banned.h"

// A profile with a location of these lines and fields around them, and a function, written as given.
static struct kp_profile *decode_form(const char *what, const uint64_t *front, const uint64_t *line,
    const uint64_t *back, const uint64_t *function)
{
    kp_auto_strbuf b;
    kp_auto_strbuf m;
    fixture_minimal(&b, 1, 1);
    MESSAGE(&b, 3, 1, 1, 2, 4096, 3, 8192);
    kp_strbuf_init(&m, 1 << 20);
    for (; front[0]; front += 2)
        fixture_number(&m, (unsigned)front[0], front[1]);
    fixture_message(&m, 4, line);
    fixture_message(&m, 4, line);
    for (; back[0]; back += 2)
        fixture_number(&m, (unsigned)back[0], back[1]);
    fixture_bytes(&b, 4, m.data, m.len);
    fixture_message(&b, 5, function);
    return fixture_decode_bytes(what, b.data, b.len);
}

// In order and not, zeros written out, numbers twice, unknown fields: one and the same.
static void test_forms_of_a_message(void **state)
{
    (void)state;
    const uint64_t big = UINT64_C(0xffffffff81000000); // ten bytes
    const uint64_t fronts[][11] = {{1, 2, 2, 1, 3, big}, {1, 2, 3, big}, {3, big, 2, 1, 1, 2},
        {1, 9, 1, 2, 3, 5, 3, big}, {1, 2, 2, 0, 3, big, 77, 5}, {0}};
    const uint64_t backs[][11] = {
        {5, 1}, {2, 1, 5, 1}, {5, 1}, {2, 1, 5, 0, 5, 1}, {5, 1, 2, 1}, {5, 1, 3, big, 2, 1, 1, 2}};
    const uint64_t lines[][9] = {{1, 2, 2, 300, 3, 4}, {3, 4, 2, 300, 1, 2}, {1, 1, 1, 2, 2, 300, 3, 4},
        {1, 2, 2, 300, 3, 4, 9, 1}, {2, 7, 1, 2, 2, 300, 3, 4}, {1, 2, 3, 4, 2, 300}};
    const uint64_t functions[][13] = {{1, 2, 2, 1, 3, 2, 5, 70000}, {5, 70000, 3, 2, 2, 1, 1, 2},
        {1, 2, 2, 1, 3, 2, 4, 0, 5, 70000}, {1, 2, 2, 2, 2, 1, 3, 2, 5, 70000},
        {1, 2, 2, 1, 3, 2, 5, 70000, 15, 1}, {4, 0, 1, 2, 2, 1, 3, 2, 5, 70000}};
    kp_auto_profile *want = decode_form("usual", fronts[0], lines[0], backs[0], functions[0]);
    assert_true(want->n_locations == 2 && want->n_functions == 2 && want->n_lines == 3);
    const struct kp_location *l = &want->locations[1];
    assert_true(l->address == big && l->mapping == 0 && l->n_lines == 2 && l->folded);
    assert_true(want->lines[1].function == 1 && want->lines[2].line == 300 && want->lines[2].column == 4);
    assert_int_equal(want->functions[1].start_line, 70000);
    for (size_t i = 0; i < KP_COUNT(fronts) * KP_COUNT(lines) * KP_COUNT(functions); i++) {
        size_t at = i % KP_COUNT(fronts);
        kp_auto_profile *p = decode_form("form", fronts[at], lines[i / KP_COUNT(fronts) % KP_COUNT(lines)],
            backs[at], functions[i / KP_COUNT(fronts) / KP_COUNT(lines)]);
        fixture_same("form", want, p);
    }
}

static void expect_refused(const struct kp_strbuf *b)
{
    struct kp_profile *p = NULL;
    struct kp_error err = {0};
    assert_int_equal(kp_profile_decode(b->data, b->len, NULL, &p, &err), KP_INVALID);
    assert_non_null(strstr(err.text, "location 2"));
}

// Numbers of every length, as long as they may be and longer than they need be; past the end of the message
// or of the profile none is taken.
static void test_lengths_of_numbers(void **state)
{
    (void)state;
    for (unsigned bytes = 1; bytes <= 11; bytes++) {
        for (unsigned cut = 0; cut <= bytes; cut++) {
            uint8_t m[32] = {1 << 3, 2, 3 << 3};
            memset(m + 3, 0x81, bytes);
            m[2 + bytes] = 0;
            uint64_t want = 0;
            for (unsigned i = 0; i + 1 < bytes; i++)
                want |= i < 10 ? (uint64_t)1 << (7 * i % 64) : 0;
            kp_auto_strbuf b;
            fixture_minimal(&b, 1, 1);
            fixture_bytes(&b, 4, m, 3 + bytes - cut); // the last of the profile
            if (cut > 0 || bytes > 10) {
                expect_refused(&b);
                fixture_bytes(&b, 6, "more", 4); // zeros are not what stands behind it
                expect_refused(&b);
                continue;
            }
            kp_auto_profile *p = fixture_decode_bytes("length", b.data, b.len);
            assert_true(p->locations[1].address == want);
        }
    }
}

// The tag of a message in two bytes where one would do: it keeps its place among the others.
static void put_wide(struct kp_strbuf *b, unsigned field, const void *data, size_t len, bool wide)
{
    kp_strbuf_addc(b, (char)(field << 3 | 2 | (wide ? 0x80 : 0)));
    if (wide)
        kp_strbuf_addc(b, 0);
    fixture_varint(b, len);
    kp_strbuf_add(b, data, len);
}

static struct kp_profile *decode_wide(unsigned wide)
{
    static const char *const strings[] = {"", "samples", "count", "main.a", "main.b", "note"};
    static const uint8_t sample[][4] = {{8, 1, 16, 7}, {8, 2, 16, 9}, {8, 1, 16, 5}};
    static const uint8_t location[][4] = {{8, 1, 24, 64}, {8, 2, 24, 65}, {8, 3, 24, 66}};
    static const uint8_t function[][4] = {{8, 1, 16, 3}, {8, 2, 16, 4}, {8, 3, 16, 3}};
    kp_auto_strbuf b;
    kp_strbuf_init(&b, 1 << 20);
    fixture_number(&b, 13, 5); // a comment, packed ones, and another; what they name comes later
    fixture_bytes(&b, 13, "\4\3", 2);
    fixture_number(&b, 7, 5);
    MESSAGE(&b, 1, 1, 1, 2, 2);
    for (unsigned i = 0; i < 3; i++) {
        put_wide(&b, 2, sample[i], 4, (wide >> i & 1) != 0);
        put_wide(&b, 4, location[i], 4, (wide >> i & 1) != 0);
        put_wide(&b, 5, function[i], 4, (wide >> i & 1) != 0);
    }
    for (unsigned i = 0; i < KP_COUNT(strings); i++)
        put_wide(&b, 6, strings[i], strlen(strings[i]), (wide >> i & 1) != 0);
    fixture_number(&b, 13, 1);
    return fixture_decode_bytes("wide", b.data, b.len);
}

static void test_wide_tags(void **state)
{
    (void)state;
    kp_auto_profile *want = decode_wide(0);
    const uint32_t comments[] = {5, 4, 3, 1};
    assert_int_equal(want->n_comments, KP_COUNT(comments));
    assert_memory_equal(want->comments, comments, sizeof comments);
    assert_int_equal(want->drop_frames, 5);
    assert_true(want->n_samples == 3 && want->n_locations == 3 && want->n_functions == 3);
    for (unsigned wide = 1; wide < 64; wide++) {
        kp_auto_profile *p = decode_wide(wide);
        fixture_same("wide", want, p);
    }
}

// The walker, which has the sentences, looks at each.
static void test_a_string_that_is_not_there_and_is_replaced(void **state)
{
    (void)state;
    for (uint64_t field = 7; field <= 15; field++) {
        kp_auto_strbuf b;
        struct kp_profile *p = NULL;
        if (field > 8 && field < 14)
            continue;
        kp_strbuf_init(&b, 1 << 20);
        fixture_bytes(&b, 6, "", 0);
        fixture_number(&b, field, 34);
        fixture_number(&b, field, 0);
        assert_int_equal(kp_profile_decode(b.data, b.len, NULL, &p, NULL), KP_INVALID);
        assert_null(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms_of_a_message),
        cmocka_unit_test(test_lengths_of_numbers),
        cmocka_unit_test(test_wide_tags),
        cmocka_unit_test(test_a_string_that_is_not_there_and_is_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
