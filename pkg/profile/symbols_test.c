#include "profile/symbols.h"

#include <stdio.h>

#include "profile/digest.h"
#include "profile/keyed.h"
#include "profile/profile_fixture.h"
#include "base/banned.h"

// ---- single entities ----

static void test_strings(void **state)
{
    (void)state;
    struct kp_symbols *s = kp_symbols_create(KP_SYMBOLS_EXACT);
    assert_int_equal(kp_symbols_string(s, "", 0), 0);
    assert_int_equal(kp_symbols_string(s, NULL, 0), 0);
    char text[64];
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 5000; i++) {
            // all lengths, NULs inside
            int len = snprintf(
                text, sizeof text, "%u%.*s", i, (int)(i % 40), "........................................");
            text[1 + i % 3] = i % 7 == 0 ? '\0' : text[1 + i % 3];
            kp_auto_free char *exact = kp_memdup(text, (size_t)len);
            uint32_t id = kp_symbols_string(s, exact, (uint32_t)len);
            assert_true(id < s->n_strings && s->strings[id].len == (uint32_t)len);
            assert_memory_equal(s->strings[id].data, text, (size_t)len);
        }
    }
    uint32_t n = s->n_strings;
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(kp_symbols_string(s, s->strings[i].data, s->strings[i].len), i);
    assert_int_equal(s->n_strings, n);
    assert_true(kp_symbols_bytes(s) > 5000 * 20);
    kp_symbols_destroy(s);
    kp_symbols_destroy(NULL);
}

static void test_functions_and_locations(void **state)
{
    (void)state;
    struct kp_symbols *s = kp_symbols_create(KP_SYMBOLS_EXACT);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 2000; i++) {
            const struct kp_function f = {i % 3, i / 3 % 3, i / 9 % 3, i / 27};
            assert_int_equal(kp_symbols_function(s, &f), i);
        }
        for (uint32_t i = 0; i < 2000; i++) {
            const struct kp_line lines[] = {{i % 5, i / 5 % 5, 0}, {0, 0, i / 25 % 2}};
            const struct kp_sym_location l = {.address = i / 200,
                .mapping = i / 100 % 2 ? KP_NO_MAPPING : 0,
                .n_lines = i / 50 % 2 + 1,
                .folded = false};
            // with one line the second is not looked at: those come in pairs
            uint32_t id = kp_symbols_location(s, &l, lines);
            const struct kp_sym_location *got = &s->locations[id];
            assert_true(got->address == l.address && got->mapping == l.mapping && got->n_lines == l.n_lines);
            assert_memory_equal(
                &s->lines[got->first_line].function, &lines[0].function, sizeof lines[0].function);
        }
        assert_int_equal(s->n_functions, 2000);
        assert_int_equal(s->n_locations, 10 * 2 * (25 + 50));
    }
    const struct kp_sym_location folded = {.folded = true};
    assert_int_equal(kp_symbols_location(s, &folded, NULL), 1500);
    kp_symbols_destroy(s);
}

