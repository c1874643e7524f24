// Folders of other versions: one that this form of the data was recorded in is read, whole; one of a newer
// program is refused with a sentence, and not a byte of it changes.
//
// `kp_store_format_test --record` writes testdata/format-N anew. It is to be done once for each form, by the
// last program that writes it: a folder that stands there is never recorded again.
#include "store/seal_testing.h"

#include <endian.h>
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/file.h"
#include "store/format.h"
#include "store/frame.h"
#include "base/banned.h"

static const struct kp_store_options options = {.log_file_bytes = 2500};

// ---- folders ----

static struct {
    char *from, *to; // to: NULL = only look
    KP_ARRAY(char *) lines;
} walk;

static int on_file(const char *path, const struct stat *st, int flag, struct FTW *at)
{
    (void)at;
    const char *name = path + strlen(walk.from);
    kp_auto_free char *to = walk.to ? kp_asprintf("%s%s", walk.to, name) : NULL;
    if (flag == FTW_D) {
        if (to && mkdir(to, 0700) != 0)
            assert_int_equal(errno, EEXIST);
        return 0;
    }
    size_t len;
    kp_auto_free char *data = kp_test_read_file(path, &len);
    assert_int_equal(len, st->st_size);
    if (to && kp_file_write_atomic(to, data, len, 0600, NULL) != 0)
        fail_msg("cannot write %s", to);
    if (!kp_streq(name, "/lock"))
        *kp_array_add(&walk.lines) = kp_asprintf("%s %zu %016" PRIx64, name, len, kp_hash64(data, len, 7));
    return 0;
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// Every file with its content's hash; copies it to a folder, unless that is NULL.
static char *look_at(const char *from, const char *to)
{
    struct kp_strbuf out;
    size_t len;
    walk.from = kp_strdup(from);
    walk.to = kp_strdup(to);
    assert_int_equal(nftw(from, on_file, 16, FTW_PHYS), 0);
    qsort(walk.lines.items, walk.lines.n, sizeof(char *), compare_lines);
    kp_strbuf_init(&out, 1 << 20);
    for (size_t i = 0; i < walk.lines.n; i++) {
        kp_strbuf_addf(&out, "%s\n", walk.lines.items[i]);
        kp_free(walk.lines.items[i]);
    }
    kp_array_free(&walk.lines);
    kp_free(walk.from);
    kp_free(walk.to);
    return kp_strbuf_take(&out, &len);
}

static char *recorded_path(int format)
{
    return kp_asprintf("%s/format-%d", KP_TESTDATA, format);
}

static char *copy_of_recorded(int format)
{
    char *dir = kp_test_tmpdir();
    kp_auto_free char *from = recorded_path(format);
    kp_free(look_at(from, dir));
    return dir;
}

// ---- what a store shows ----

static int64_t total_of(const struct kp_blob *body, size_t *ret_samples)
{
    struct kp_profile *p = NULL;
    struct kp_error err = {0};
    if (kp_profile_decode(body->data, body->len, NULL, &p, &err) != 0)
        fail_msg("%s", err.text);
    int64_t total = kp_profile_total(p, 0);
    *ret_samples = p->n_samples;
    kp_profile_free(p);
    return total;
}

struct telling {
    struct kp_store *store;
    struct kp_strbuf *out;
};

static bool tell_one(void *user, const struct kp_record *r)
{
    struct telling *t = user;
    struct kp_blob *body = NULL;
    struct kp_error err = {0};
    size_t n;
    if (kp_store_get(t->store, r->id, NULL, &body, &err) != 0)
        fail_msg("%s", err.text);
    int64_t total = total_of(body, &n);
    kp_strbuf_addf(t->out,
        "%s %s/%s %s %s %s %s start=%" PRId64 " received=%" PRId64 " samples=%zu total=%" PRId64 "\n", r->id,
        r->namespace ? r->namespace : "-", r->service, r->type, r->pod ? r->pod : "-",
        r->image_digest ? r->image_digest : "-", r->key ? r->key : "-", r->start_ms, r->received_ms, n,
        total);
    kp_blob_unref(body);
    return true;
}

static char *tell(struct kp_store *store)
{
    struct kp_strbuf out;
    struct kp_error err = {0};
    char *cursor = NULL;
    size_t len;
    kp_strbuf_init(&out, 1 << 20);
    if (kp_store_list(store, &(struct kp_store_query){.limit = 10000}, tell_one,
            &(struct telling){store, &out}, &cursor, &err) != 0)
        fail_msg("%s", err.text);
    assert_null(cursor);
    return kp_strbuf_take(&out, &len);
}

static void check_told(struct kp_store *store, const char *wanted)
{
    kp_auto_free char *told = tell(store);
    assert_string_equal(told, wanted);
}

// ---- recording ----

static char *put_numbered(struct kp_store *store, const char *namespace, const char *pod, int n)
{
    kp_auto_free char *key = kp_asprintf("%s-%d", namespace, n);
    return put_capture(store, (struct capture){.namespace = namespace,
                                  .service = "api",
                                  .type = n % 3 ? "cpu" : "heap",
                                  .pod = pod,
                                  .digest = n % 2 ? "sha256:a" : "sha256:b",
                                  .build = n % 2 ? "a" : "b",
                                  .key = key,
                                  .start_ms = clock_ms,
                                  .seed = (uint64_t)n % 4});
}

// Hours that are sealed, one that is not, one that was deleted, a namespace that was forgotten.
static void record(void)
{
    kp_auto_free char *dir = recorded_path(KP_STORE_FORMAT);
    kp_auto_free char *list = kp_asprintf("%s.txt", dir);
    assert_int_not_equal(access(list, F_OK), 0); // recorded once
    clock_ms = T0;
    struct kp_store *store = open_store(dir, options);
    for (int n = 0; n < 24; n++) {
        char *id = put_numbered(store,
            n % 8 == 5   ? "gone"
            : n % 8 == 6 ? "pay"
                         : "shop",
            n % 2 ? "p1" : "p0", n);
        clock_ms += n == 13 ? HOUR : 60000;
        if (n == 15) {
            seal_all(store, true);
            retain_all(store);
        }
        if (n == 2 || n == 20)
            assert_int_equal(kp_store_delete(store, id, NULL), 0);
        kp_free(id);
    }
    assert_int_equal(kp_store_forget_namespace(store, "gone", clock_ms, NULL), 0);
    kp_auto_free char *told = tell(store);
    kp_store_close(store);
    if (kp_file_write_atomic(list, told, strlen(told), 0644, NULL) != 0)
        fail_msg("cannot write %s", list);
}

// ---- tests ----

// Of every form there ever was: all is there, whatever is lost of what can be made again, and it goes on.
static void test_recorded_folders(void **state)
{
    (void)state;
    for (int format = 1; format <= KP_STORE_FORMAT; format++) {
        kp_auto_free char *list = kp_asprintf("%s/format-%d.txt", KP_TESTDATA, format);
        kp_auto_free char *wanted = kp_test_read_file(list, NULL);
        for (int lost = 0; lost < 4; lost++) {
            char *dir = copy_of_recorded(format);
            lose(dir, lost);
            clock_ms = T0 + 2 * HOUR;
            struct kp_store *store = open_store(dir, options);
            check_told(store, wanted);
            assert_int_equal(stats_of(store).n_corrupt, 0);
            assert_int_equal(wrong_in(store), 0);
            assert_true(stats_of(store).n_sealed > 0);
            assert_true(stats_of(store).n_profiles > stats_of(store).n_sealed);
            kp_free(put_numbered(store, "shop", "p1", 23)); // its key is known
            check_told(store, wanted);
            seal_all(store, true);
            retain_all(store);
            check_told(store, wanted);
            clock_ms += HOUR;
            kp_free(put_numbered(store, "shop", "p1", 99));
            kp_auto_free char *more = tell(store);
            kp_store_close(store);
            store = open_store(dir, options);
            check_told(store, more);
            kp_store_close(store);
            kp_test_rmdir(dir);
        }
    }
}

static void overwrite(const char *dir, const char *name, off_t at, const void *data, size_t len)
{
    kp_auto_free char *path = kp_asprintf("%s/%s", dir, name);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, len, at), (ssize_t)len);
    close(fd);
}

