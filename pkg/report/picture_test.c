// Pages and pictures: names of functions come from outside and must stay text.
#include "report/report_fixture.h"

#include "base/file.h"
#include "base/text.h"
#include "report/flame_page.h"
#include "base/banned.h"

typedef void picture_fn(const struct kp_flame *flame, const char *title, struct kp_strbuf *out);

static char *draw(picture_fn *picture, const char *folded, const char *base, const char *title)
{
    kp_auto_profile *profile = kp_folded(folded);
    kp_auto_profile *before = base ? kp_folded(base) : NULL;
    struct kp_flame *flame = NULL;
    struct kp_report_options o = {0};
    struct kp_error err = {0};
    if (kp_report_flame(profile, before, false, &o, &flame, &err) < 0)
        fail_msg("%s", err.text);
    struct kp_strbuf out;
    kp_strbuf_init(&out, 64 << 20);
    picture(flame, title, &out);
    assert_false(out.overflow);
    kp_flame_free(flame);
    return kp_strbuf_take(&out, NULL);
}

static const char hostile[] =
    "</script><script>alert(1)</script>;<img src=x onerror=alert(1)> 3|]]>\"'&amp;<!--@</title>:7 2|"
    "\xff\xfe\x80<b>;{{data}};{{script}};a\xe2\x80\xa8z\xe2\x80\xa9 4|\x1b[31m\x01 "
    "1|\xef\xbf\xbf\xef\xbf\xbe 1";

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *at = strstr(text, what); at; at = strstr(at + 1, what))
        n++;
    return n;
}

// ---- HTML ----

// The page's own text, without what is filled in.
static char *page_without_data(char *page, char **ret_data)
{
    char *data = strstr(page, "type=\"application/json\">");
    assert_non_null(data);
    data = strchr(data, '>') + 1;
    char *end = strstr(data, "</script>");
    assert_non_null(end);
    *ret_data = kp_strndup(data, (size_t)(end - data));
    return kp_asprintf("%.*s%s", (int)(data - page), page, end);
}

