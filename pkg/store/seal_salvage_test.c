// A segment of which a part rots: only what lay in that part is lost, and not even that while the log has it.
#include "store/seal_testing.h"

#include "store/segment_private.h"
#include "store/tier.h"
#include "base/banned.h"

#define N 150

static void fill(struct kp_store *store)
{
    for (int i = 0; i < N; i++)
        kp_free(put_capture(store, (struct capture){.namespace = "shop",
                                       .pod = i % 3 ? "p0" : "p1",
                                       .digest = i % 2 ? "sha256:1" : "sha256:2",
                                       .type = i % 5 ? "cpu" : "trace",
                                       .format = i % 5 ? "pprof" : "trace",
                                       .start_ms = clock_ms + i * 1000}));
}

static struct kp_store *make_sealed(const char *dir, bool with_log, struct picture *ret_before)
{
    clock_ms = T0;
    struct kp_store *store =
        open_store(dir, (struct kp_store_options){.keep_original = KP_ORIGINAL_ON_ERROR});
    fill(store);
    take_picture(store, (struct kp_store_query){0}, ret_before);
    assert_int_equal(seal_all(store, true), 1);
    assert_int_equal(store->sealed.n, 1);
    if (!with_log)
        retain_all(store);
    return store;
}

// One place in a segment, and what needs it.
struct part {
    uint64_t at;
    enum kp_block_kind kind; // 0: rows
    uint32_t number;         // block, or piece of rows
    uint32_t space;          // of a dictionary
};

struct parts {
    KP_ARRAY(struct part) list;
    KP_ARRAY(struct kp_segment_row) rows;
    KP_ARRAY(uint32_t) spaces; // of each row; UINT32_MAX: none
};

static void look_at(const struct kp_segment *s, struct parts *ret)
{
    const struct kp_segment_private *p = s->private;
    *ret = (struct parts){0};
    for (uint32_t i = 0; i < s->n_blocks; i++)
        *kp_array_add(&ret->list) = (struct part){.at = p->blocks[i].offset + p->blocks[i].stored_len / 2,
            .kind = (enum kp_block_kind)p->blocks[i].kind,
            .number = i};
    for (uint32_t i = 0; i < s->n_spaces; i++)
        ret->list.items[s->spaces[i].block].space = i;
    for (uint32_t i = 0; i * KP_RECORD_ROWS < s->n_rows; i++)
        *kp_array_add(&ret->list) = (struct part){
            .at = p->rows_offset + (uint64_t)i * KP_RECORD_ROWS * KP_SEGMENT_ROW_BYTES + 100, .number = i};
    for (uint32_t i = 0; i < s->n_rows; i++) {
        struct kp_segment_row row;
        struct kp_block *block;
        assert_int_equal(kp_segment_read_rows(s, i, 1, &row, NULL), 0);
        *kp_array_add(&ret->rows) = row;
        *kp_array_add(&ret->spaces) = UINT32_MAX;
        if ((row.flags & KP_SROW_OPAQUE) == 0) {
            assert_int_equal(kp_segment_read_block(s, row.block, &block, NULL), 0);
            ret->spaces.items[i] = block->space;
            kp_block_free(block);
        }
    }
}

static void free_parts(struct parts *parts)
{
    kp_array_free(&parts->list);
    kp_array_free(&parts->rows);
    kp_array_free(&parts->spaces);
}

static bool needs(
    const struct parts *parts, const struct kp_segment *s, const struct part *part, uint32_t row)
{
    switch (part->kind) {
    case KP_BLOCK_SAMPLES:
    case KP_BLOCK_OPAQUE:
        return parts->rows.items[row].block == part->number;
    case KP_BLOCK_SPACE:
        return parts->spaces.items[row] == part->space;
    case KP_BLOCK_RECORDS:
        return row / KP_RECORD_ROWS == part->number - s->private->first_record_block;
    case KP_BLOCK_ORIGINAL: // nobody has them here
    case KP_BLOCK_SERIES:   // the index knows them as well
        return false;
    default:
        return row / KP_RECORD_ROWS == part->number;
    }
}