static void read_at(const char *dir, const char *name, off_t at, void *ret, size_t len)
{
    kp_auto_free char *path = kp_asprintf("%s/%s", dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, ret, len, at), (ssize_t)len);
    close(fd);
}

static void put_sum(uint8_t *head, size_t at)
{
    uint32_t sum = htole32(kp_crc32c(0, head, at));
    memcpy(head + at, &sum, sizeof sum);
}

// The name of the first segment of the folder, below it.
static char *a_segment(const char *dir)
{
    kp_auto_free char *all = look_at(dir, NULL);
    char *at = strstr(all, "/segments/");
    assert_non_null(at);
    return kp_strndup(at + 1, strcspn(at + 1, " "));
}

enum { LOG, SEGMENT, FORGOTTEN, IDS, FORMAT, N_KINDS };

// As a newer program would have written it. Returns what was there, to be put back; its name in *ret_name.
static char *make_newer(const char *dir, int kind, char **ret_name, size_t *ret_len)
{
    uint8_t head[64];
    char *name =
        kind == SEGMENT
            ? a_segment(dir)
            : kp_strdup((const char *[]){"log/00000003.log", "", "forgotten", "ids", "format"}[kind]);
    kp_auto_free char *path = kp_asprintf("%s/%s", dir, name);
    char *before = kp_test_read_file(path, ret_len);
    if (kind == LOG) {
        read_at(dir, name, 0, head, KP_LOG_HEAD_BYTES);
        head[7] = '2';
        put_sum(head, 32);
        overwrite(dir, name, 0, head, KP_LOG_HEAD_BYTES);
    } else if (kind == SEGMENT) {
        read_at(dir, name, 0, head, 64);
        head[8] = 2;
        put_sum(head, 60);
        overwrite(dir, name, 0, head, 64);
    } else if (kind == FORMAT) {
        static const char text[] = "kube-pprof data 2 by 9.8.7";
        kp_auto_free char *line = kp_asprintf("%s %08" PRIx32 "\n", text, kp_crc32c(0, text, strlen(text)));
        overwrite(dir, name, 0, line, strlen(line));
    } else {
        overwrite(dir, name, (off_t)strcspn(before, "\n") - 1, "2", 1);
    }
    *ret_name = name;
    return before;
}