static void test_mappings(void **state)
{
    (void)state;
    const struct kp_sym_mapping base = {
        .size = 0x1800, .offset = 1, .filename = 2, .build_id = 3, .flags = 1};
    const struct kp_sym_mapping rows[] = {
        {.size = 0x1801, .offset = 1, .filename = 2, .build_id = 3, .flags = 1}, // the same pages
        {.size = 0x1800, .offset = 1, .filename = 4, .build_id = 3, .flags = 1}, // the same build
        {.size = 0x1800, .offset = 1, .filename = 2, .build_id = 3, .flags = 2},
        {.size = 0x1800, .offset = 1, .filename = 2, .build_id = 3, .flags = 1, .ordinal = 1},
        {.size = 0x2001, .offset = 1, .filename = 2, .build_id = 3, .flags = 1},
        {.size = 0x1800, .offset = 2, .filename = 2, .build_id = 3, .flags = 1},
        {.size = 0x1800, .offset = 1, .filename = 2, .build_id = 0, .flags = 1},
        {.size = 0x1800,
            .offset = 1,
            .filename = 4,
            .build_id = 0,
            .flags = 1}, // without a build the file counts
    };
    const uint32_t merged[] = {0, 0, 0, 0, 1, 2, 3, 4};
    struct kp_symbols *exact = kp_symbols_create(KP_SYMBOLS_EXACT);
    struct kp_symbols *merge = kp_symbols_create(KP_SYMBOLS_MERGE);
    assert_int_equal(kp_symbols_mapping(exact, &base), 0);
    assert_int_equal(kp_symbols_mapping(merge, &base), 0);
    for (uint32_t i = 0; i < KP_COUNT(rows); i++) {
        assert_int_equal(kp_symbols_mapping(exact, &rows[i]), i + 1);
        assert_int_equal(kp_symbols_mapping(merge, &rows[i]), merged[i]);
    }
    struct kp_sym_mapping elsewhere = base;
    elsewhere.start = 77; // not part of the identity; the first is kept
    assert_int_equal(kp_symbols_mapping(exact, &elsewhere), 0);
    assert_int_equal(exact->mappings[0].start, 0);
    kp_symbols_destroy(exact);
    kp_symbols_destroy(merge);
}

static void test_stacks(void **state)
{
    (void)state;
    struct kp_symbols *s = kp_symbols_create(KP_SYMBOLS_EXACT);
    const uint32_t leaf_first[] = {5, 4, 3};
    assert_int_equal(kp_symbols_stack(s, NULL, 0), 0);
    uint32_t deep = kp_symbols_stack(s, leaf_first, 3);
    assert_int_equal(s->n_nodes, 4);
    assert_int_equal(kp_symbols_stack(s, leaf_first + 1, 2), s->nodes[deep].parent); // the caller of the leaf
    assert_int_equal(s->n_nodes, 4);
    assert_int_equal(s->nodes[deep].location, 5);
    assert_int_equal(kp_symbols_stack(s, leaf_first, 3), deep);
    uint32_t other = kp_symbols_stack(s, (const uint32_t[]){5, 3}, 2);
    assert_int_equal(s->nodes[other].parent, s->nodes[s->nodes[deep].parent].parent);
    kp_auto_free uint32_t *deepest = KP_NEW_ARRAY(uint32_t, 60000); // recursion, very deep
    uint32_t bottom = kp_symbols_stack(s, deepest, 60000);
    assert_int_equal(kp_symbols_stack(s, deepest, 59999), s->nodes[bottom].parent);
    kp_symbols_destroy(s);
}

// Recursion that was caught at every depth: the tree has one node for each, and whole stacks do not add much.
static void test_deep_stacks_that_differ_little(void **state)
{
    (void)state;
    enum { DEPTH = 6000 };
    struct kp_symbols *s = kp_symbols_create(KP_SYMBOLS_EXACT);
    kp_auto_free uint32_t *frames = KP_NEW_ARRAY(uint32_t, DEPTH);
    kp_auto_free uint32_t *nodes = KP_NEW_ARRAY(uint32_t, DEPTH + 1);
    for (uint32_t i = 0; i < DEPTH; i++)
        frames[i] = 7 + i % 3;
    for (int round = 0; round < 2; round++) {
        for (uint32_t n = 0; n <= DEPTH; n += 3) { // all have the same callers
            uint32_t node = kp_symbols_stack(s, frames + (DEPTH - n), n);
            assert_true(round == 0 || node == nodes[n]);
            nodes[n] = node;
            assert_true(n == 0 || (nodes[n - 3] < node && s->nodes[node].location == 7));
        }
        assert_int_equal(s->n_nodes, DEPTH + 1);
    }
    frames[0] = 8; // the leaf is another
    assert_int_not_equal(kp_symbols_stack(s, frames, DEPTH), nodes[DEPTH]);
    assert_int_equal(s->n_nodes, DEPTH + 2);
    assert_true(kp_symbols_bytes(s) < (size_t)DEPTH * 200); // 2 000 stacks of 3 000 frames each are 24 MB
    kp_symbols_destroy(s);
}

