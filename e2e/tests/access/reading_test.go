package access

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

// names are those of a list of the aggregated API or of the registry, sorted.
func names(t *testing.T, a answer) []string {
	t.Helper()
	var list struct {
		Items []struct {
			ID       string
			Metadata struct{ Name string }
		}
	}
	if err := json.Unmarshal([]byte(a.body), &list); err != nil || a.status != 200 {
		t.Errorf("not a list: %v", a)
		return nil
	}
	var ret []string
	for _, i := range list.Items {
		ret = append(ret, i.ID+i.Metadata.Name)
	}
	sort.Strings(ret)
	return ret
}

func ids(lists ...[]f.Profile) []string {
	var ret []string
	for _, list := range lists {
		for _, p := range list {
			ret = append(ret, p.ID)
		}
	}
	sort.Strings(ret)
	return ret
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, not %v", what, got, want)
	}
}

func eachReadsItsOwn(t *testing.T, w *world) {
	direct := func(u *user, path string) answer { return w.reg.get(t, "/api/v1/"+path, u.direct) }
	through := func(u *user, path string) answer { return w.api.get(t, agg+path, u.api) }
	denied := func(u *user, verb, resource, ns string) []string {
		where := "in the namespace " + `\"` + ns + `\"`
		if ns == "" {
			where = "at the cluster scope"
		}
		return []string{"User " + `\"` + u.full() + `\"` + " cannot " + verb + " resource " + `\"` + resource + `\"`, where}
	}

	// the viewer of one namespace
	v := w.viewer
	same(t, "viewer, direct list", names(t, direct(v, "profiles?namespace="+shop)), ids(w.mine))
	same(t, "viewer, list", names(t, through(v, "/namespaces/"+shop+"/profiles")), ids(w.mine))
	direct(v, "profiles").is(t, "viewer, direct, all", 403, denied(v, "list", "profiles", "")...)
	through(v, "/profiles").is(t, "viewer, all", 403, denied(v, "list", "profiles", "")...)
	direct(v, "profiles?namespace="+pay).is(t, "viewer, direct, theirs", 403, denied(v, "list", "profiles", pay)...)
	through(v, "/namespaces/"+pay+"/profiles").is(t, "viewer, theirs", 403, denied(v, "list", "profiles", pay)...)
	for _, sub := range []string{"merge", "top", "flamegraph", "series", "pgo"} {
		direct(v, sub+"?type=cpu&namespace="+shop).is(t, "viewer, direct "+sub, 200)
		through(v, "/namespaces/"+shop+"/profiles/-/"+sub+"?type=cpu").is(t, "viewer, "+sub, 200)
		direct(v, sub+"?type=cpu&namespace="+pay).is(t, "viewer, direct "+sub+", theirs", 403, denied(v, "get", "profiles/"+sub, pay)...)
		through(v, "/namespaces/"+pay+"/profiles/-/"+sub+"?type=cpu").is(t, "viewer, "+sub+", theirs", 403, denied(v, "get", "profiles/"+sub, pay)...)
		direct(v, sub+"?type=cpu").is(t, "viewer, direct "+sub+" of all", 403)
	}
	direct(v, "profiles/"+w.myCPU).is(t, "viewer, direct download", 200)
	direct(v, "profiles/"+w.theirCPU).is(t, "viewer, direct download, theirs", 404)
	direct(v, "profiles/"+w.theirCPU+"?meta=true").is(t, "viewer, direct facts, theirs", 404)
	through(v, "/namespaces/"+shop+"/profiles/"+w.myCPU+"/download").is(t, "viewer, download", 200)
	through(v, "/namespaces/"+shop+"/profiles/"+w.theirCPU+"/download").is(t, "viewer, download, theirs as mine", 404)
	through(v, "/namespaces/"+shop+"/profiles/"+w.theirCPU).is(t, "viewer, get, theirs as mine", 404)
	through(v, "/namespaces/"+pay+"/profiles/"+w.theirCPU).is(t, "viewer, get, theirs", 403, denied(v, "get", "profiles", pay)...)

	// rights in both, but not in all
	b := w.both
	same(t, "both, shop", names(t, direct(b, "profiles?namespace="+shop)), ids(w.mine))
	same(t, "both, pay", names(t, through(b, "/namespaces/"+pay+"/profiles")), ids(w.theirs))
	direct(b, "profiles/"+w.myCPU).is(t, "both, one", 200)
	direct(b, "profiles/"+w.theirCPU).is(t, "both, the other", 200)
	direct(b, "profiles").is(t, "both, all", 403, denied(b, "list", "profiles", "")...)
	through(b, "/profiles").is(t, "both, all", 403, denied(b, "list", "profiles", "")...)
	direct(b, "profiles?namespace=default").is(t, "both, its own", 403, denied(b, "list", "profiles", "default")...)

	// nothing
	n := w.nobody
	for _, ns := range []string{shop, pay, "default", "kube-pprof"} {
		direct(n, "profiles?namespace="+ns).is(t, "nobody, direct", 403, denied(n, "list", "profiles", ns)...)
		through(n, "/namespaces/"+ns+"/profiles").is(t, "nobody", 403, denied(n, "list", "profiles", ns)...)
	}
	for _, id := range []string{w.myCPU, w.theirCPU, "01m8ab80er000000300000002"} {
		direct(n, "profiles/"+id).is(t, "nobody, by id", 404)
		w.reg.ask(t, "DELETE", "/api/v1/profiles/"+id, n.direct, "").is(t, "nobody, delete by id", 404)
	}
	direct(n, "stats").is(t, "nobody, stats", 403)

	// the administrator's certificate, which is good for the API server only
	all := append(ids(w.mine), ids(w.theirs)...)
	for _, p := range names(t, w.admin.get(t, agg+"/profiles", "")) {
		all = slices.DeleteFunc(all, func(id string) bool { return id == p })
	}
	if len(all) != 0 {
		t.Errorf("the administrator does not see %v", all)
	}
	pair := clientPair(t, w.own.PKI("admin.crt"), w.own.PKI("admin.key"))
	registry(t, w.own, w.admin, pair).get(t, "/api/v1/profiles?namespace="+shop, "").is(t, "administrator's certificate, direct", 401)

	// the same with kubectl
	for _, c := range []struct {
		user *user
		args string
		want string // regular expression; "" = what is wanted is an error
		err  string
	}{
		{v, "get prof -n " + shop, w.myCPU, ""},
		{v, "get prof -n " + pay, "", `Error from server \(Forbidden\): profiles.data.kube-pprof.dev is forbidden: User ".*:viewer" cannot list resource "profiles"`},
		{v, "get prof -A", "", "cannot list .* at the cluster scope"},
		{v, "get prof -n " + shop + " " + w.theirCPU, "", `\(NotFound\)`},
		{v, "get --raw " + in(shop) + "/" + w.myCPU + "/download", `^\x1f`, ""},
		{v, "get --raw " + in(shop) + "/-/top?type=cpu&format=text", "flat%", ""},
		{v, "get --raw " + in(pay) + "/-/top?type=cpu&format=text", "", `cannot get resource "profiles/top"`},
		{v, "delete prof -n " + shop + " " + w.myCPU, "", `cannot delete resource "profiles"`},
		{b, "get prof -n " + pay, w.theirCPU, ""},
		{b, "get prof -A", "", "cannot list .* at the cluster scope"},
		{n, "get prof -n " + shop, "", `\(Forbidden\)`},
		{v, "auth can-i get profiles.data.kube-pprof.dev --subresource=merge -n " + shop, "^yes", ""},
		{v, "auth can-i get profiles.data.kube-pprof.dev --subresource=merge -n " + pay, "", ""},
		{v, "auth can-i delete profiles.data.kube-pprof.dev -n " + shop, "", ""},
		{w.editor, "auth can-i delete profiles.data.kube-pprof.dev -n " + shop, "^yes", ""},
	} {
		out, err := c.user.kubectl(strings.Fields(c.args)...)
		if c.want != "" && (err != nil || !regexp.MustCompile(c.want).MatchString(out)) {
			t.Errorf("%s: kubectl %s: %v, %.300s", c.user.name, c.args, err, out)
		}
		if c.want == "" && (err == nil || !regexp.MustCompile(c.err).MatchString(err.Error())) {
			t.Errorf("%s: kubectl %s: %v, %.300s", c.user.name, c.args, err, out)
		}
		if c.user == v && strings.Contains(out, pay) {
			t.Errorf("%s: kubectl %s names %s: %s", c.user.name, c.args, pay, out)
		}
	}
}