static void test_a_newer_program_wrote_it(void **state)
{
    (void)state;
    kp_auto_free char *list = kp_asprintf("%s/format-1.txt", KP_TESTDATA);
    kp_auto_free char *wanted = kp_test_read_file(list, NULL);
    for (int kind = 0; kind < N_KINDS; kind++) {
        char *dir = copy_of_recorded(1);
        char *name;
        size_t len;
        clock_ms = T0 + 2 * HOUR;
        kp_auto_free char *before = make_newer(dir, kind, &name, &len);
        kp_auto_free char *found = look_at(dir, NULL);
        for (int start = 0; start < 3; start++) {
            struct kp_store_options o = options;
            struct kp_store *store = NULL;
            struct kp_error err = {0};
            o.dir = dir;
            o.now_ms = test_now;
            assert_int_equal(kp_store_open(&o, &store, &err), KP_INVALID);
            const char *words[] = {"newer", "format 2", "nothing was changed", KP_VERSION};
            for (size_t i = 0; i < KP_COUNT(words); i++)
                if (strstr(err.text, words[i]) == NULL)
                    fail_msg("%s: '%s' is not said: %s", name, words[i], err.text);
            if (kind == FORMAT)
                assert_non_null(strstr(err.text, "9.8.7"));
            kp_auto_free char *after = look_at(dir, NULL);
            assert_string_equal(after, found);
        }
        kp_auto_free char *path = kp_asprintf("%s/%s", dir, name); // the newer program is back
        assert_int_equal(kp_file_write_atomic(path, before, len, 0600, NULL), 0);
        struct kp_store *store = open_store(dir, options);
        check_told(store, wanted);
        kp_store_close(store);
        kp_free(name);
        kp_test_rmdir(dir);
    }
}

// Caches of another form are made anew; a flipped bit is no newer program; what is not known stays.
static void test_what_is_no_newer_program(void **state)
{
    (void)state;
    kp_auto_free char *list = kp_asprintf("%s/format-1.txt", KP_TESTDATA);
    kp_auto_free char *wanted = kp_test_read_file(list, NULL);
    char *dir = copy_of_recorded(1);
    kp_auto_free char *other = kp_asprintf("%s/log/00000009.zlog", dir);
    kp_auto_free char *half = kp_asprintf("%s/log/00000002.log.tmp", dir);
    clock_ms = T0 + 2 * HOUR;
    overwrite(dir, "index.db", 60, "\0\0\0\3", 4); // user_version
    overwrite(dir, "log/00000003.idx", 7, "3", 1); // its magic
    overwrite(dir, "format", 16, "7", 1);          // the checksum is that of 1
    assert_int_equal(kp_file_write_atomic(other, "x", 1, 0600, NULL), 0);
    assert_int_equal(kp_file_write_atomic(half, "x", 1, 0600, NULL), 0);
    struct kp_store *store = open_store(dir, options);
    check_told(store, wanted);
    kp_store_close(store);
    assert_int_equal(access(other, F_OK), 0);
    assert_int_not_equal(access(half, F_OK), 0);
    kp_auto_free char *format = kp_asprintf("%s/format", dir);
    kp_auto_free char *text = kp_test_read_file(format, NULL);
    assert_true(kp_starts_with(text, "kube-pprof data 1 by " KP_VERSION " "));
    unlink(format); // as folders had before there was such a file
    store = open_store(dir, options);
    check_told(store, wanted);
    kp_store_close(store);
    assert_int_equal(access(format, F_OK), 0);
    overwrite(dir, "log/00000003.log", 7, "2", 1); // without its checksum: damaged, put aside
    store = open_store(dir, options);
    assert_true(stats_of(store).n_corrupt > 0);
    kp_store_close(store);
    kp_test_rmdir(dir);
}

int main(int argc, char **argv)
{
    if (argc > 1 && kp_streq(argv[1], "--record")) {
        record();
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded_folders),
        cmocka_unit_test(test_a_newer_program_wrote_it),
        cmocka_unit_test(test_what_is_no_newer_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