static size_t n_needing(const struct parts *parts, const struct kp_segment *s, const struct part *part)
{
    size_t n = 0;
    for (uint32_t i = 0; i < s->n_rows; i++)
        n += needs(parts, s, part, i);
    return n;
}

static void flip(const char *dir, const char *name, uint64_t at)
{
    kp_auto_free char *path = kp_asprintf("%s/segments/%s", dir, name);
    flip_bit(path, (off_t)at);
}

// What is listed and given out, all of it as it was.
static size_t n_readable(struct kp_store *store, const struct picture *before)
{
    struct picture now = {0};
    char *cursor = NULL;
    size_t n = 0;
    size_t k = 0;
    assert_int_equal(
        kp_store_list(store, &(struct kp_store_query){.limit = 1000}, on_shown, &now, &cursor, NULL), 0);
    assert_null(cursor);
    for (size_t i = 0; i < now.items.n; i++) {
        struct kp_blob *body;
        while (k < before->items.n && strcmp(before->items.items[k].id, now.items.items[i].id) != 0)
            k++;
        assert_true(k < before->items.n);
        int rc = kp_store_get(store, now.items.items[i].id, NULL, &body, NULL);
        assert_true(rc == 0 || rc == KP_CORRUPT);
        if (rc != 0)
            continue;
        assert_true(before->items.items[k].record == now.items.items[i].record);
        assert_true(kp_digest_equal(digest_of(body), before->items.items[k].body));
        kp_blob_unref(body);
        n++;
    }
    kp_array_free(&now.items);
    return n;
}

static size_t merged(struct kp_store *store)
{
    struct kp_merge_stats stats = {0};
    struct kp_profile *sum = NULL;
    struct kp_error err = {0};
    const struct kp_merge_query query = {
        .select = {.namespace = "shop", .type = "cpu"}, .with_startup = true};
    if (kp_store_merge(store, &query, &sum, &stats, &err) != 0)
        return 0;
    kp_profile_free(sum);
    return stats.n_profiles;
}

static void check_part(size_t which, bool with_log, bool restart, bool *ret_more)
{
    char *dir = kp_test_tmpdir();
    struct picture before;
    struct parts parts;
    struct kp_store *store = make_sealed(dir, with_log, &before);
    const struct kp_segment *s = store->sealed.items[0]->segment;
    kp_auto_free char *name = kp_strdup(s->name);
    look_at(s, &parts);
    *ret_more = which + 1 < parts.list.n;
    const struct part part = parts.list.items[which];
    size_t n_lost = with_log ? 0 : n_needing(&parts, s, &part);
    size_t n_cpu = merged(store);
    if (restart)
        kp_store_close(store);
    flip(dir, name, part.at);
    if (restart)
        store = open_store(dir, (struct kp_store_options){0});
    if (!with_log) // nothing beside it is hidden, from the start
        assert_int_equal(n_readable(store, &before), N - n_lost);
    else // rows tell where the log has them
        assert_true(n_readable(store, &before) >= N - (part.kind == 0 ? KP_RECORD_ROWS : 0));
    if (part.kind != 0)
        assert_true(merged(store) >= n_cpu - n_lost);
    assert_int_equal(wrong_in(store), 1); // once, whatever hangs on it
    kp_sealed_set_damaged(store->sealed.items[0]);
    for (int round = 0; round < 4; round++) {
        seal_all(store, true);
        assert_int_equal(n_readable(store, &before), N - n_lost);
        assert_int_equal(stats_of(store).n_profiles, N - n_lost);
        assert_int_equal(wrong_in(store), 1); // the mark of the old one
        if (with_log)
            assert_int_equal(merged(store), n_cpu);
        retain_all(store);
        kp_store_close(store);
        lose(dir, round);
        store = open_store(dir, (struct kp_store_options){0});
    }
    kp_store_close(store);
    free_parts(&parts);
    kp_array_free(&before.items);
    kp_test_rmdir(dir);
}

static void test_the_log_has_it(void **state)
{
    (void)state;
    bool more = true;
    for (size_t i = 0; more; i++)
        check_part(i, true, i % 2 == 0, &more);
}

static void test_only_the_part_is_lost(void **state)
{
    (void)state;
    bool more = true;
    for (size_t i = 0; more; i++)
        check_part(i, false, i % 2 == 0, &more);
}