func tokensThatAreNotGood(t *testing.T, w *world) {
	good := w.sign(t, shop, "viewer", "kube-pprof", time.Now().Add(time.Hour))
	path := "/api/v1/profiles?namespace=" + shop
	w.reg.get(t, path, good).is(t, "a token signed here", 200) // so what is wrong with the next is its time alone
	for what, token := range map[string]string{
		"expired":                w.sign(t, shop, "viewer", "kube-pprof", time.Now().Add(-2*time.Minute)),
		"signed for others":      w.sign(t, shop, "viewer", "vault", time.Now().Add(time.Hour)),
		"another audience":       w.token(t, shop, "viewer", "--audience", "vault"),
		"the API server's":       w.viewer.api,
		"a changed signature":    good[:len(good)-8] + "AAAAAAAA",
		"no token":               "nonsense",
		"nothing":                "",
		"longer than a token is": strings.Repeat("a", 20000),
	} {
		for _, p := range []string{path, "/api/v1/profiles/" + w.myCPU, "/api/v1/stats", "/api/0/services", "/api/0/version", in(shop)} {
			if a := w.reg.get(t, p, token); a.status != 401 && !(len(token) > 10000 && a.status == 431) {
				t.Errorf("%s token, %s: %v, not 401", what, p, a)
			} else if strings.Contains(a.body, shop) {
				t.Errorf("%s token, %s: %v", what, p, a)
			}
		}
	}
	// what the API server does not know it does not hand on
	w.api.get(t, in(shop), w.viewer.direct).is(t, "the registry's token at the API server", 401)
	w.api.get(t, in(shop), "").is(t, "nobody at the API server", 403)
}