static void test_label_sets(void **state)
{
    (void)state;
    struct kp_symbols *s = kp_symbols_create(KP_SYMBOLS_EXACT);
    assert_int_equal(kp_symbols_label_set(s, NULL, 0), 0);
    struct kp_sample_label a[] = {
        {.key = 2, .str = 1}, {.key = 1, .num = -4, .unit = 3}, {.key = 1, .num = 5, .unit = 3}};
    struct kp_sample_label b[] = {
        {.key = 1, .num = 5, .unit = 3}, {.key = 2, .str = 1}, {.key = 1, .num = -4, .unit = 3}};
    uint32_t id = kp_symbols_label_set(s, a, 3);
    assert_int_equal(id, 1);
    assert_int_equal(kp_symbols_label_set(s, b, 3), 1);
    assert_int_equal(s->label_sets[2] - s->label_sets[1], 3);
    assert_int_equal(s->labels[s->label_sets[1] + 2].key, 2); // sorted
    assert_int_equal(kp_symbols_label_set(s, b, 2), 2);
    b[0].num++;
    assert_int_equal(kp_symbols_label_set(s, b, 2), 3);
    b[0].unit++;
    assert_int_equal(kp_symbols_label_set(s, b, 2), 4);
    kp_symbols_destroy(s);
}

// ---- whole profiles ----

static struct kp_digest digest_of_samples(const struct kp_profile *p)
{
    struct kp_digest all = kp_profile_digest(p);
    struct kp_profile none = *p;
    none.n_samples = 0;
    struct kp_digest header = kp_profile_digest(&none); // added by xor
    return (struct kp_digest){all.lo ^ header.lo, all.hi ^ header.hi};
}

// What a space holds of the samples of a profile, digested from the space.
static struct kp_digest digest_of_space(
    const struct kp_symbols *s, const struct kp_profile *p, const uint32_t *stacks, const uint32_t *sets)
{
    struct kp_digest d = {0};
    kp_auto_free uint64_t *strings = KP_NEW_ARRAY(uint64_t, (size_t)s->n_strings + 1);
    kp_auto_free uint64_t *functions = KP_NEW_ARRAY(uint64_t, (size_t)s->n_functions + 1);
    kp_auto_free uint64_t *nodes = KP_NEW_ARRAY(uint64_t, (size_t)s->n_nodes + 1);
    for (uint32_t i = 0; i < s->n_strings; i++)
        strings[i] = kp_digest_string(s->strings[i]);
    for (uint32_t i = 0; i < s->n_functions; i++)
        functions[i] = kp_digest_function(&s->functions[i], strings);
    nodes[0] = KP_DIGEST_EMPTY_STACK;
    for (uint32_t i = 1; i < s->n_nodes; i++) {
        const struct kp_sym_location *l = &s->locations[s->nodes[i].location];
        uint64_t h = 0;
        if (l->mapping != KP_NO_MAPPING) {
            const struct kp_sym_mapping *m = &s->mappings[l->mapping];
            h = kp_digest_mapping(
                m->size, m->offset, strings[m->filename], strings[m->build_id], m->flags, m->ordinal);
        }
        h = kp_digest_location(h, l->address, l->folded, s->lines + l->first_line, l->n_lines, functions);
        assert_true(s->nodes[i].parent < i);
        nodes[i] = kp_digest_frame(nodes[s->nodes[i].parent], h);
    }
    for (uint32_t i = 0; i < p->n_samples; i++) {
        const uint32_t *at = &s->label_sets[sets[i]];
        kp_digest_add_sample(&d, nodes[stacks[i]],
            kp_digest_labels(s->labels + at[0], at[1] - at[0], strings),
            p->values + (size_t)i * p->n_sample_types, p->n_sample_types);
    }
    return d;
}