static double goroutines(struct kp_store *store, uint64_t *ret_n_damaged)
{
    struct kp_merge_stats stats = {0};
    struct kp_profile *sum = NULL;
    struct kp_error err = {0};
    const struct kp_merge_query query = {
        .select = {.namespace = "shop", .type = "goroutine"}, .with_startup = true};
    if (kp_store_merge(store, &query, &sum, &stats, &err) != 0)
        fail_msg("%s", err.text);
    double total = 0;
    for (uint32_t i = 0; i < sum->n_samples; i++)
        total += (double)sum->values[(size_t)i * sum->n_sample_types];
    kp_profile_free(sum);
    *ret_n_damaged = stats.n_damaged;
    return total;
}

static int n_now, cancel_at, cancelled;

static int64_t now_and_cancel(void)
{
    if (++n_now == cancel_at)
        cancelled = 1;
    return clock_ms;
}

// The time is asked for once in every try.
static void check_given_up(struct kp_store *store)
{
    const struct kp_merge_query query = {
        .select = {.namespace = "shop", .type = "goroutine"}, .with_startup = true, .cancelled = &cancelled};
    for (cancel_at = 1; cancel_at <= 2; cancel_at++) {
        struct kp_merge_stats stats = {0};
        struct kp_profile *sum = NULL;
        n_now = cancelled = 0;
        assert_int_equal(kp_store_merge(store, &query, &sum, &stats, NULL), KP_CANCELED);
        assert_int_equal(n_now, cancel_at);
        assert_null(sum); // nothing of a first try
    }
    cancel_at = 0;
}

// What a pod had at a moment is averaged over the moments that are known.
static void test_averages_leave_out_what_is_damaged(void **state)
{
    (void)state;
    clock_ms = T0;
    char *dir = kp_test_tmpdir();
    struct kp_store *store = open_store(dir, (struct kp_store_options){.now_ms = now_and_cancel});
    struct capture c = {.namespace = "shop",
        .pod = "p0",
        .type = "goroutine",
        .digest = "sha256:1",
        .start_ms = clock_ms + 100};
    uint64_t n_damaged;
    kp_free(put_capture(store, c));
    double one = goroutines(store, &n_damaged);
    for (int i = 1; i < 4; i++) {
        c.start_ms += 100;
        c.digest = "sha256:2";
        kp_free(put_capture(store, c));
    }
    double all = goroutines(store, &n_damaged);
    assert_true(all > one);
    assert_int_equal(n_damaged, 0);
    seal_all(store, true);
    retain_all(store);
    assert_true(goroutines(store, &n_damaged) == all);
    const struct kp_segment *s = store->sealed.items[0]->segment;
    struct parts parts;
    look_at(s, &parts);
    for (uint32_t i = 0; i < s->n_rows; i++)
        if (parts.spaces.items[i] != parts.spaces.items[0] && s->n_rows > 1) {
            // rows are in order of series and time: the first is the one with an image of its own
            flip(dir, s->name, parts.list.items[parts.rows.items[i].block].at);
            break;
        }
    check_given_up(store);
    assert_true(goroutines(store, &n_damaged) == one);
    assert_int_equal(n_damaged, 3);
    kp_store_close(store);
    free_parts(&parts);
    kp_test_rmdir(dir);
}

// Nothing was wrong: the segment stays.
static void test_false_alarm(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct picture before;
    struct kp_store *store = make_sealed(dir, false, &before);
    kp_auto_free char *name = kp_strdup(store->sealed.items[0]->segment->name);
    kp_sealed_set_damaged(store->sealed.items[0]);
    assert_int_equal(seal_all(store, true), 1);
    assert_int_equal(seal_all(store, true), 0);
    assert_string_equal(store->sealed.items[0]->segment->name, name);
    assert_int_equal(wrong_in(store), 0);
    assert_int_equal(n_readable(store, &before), N);
    kp_store_close(store);
    kp_array_free(&before.items);
    kp_test_rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_log_has_it),
        cmocka_unit_test(test_only_the_part_is_lost),
        cmocka_unit_test(test_averages_leave_out_what_is_damaged),
        cmocka_unit_test(test_false_alarm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