func impersonation(t *testing.T, w *world) {
	f.Apply(t, shop, `
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: alice}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: kube-pprof-viewer}
subjects: [{kind: Group, name: shop people, apiGroup: rbac.authorization.k8s.io}]
`)
	list := func(ns string, as ...string) (string, error) {
		return f.Kubectl(append([]string{"get", "prof", "-n", ns}, as...)...)
	}
	alice := []string{"--as=alice ü", "--as-group=qa", "--as-group=shop people"}
	f.Within(t, 10*time.Second, "alice reads by her group", func() error { _, err := list(shop, alice...); return err })
	if out, err := list(shop, "--as="+w.viewer.full()); err != nil || !strings.Contains(out, w.myCPU) {
		t.Errorf("as the viewer: %v, %s", err, out)
	}
	for what, c := range map[string]struct {
		ns string
		as []string
	}{
		"alice, theirs":                {pay, alice},
		"alice without her group":      {shop, []string{"--as=alice ü", "--as-group=qa"}},
		"alice with a group like hers": {shop, []string{"--as=alice ü", "--as-group=shop"}},
		"viewer, theirs":               {pay, []string{"--as=" + w.viewer.full()}},
		"nobody":                       {shop, []string{"--as=" + w.nobody.full()}},
		"anonymous":                    {shop, []string{"--as=system:anonymous", "--as-group=system:unauthenticated"}},
	} {
		if out, err := list(c.ns, c.as...); err == nil || !strings.Contains(err.Error(), "(Forbidden)") {
			t.Errorf("%s: %v, %s", what, err, out)
		}
	}
	// who may not impersonate does not get to the registry, and the registry itself knows of no such thing
	if out, err := w.viewer.kubectl("get", "prof", "-n", pay, "--as=admin", "--as-group=system:masters"); err == nil || !strings.Contains(err.Error(), "cannot impersonate") {
		t.Errorf("the viewer as admin: %v, %s", err, out)
	}
	w.reg.ask(t, "GET", "/api/v1/profiles?namespace="+pay, w.viewer.direct, "", "Impersonate-User: admin", "Impersonate-Group: system:masters").
		is(t, "the viewer as admin, direct", 403)
}