static void test_a_space_says_what_the_profile_says(void **state)
{
    (void)state;
    struct kp_symbols *all = kp_symbols_create(KP_SYMBOLS_EXACT); // of all files
    for (size_t i = 0; i <= KP_COUNT(fixture_corpus); i++) {
        struct kp_profile *p = i < KP_COUNT(fixture_corpus) ? fixture_decode_corpus(fixture_corpus[i])
                                                            : fixture_decode("odd/labels-1.pb.gz");
        kp_auto_free uint32_t *stacks = KP_NEW_ARRAY(uint32_t, (size_t)p->n_samples + 1);
        kp_auto_free uint32_t *sets = KP_NEW_ARRAY(uint32_t, (size_t)p->n_samples + 1);
        fixture_intern(all, p, stacks, sets);
        struct kp_digest want = digest_of_samples(p);
        assert_true(kp_digest_equal(want, digest_of_space(all, p, stacks, sets)));
        struct kp_symbols *copy = kp_symbols_create(KP_SYMBOLS_EXACT); // from the space to another one
        struct kp_symbols_map *map = kp_symbols_map_symbols(copy, all);
        for (uint32_t k = 0; k < p->n_samples; k++) {
            stacks[k] = kp_symbols_map_node(map, stacks[k]);
            sets[k] = kp_symbols_map_label_set(map, sets[k]);
        }
        kp_symbols_map_destroy(map);
        assert_true(kp_digest_equal(want, digest_of_space(copy, p, stacks, sets)));
        kp_symbols_destroy(copy);
        uint32_t n = all->n_nodes + all->n_strings + all->n_locations + all->n_functions;
        fixture_intern(all, p, stacks, sets); // nothing new the second time
        assert_int_equal(n, all->n_nodes + all->n_strings + all->n_locations + all->n_functions);
        kp_profile_free(p);
    }
    kp_symbols_destroy(all);
}

// ---- the random key of the tables ----

static void test_keys_differ(void **state)
{
    (void)state;
    struct kp_keyed a = kp_keyed_random();
    struct kp_keyed b = kp_keyed_random();
    assert_true(a.start != b.start && a.factor != b.factor);
    assert_true(kp_keyed_bytes(&a, "main.main", 9) != kp_keyed_bytes(&b, "main.main", 9));
    uint8_t text[64] = {0};
    for (size_t len = 1; len <= sizeof text; len++) // each byte counts
        for (size_t i = 0; i < len; i++) {
            uint64_t h = kp_keyed_bytes(&a, text, len);
            text[i] = 1;
            assert_true(kp_keyed_bytes(&a, text, len) != h);
            text[i] = 0;
            assert_true(kp_keyed_bytes(&a, text, len - 1) != h);
        }
}

#define SAME_FIELD(array, n, field)                                                                          \
    do {                                                                                                     \
        assert_int_equal(a->n, b->n);                                                                        \
        for (uint32_t i_ = 0; i_ < a->n; i_++)                                                               \
            assert_true(a->array[i_].field == b->array[i_].field);                                           \
    } while (0)

static void test_ids_do_not_depend_on_the_key(void **state)
{
    (void)state;
    struct kp_symbols *a = kp_symbols_create(KP_SYMBOLS_EXACT);
    struct kp_symbols *b = kp_symbols_create(KP_SYMBOLS_EXACT);
    for (size_t i = 0; i < KP_COUNT(fixture_corpus); i++) {
        kp_auto_profile *p = fixture_decode_corpus(fixture_corpus[i]);
        kp_auto_free uint32_t *ids = KP_NEW_ARRAY(uint32_t, 4 * ((size_t)p->n_samples + 1));
        uint32_t n = p->n_samples + 1;
        fixture_intern(a, p, ids, ids + n);
        fixture_intern(b, p, ids + 2 * (size_t)n, ids + 3 * (size_t)n);
        assert_memory_equal(ids, ids + 2 * (size_t)n, 2 * (size_t)n * sizeof *ids);
    }
    SAME_FIELD(nodes, n_nodes, parent);
    SAME_FIELD(nodes, n_nodes, location);
    SAME_FIELD(functions, n_functions, name);
    SAME_FIELD(functions, n_functions, start_line);
    SAME_FIELD(mappings, n_mappings, filename);
    SAME_FIELD(locations, n_locations, address);
    SAME_FIELD(locations, n_locations, first_line);
    SAME_FIELD(lines, n_lines, function);
    SAME_FIELD(labels, n_labels, key);
    SAME_FIELD(labels, n_labels, num);
    assert_int_equal(a->n_strings, b->n_strings);
    for (uint32_t i = 0; i < a->n_strings; i++) {
        assert_int_equal(a->strings[i].len, b->strings[i].len);
        assert_memory_equal(a->strings[i].data, b->strings[i].data, a->strings[i].len);
    }
    kp_symbols_destroy(a);
    kp_symbols_destroy(b);
}