static void test_html_is_closed(void **state)
{
    (void)state;
    kp_auto_free char *page = draw(kp_flame_html, hostile, NULL, "etcd");
    kp_auto_free char *data = NULL;
    kp_auto_free char *text = page_without_data(page, &data);
    static const char *const outside[] = {"http:", "https:", "src=", "href", "url(", "@import", "fetch(",
        "XMLHttpRequest", "WebSocket", "EventSource", "sendBeacon", "import(", "eval(", "Function(",
        "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "{{"};
    for (size_t i = 0; i < KP_COUNT(outside); i++)
        if (strstr(text, outside[i]))
            fail_msg("the page has '%s'", outside[i]);
    kp_auto_free char *policy = kp_asprintf("content=\"default-src 'none'; script-src '%s'; style-src '%s'; "
                                            "base-uri 'none'; form-action 'none'\"",
        kp_page_script_hash, kp_page_style_hash);
    assert_non_null(strstr(text, policy));
    assert_int_equal(strlen(kp_page_script_hash), 51); // sha256- and 44 digits
}

// What the policy has the hashes of is what stands in the page, byte for byte.
static void test_html_parts(void **state)
{
    (void)state;
    kp_auto_free char *page = draw(kp_flame_html, "a 1", NULL, "etcd");
    kp_auto_free char *style =
        kp_asprintf("<style>%.*s</style>", (int)kp_page_style.len, (const char *)kp_page_style.bytes);
    kp_auto_free char *script = kp_asprintf(
        "<script>%.*s</script>\n</body>", (int)kp_page_script.len, (const char *)kp_page_script.bytes);
    assert_non_null(strstr(page, style));
    assert_non_null(strstr(page, script));
}

static void test_html_data(void **state)
{
    (void)state;
    kp_auto_free char *page = draw(kp_flame_html, hostile, hostile, "</title><script>x</script>\"'\x1b\xff");
    kp_auto_free char *data = NULL;
    kp_auto_free char *text = page_without_data(page, &data);
    assert_null(strpbrk(data, "<>&"));
    assert_null(strstr(data, "\xe2\x80\xa8"));
    assert_non_null(strstr(data, "\\u003c/script\\u003e\\u003cscript\\u003ealert(1)"));
    assert_non_null(strstr(data, "{{data}}")); // text like any other
    assert_true(kp_utf8_valid(page, strlen(page)));
    assert_int_equal(count(text, "<script"), 2);
    assert_int_equal(count(text, "</title>"), 1);
    assert_non_null(strstr(text,
        "<title>&lt;/title&gt;&lt;script&gt;x&lt;/script&gt;&quot;&#39;\xef\xbf\xbd\xef\xbf\xbd</title>"));
}

// ---- SVG ----

// Every < begins a tag of ours, every & an entity, every tag is closed.
static void assert_well_formed(const char *xml)
{
    static const char *const entities[] = {"&lt;", "&gt;", "&amp;", "&quot;", "&#39;"};
    static const char *const tags[] = {"svg", "title", "style", "rect", "text", "g"};
    assert_true(kp_utf8_valid(xml, strlen(xml)));
    int depth = 0;
    const char *at = strstr(xml, "?>") + 2;
    for (at = strpbrk(at, "<&"); at; at = strpbrk(at + 1, "<&")) {
        bool known = false;
        for (size_t i = 0; i < KP_COUNT(entities) && *at == '&'; i++)
            known |= kp_starts_with(at, entities[i]);
        const char *name = at + 1 + (at[1] == '/');
        size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz");
        for (size_t i = 0; i < KP_COUNT(tags) && *at == '<'; i++)
            known |= strlen(tags[i]) == n && strncmp(tags[i], name, n) == 0;
        if (!known)
            fail_msg("not ours: %.40s", at);
        if (*at == '<') {
            const char *end = strchr(at, '>');
            assert_non_null(end);
            depth += at[1] == '/' ? -1 : end[-1] == '/' ? 0 : 1;
            assert_true(depth >= 0);
        }
    }
    assert_int_equal(depth, 0);
}

static void test_svg(void **state)
{
    (void)state;
    kp_auto_free char *svg = draw(kp_flame_svg,
        "net/http.(*conn).serve@net/http/server.go:1;main.f 4000000|main.g 6000000", NULL, "a <b>");
    assert_well_formed(svg);
    assert_non_null(strstr(svg, "<title>a &lt;b&gt;</title>"));
    assert_non_null(
        strstr(svg, "<title>net/http.(*conn).serve\nnet/http/server.go\n4ms (40.00%), self 0</title>"));
    assert_non_null(strstr(svg, "<rect class=\"f\" x=\"10.0\" y=\"73\" width=\"708.0\" height=\"16\""));
    assert_non_null(strstr(svg, "<rect class=\"f\" x=\"718.0\" y=\"73\" width=\"472.0\" height=\"16\""));
    assert_non_null(strstr(svg, ">net/http.(*conn).serve</text>"));
    assert_int_equal(count(svg, "<g "), 4);
    kp_auto_free char *again = draw(kp_flame_svg,
        "main.g 6000000|net/http.(*conn).serve@net/http/server.go:1;main.f 4000000", NULL, "a <b>");
    assert_string_equal(svg, again);
}

static void test_svg_hostile(void **state)
{
    (void)state;
    kp_auto_free char *svg = draw(kp_flame_svg, hostile, NULL, "]]></title><script>\x1b\xff");
    assert_well_formed(svg);
    assert_null(strstr(svg, "]]>"));
    assert_null(strstr(svg, "\xef\xbf\xbe")); // no characters of XML
    assert_null(strstr(svg, "\xef\xbf\xbf"));
    kp_auto_free char *diff = draw(kp_flame_svg, hostile, "a 5|b 1", "t");
    assert_well_formed(diff);
}

static void test_svg_labels(void **state)
{
    (void)state;
    // 30 of 1180 pixels: no room for much
    kp_auto_free char *svg = draw(kp_flame_svg,
        "example.org/some/where.functionName 100|\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"
        "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac 50|rest 2900",
        NULL, "t");
    assert_well_formed(svg);
    assert_non_null(strstr(svg, ">whe\xe2\x80\xa6</text>"));
    kp_auto_free char *nothing = draw(kp_flame_svg, "", NULL, "t");
    assert_well_formed(nothing);
    assert_int_equal(count(nothing, "<g "), 1);
}

// Pages of real profiles, for tools/try_page and for looking at.
static void write_page(const char *folder, const char *name, const char *profile_name, const char *base_name,
    enum kp_report_by by)
{
    kp_auto_profile *profile = kp_load(profile_name);
    kp_auto_profile *base = base_name ? kp_load(base_name) : NULL;
    struct kp_report_options o = {.by = by};
    struct kp_flame *flame = NULL;
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 64 << 20);
    assert_int_equal(kp_report_flame(profile, base, false, &o, &flame, NULL), 0);
    kp_flame_html(flame, name, &out);
    kp_auto_free char *path = kp_asprintf("%s/%s.html", folder, name);
    assert_int_equal(kp_file_write_atomic(path, out.data, out.len, 0644, NULL), 0);
    kp_flame_free(flame);
}

static void test_write_pages(void **state)
{
    (void)state;
    const char *folder = getenv("KP_WRITE_PAGES"); // NOLINT(concurrency-mt-unsafe)
    if (folder == NULL)
        skip();
    write_page(folder, "cpu", "etcd-cpu", NULL, KP_BY_FUNCTION);
    write_page(folder, "diff", "etcd-cpu-later", "etcd-cpu", KP_BY_FUNCTION);
    write_page(folder, "heap", "prom-heap", NULL, KP_BY_LINE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_html_is_closed),
        cmocka_unit_test(test_html_parts),
        cmocka_unit_test(test_html_data),
        cmocka_unit_test(test_svg),
        cmocka_unit_test(test_svg_hostile),
        cmocka_unit_test(test_svg_labels),
        cmocka_unit_test(test_write_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