// requests are all that read, each with what is mine, theirs, of all, and mixed.
func (w *world) requests(t *testing.T) (direct, through []string) {
	t.Helper()
	id, q := w.theirCPU, url.QueryEscape
	fn := q(pay + ".Charge")
	wheres := []string{"", "namespace=" + shop, "namespace=" + pay, "namespace=", "service=" + w.theirService, "service=" + pay + "-pushed",
		"service=" + q(pay+"/"+w.theirService), "namespace=" + shop + "&service=" + w.theirService,
		"namespace=" + shop + "&selector=" + q("k8s.namespace="+pay), "namespace=" + shop + "&selector=" + q("k8s.namespace=~.*"),
		"namespace=" + shop + "&selector=" + q("team!=x"), "namespace=" + shop + "&namespace=" + pay, "namespace=" + pay + "&namespace=" + shop,
		"namespace=" + q(shop+"\x00"), "Namespace=" + pay, "namespace=" + shop + "&ids=" + id, "ids=" + id, "ids=" + w.myCPU + "," + id}
	lists := []string{"profiles", "services", "labels", "labels/k8s.pod", "labels/k8s.namespace", "labels/team", "labels/" + pay + "-key", "targets", "stats"}
	for _, w := range wheres {
		for _, l := range lists {
			direct = append(direct, "/api/v1/"+l+"?"+w)
		}
		for _, s := range []string{"merge?", "top?by=function&", "top?by=label=k8s.pod&", "top?format=text&", "flamegraph?", "flamegraph?format=html&", "flamegraph?format=folded&",
			"series?groupBy=k8s.pod&", "series?groupBy=k8s.namespace&", "peers?function=" + fn + "&", "pgo?format=json&", "diff?baseFrom=-1h&", "diff?baseIds=" + id + "&"} {
			direct = append(direct, "/api/v1/"+s+"type=cpu&"+w)
			if !strings.Contains(w, "namespace=") {
				through = append(through, in(shop)+"/-/"+s+"type=cpu&"+w)
			}
		}
	}
	direct = append(direct, "/api/v1/profiles/"+id, "/api/v1/profiles/"+id+"?meta=true", "/api/v1/profiles/"+id+"?namespace="+shop, "/api/v1/profiles/"+id+"?namespace="+pay)
	for _, service := range []string{w.theirService, w.myService, pay + "-pushed", q(pay + "/" + w.theirService), q(shop + "/" + w.theirService), ""} {
		for _, s := range []string{"profiles", "profiles/", "profiles/merge", "profiles/merge/"} {
			direct = append(direct, "/api/0/"+s+"?type=cpu&from=2020-01-01T00:00:00&to=2036-01-01T00:00:00&service="+service,
				"/api/0/"+s+"?type=cpu&from=2020-01-01T00:00:00&to=2036-01-01T00:00:00&service="+service+"&labels="+q("team="+pay+"-people"))
		}
	}
	direct = append(direct, "/api/0/services", "/api/0/version", "/api/0/profiles/"+id, "/api/0/profiles/"+w.myCPU+"+"+id, "/api/0/profiles/"+id+"+"+w.myCPU, "/api/0/")
	for _, ns := range []string{shop, pay} {
		base := in(ns)
		through = append(through, base, base+"?fieldSelector="+q("metadata.namespace="+pay), base+"?fieldSelector=spec.service%3D"+w.theirService,
			base+"?labelSelector="+q("k8s.namespace in ("+shop+","+pay+")"), base+"?continue="+id, base+"?continue="+id+"&limit=1", base+"?watch=true",
			base+"/"+id, base+"/"+id+"/download", base+"/"+id+"/merge", base+"/-", base+"/-/nothing", base+"/..%2F..%2F"+pay+"/profiles", base+"//profiles",
			base+"/-/services", base+"/-/labels", base+"/-/labels?key=team", base+"/-/targets", base+"/-/merge?type=cpu&ids="+id)
	}
	through = append(through, agg+"/profiles", agg+"/profiles/"+id, agg+"/profiles/-/merge?type=cpu", agg, "/openapi/v3"+agg)
	return direct, through
}