// ---- all at once ----

static uint32_t a_stack(struct kp_symbols *s, uint32_t i, uint32_t depth)
{
    uint32_t node = 0;
    for (uint32_t k = 0; k < depth; k++) {
        char name[16];
        int len = snprintf(name, sizeof name, "f%u", (i * (k + 1)) % 50);
        const struct kp_function f = {.name = kp_symbols_string(s, name, (uint32_t)len)};
        const struct kp_line line = {kp_symbols_function(s, &f), k, 0};
        const struct kp_sym_location l = {.address = k, .mapping = i % 2, .n_lines = 1};
        node = kp_symbols_node(s, node, kp_symbols_location(s, &l, &line));
    }
    return node;
}

static uint32_t a_set(struct kp_symbols *s, uint32_t i)
{
    struct kp_sample_label label = {.key = kp_symbols_string(s, "key", 3), .num = i};
    return kp_symbols_label_set(s, &label, 1);
}

static struct kp_symbols *a_space(uint64_t other_size)
{
    struct kp_symbols *s = kp_symbols_create(KP_SYMBOLS_EXACT);
    (void)kp_symbols_mapping(s, &(struct kp_sym_mapping){.size = 0x2000});
    (void)kp_symbols_mapping(s, &(struct kp_sym_mapping){.size = other_size});
    for (uint32_t i = 0; i < 300; i++) {
        (void)a_stack(s, i, i % 20);
        (void)a_set(s, i);
    }
    return s;
}

static void test_adopt(void **state)
{
    (void)state;
    struct kp_symbols *from = a_space(0x4000);
    struct kp_symbols *s = kp_symbols_create(KP_SYMBOLS_MERGE);
    assert_true(kp_symbols_adopt(s, from));
    assert_int_equal(s->n_nodes, from->n_nodes);
    for (uint32_t i = 0; i < 300; i++) { // all known, under the same ids
        assert_int_equal(a_stack(s, i, i % 20), a_stack(from, i, i % 20));
        assert_int_equal(a_set(s, i), a_set(from, i));
    }
    assert_int_equal(s->n_nodes, from->n_nodes);
    assert_int_equal(a_stack(s, 7, 25), a_stack(from, 7, 25)); // and new ones come behind them
    assert_int_equal(s->n_nodes, from->n_nodes);
    assert_false(kp_symbols_adopt(s, from)); // not a new one any more
    kp_symbols_destroy(s);
    kp_symbols_destroy(from);
}

static void test_adopt_refuses_what_it_would_join(void **state)
{
    (void)state;
    struct kp_symbols *from = a_space(0x1fff); // the same in whole pages
    struct kp_symbols *s = kp_symbols_create(KP_SYMBOLS_MERGE);
    assert_false(kp_symbols_adopt(s, from));
    struct kp_symbols_map *map = kp_symbols_map_symbols(s, from);
    for (uint32_t node = 0; node < from->n_nodes; node++)
        assert_true(kp_symbols_map_node(map, node) <= node);
    assert_int_equal(s->n_mappings, 1);
    kp_symbols_map_destroy(map);
    kp_symbols_destroy(s);
    kp_symbols_destroy(from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_functions_and_locations),
        cmocka_unit_test(test_mappings),
        cmocka_unit_test(test_stacks),
        cmocka_unit_test(test_deep_stacks_that_differ_little),
        cmocka_unit_test(test_label_sets),
        cmocka_unit_test(test_adopt),
        cmocka_unit_test(test_adopt_refuses_what_it_would_join),
        cmocka_unit_test(test_a_space_says_what_the_profile_says),
        cmocka_unit_test(test_keys_differ),
        cmocka_unit_test(test_ids_do_not_depend_on_the_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