// every route of the registry's API that reads is asked.
func (w *world) coversEveryRoute(t *testing.T, direct []string) {
	t.Helper()
	text, err := os.ReadFile(f.Root() + "/docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^  (/api/\S+):\n((?:   .*\n)*)`).FindAllStringSubmatch(string(text), -1)
	if len(found) < 15 {
		t.Fatalf("docs/openapi.yaml has %d paths", len(found))
	}
	for _, m := range found {
		if !strings.Contains(m[2], "    get:\n") {
			continue
		}
		route := regexp.MustCompile(`^` + regexp.MustCompile(`\\\{.*?\\\}`).ReplaceAllString(regexp.QuoteMeta(m[1]), `[^/?]+`) + `(\?|$)`)
		if !slices.ContainsFunc(direct, route.MatchString) {
			t.Errorf("%s is not asked", m[1])
		}
	}
}

// leak is what of the other tenant is in an answer although the request did not say it.
func (w *world) leak(request string, a answer) string {
	said, _ := url.QueryUnescape(request)
	text := a.body
	for _, h := range a.header {
		text += "\n" + strings.Join(h, "\n")
	}
	words := regexp.MustCompile(pay+`[\w.-]*`).FindAllString(said, -1)
	sort.Slice(words, func(i, j int) bool { return len(words[i]) > len(words[j]) })
	for _, word := range words {
		text = regexp.MustCompile(`(^|[^\w.-])`+regexp.QuoteMeta(word)+`($|[^\w.-]|\.?\s)`).ReplaceAllString(text, "$1$2")
	}
	if i := strings.Index(text, pay); i >= 0 {
		return text[max(0, i-60):min(len(text), i+60)]
	}
	for _, p := range w.theirs {
		if strings.Contains(text, p.ID) && !strings.Contains(said, p.ID) {
			return p.ID
		}
	}
	return ""
}

func nothingOfOthersInAnyAnswer(t *testing.T, w *world) {
	direct, through := w.requests(t)
	w.coversEveryRoute(t, direct)
	statuses := map[int]int{}
	check := func(user *user, s *server, path, token string) {
		a, err := s.try("GET", path, token, "")
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
		statuses[a.status]++
		if a.status >= 500 {
			t.Errorf("%s: %s: %v", user.name, path, a)
		}
		if l := w.leak(path, a); l != "" {
			t.Errorf("%s: %s tells %q", user.name, path, l)
		}
		// named or not, what is theirs is no success
		if strings.Contains(path, "namespace="+pay) || strings.Contains(path, "/namespaces/"+pay+"/") || strings.HasPrefix(path, "/api/v1/profiles/"+w.theirCPU) {
			if a.status < 400 {
				t.Errorf("%s: %s: %v", user.name, path, a)
			}
		}
		if user == w.nobody && a.status == 200 && !strings.HasPrefix(path, "/api/0/version") && path != agg && !strings.HasPrefix(path, "/openapi") {
			t.Errorf("%s: %s: %v", user.name, path, a)
		}
	}
	for _, u := range []*user{w.viewer, w.editor, w.nobody} {
		for _, path := range direct {
			check(u, w.reg, path, u.direct)
		}
		for _, path := range through {
			check(u, w.api, path, u.api)
		}
	}
	t.Logf("%d requests for each of three users: %v", len(direct)+len(through), statuses)
	if statuses[200] < 50 {
		t.Errorf("only %d were answered with something", statuses[200])
	}

	// the control: to who sees all the same requests tell much
	leaks := 0
	for _, path := range direct {
		if w.leak(path, w.reg.get(t, path, w.pusher)) != "" {
			leaks++
		}
	}
	if t.Logf("who sees all is told of %s in %d of %d answers", pay, leaks, len(direct)); leaks < 50 {
		t.Errorf("a leak would not be seen: who sees all is told of %s in %d answers only", pay, leaks)
	}

	// by time neither: an id of theirs takes as long as one that is nobody's, and that is not less than 100 ms
	for _, id := range []string{w.theirCPU, "01m8ab80er000000300000002"} {
		began := time.Now()
		w.reg.get(t, "/api/v1/profiles/"+id, w.viewer.direct).is(t, "by id", 404, fmt.Sprintf("profile '%s' is not here", id))
		if took := time.Since(began); took < 95*time.Millisecond { // milliseconds of two clocks
			t.Errorf("that %s is not there was said after %s", id, took)
		}
	}
}

// Who reads much costs the API server a question for each user, verb and namespace in half a minute.
func manyReads(t *testing.T, w *world) {
	const readers, each = 8, 250
	questions := func() (n int) {
		for _, m := range regexp.MustCompile(`(?m)^kube_pprof_registry_reviews_total\{.*\} (\d+)$`).FindAllStringSubmatch(f.Metrics(t, "registry"), -1) {
			one, _ := strconv.Atoi(m[1])
			n += one
		}
		return n
	}
	asks := []struct {
		user *user
		ns   string
	}{{w.viewer, shop}, {w.editor, shop}, {w.both, shop}, {w.both, pay}}
	before, began := questions(), time.Now()
	if before < len(asks) {
		t.Errorf("the metrics say that only %d questions were asked so far", before)
	}
	var wait sync.WaitGroup
	for range readers {
		wait.Go(func() {
			for i := range each {
				who := asks[i%len(asks)]
				if a, err := w.reg.try("GET", "/api/v1/profiles?limit=1&namespace="+who.ns, who.user.direct, ""); err != nil || a.status != 200 {
					t.Errorf("%s reads %s: %v, %v", who.user.name, who.ns, a, err)
					return
				}
			}
		})
	}
	wait.Wait()
	took := time.Since(began)
	// of rights and of tokens; beside them the controller asks, and who waits to be told that a token is good no more
	n, most := questions()-before, 2*len(asks)*(1+int(took/(30*time.Second)))+20
	if t.Logf("%d reads in %s cost %d questions", readers*each, took, n); n > most {
		t.Errorf("%d reads cost %d questions, more than %d", readers*each, n, most)
	}
}
