package access

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

// A tenant who may write in his namespace does no harm to another's.
func tenants(t *testing.T, w *world) {
	e := w.editor
	post := func(u *user, query, body string, headers ...string) answer {
		return w.reg.ask(t, "POST", "/api/v1/profiles?type=cpu&"+query, u.direct, body, headers...)
	}
	body := profile(shop + ".Poison")
	post(e, "service=x&namespace="+pay, body).is(t, "push into another", 403, `cannot create resource \"profiles\"`, pay)
	post(e, "service=x&namespace="+shop+"&namespace="+pay, body).is(t, "push into two", 400)
	post(w.viewer, "service=x&namespace="+shop, body).is(t, "push by who may only view", 403)
	post(w.nobody, "service=x", body).is(t, "push by nobody", 403)
	w.reg.ask(t, "POST", "/api/0/profiles?service=x&type=cpu&namespace="+pay, e.direct, body).is(t, "old push into another", 403)
	// what only the controller says of a profile a push does not
	for _, label := range []string{"k8s.namespace", "k8s.pod", "k8s.workload"} {
		post(e, "service=x&labels="+label+"%3D"+pay, body).is(t, "push with "+label, 400, "the label '"+label+"' cannot be pushed")
		w.reg.ask(t, "POST", "/api/0/profiles?service=x&type=cpu&labels="+label+"%3D"+pay, e.direct, body).is(t, "old push with "+label, 400, "cannot be pushed")
	}
	for what, words := range map[string]string{"a parameter": "pod=" + pay + "-0", "a field": "k8s.pod=" + pay} {
		a := post(e, "service="+w.theirService+"&"+words, body)
		if a.status == 400 {
			continue // refused is well
		}
		var made struct{ ID string }
		if a.status != 201 || json.Unmarshal([]byte(a.body), &made) != nil {
			t.Errorf("push with %s: %v", what, a)
			continue
		}
		facts := w.reg.get(t, "/api/v1/profiles/"+made.ID+"?meta=true", w.pusher)
		var p f.Profile
		if err := json.Unmarshal([]byte(facts.body), &p); err != nil || p.Namespace != shop || p.Pod != "" || p.Workload != "" {
			t.Errorf("push with %s became %v", what, facts)
		}
		for _, selector := range []string{"k8s.namespace%3D" + pay, "k8s.pod%3D" + pay + "-0", "k8s.pod", "k8s.workload%3D~.*" + pay + ".*"} {
			if a := w.reg.get(t, "/api/v1/profiles?limit=1000&selector="+selector, w.pusher); a.status != 200 || strings.Contains(a.body, made.ID) {
				t.Errorf("push with %s: %s finds it: %v", what, selector, a)
			}
		}
	}
	// names like the other's: for whoever may see both they stay apart
	for _, service := range []string{w.theirService, pay + "%2F" + w.theirService} {
		post(e, "service="+service, body).is(t, "push as "+service, 201)
		w.reg.ask(t, "POST", "/api/0/profiles?type=cpu&service="+service, e.direct, body).is(t, "old push as "+service, 200)
	}

	const capture = "Content-Type: application/vnd.kube-pprof.capture"
	for _, u := range []*user{e, w.viewer, w.both, w.nobody} {
		for path, body := range map[string]string{"profiles": body, "targets": "[]", "namespaces": `{"items":[]}`, "admin/seal": ""} {
			w.reg.ask(t, "POST", "/api/v1/"+path, u.direct, body, capture).is(t, u.name+": what is the controller's, "+path, 403, "cannot create resource")
		}
	}
	for _, id := range ids(w.theirs) {
		w.reg.ask(t, "DELETE", "/api/v1/profiles/"+id, e.direct, "").is(t, "delete theirs", 404)
		w.reg.ask(t, "DELETE", "/api/0/profiles/"+id, e.direct, "").is(t, "old delete theirs", 404)
		w.reg.ask(t, "DELETE", "/api/v1/profiles/"+id+"?namespace="+shop, e.direct, "").is(t, "delete theirs as mine", 404)
		w.api.ask(t, "DELETE", in(shop)+"/"+id, e.api, "").is(t, "delete theirs as mine through the API server", 404)
		w.api.ask(t, "DELETE", in(pay)+"/"+id, e.api, "").is(t, "delete theirs through the API server", 403)
	}
	for _, ns := range []string{shop, pay} {
		w.api.ask(t, "DELETE", in(ns), e.api, "").is(t, "delete all of "+ns, 403, "deletecollection")
		w.api.ask(t, "DELETE", in(ns)+"?labelSelector=a", e.api, "").is(t, "delete some of "+ns, 403, "deletecollection")
	}

	// eviction: more than a service may keep, under the other's name
	for range keptPerService + 5 {
		post(e, "service="+w.theirService, body).is(t, "push much", 201)
	}
	same(t, "what the other one has afterwards", names(t, w.reg.get(t, "/api/v1/profiles?limit=1000&namespace="+pay, w.both.direct)), ids(w.theirs))
	if a := w.reg.get(t, "/api/v1/top?type=cpu&by=function&namespace="+pay, w.both.direct); strings.Contains(a.body, "Poison") {
		t.Errorf("the other one's sum is poisoned: %v", a)
	}
	if a := w.reg.get(t, "/api/0/profiles/merge?type=cpu&from=2020-01-01T00:00:00&to=2036-01-01T00:00:00&service="+pay+"%2F"+w.theirService, w.pusher); a.status != 200 {
		t.Errorf("who sees all sees theirs: %v", a)
	}
	// what may be deleted
	id := w.push(t, e.direct, "service=mine", shop+".Gone")
	w.reg.ask(t, "DELETE", "/api/v1/profiles/"+id, e.direct, "").is(t, "delete mine", 204)
}

// evicted waits until what a tenant had too much of has gone, which happens from time to time, and notes what he has then.
func evicted(t *testing.T, w *world) {
	f.Within(t, 60*time.Second, "the oldest of the one who pushed much have gone", func() (err error) {
		if w.mine, err = f.List("namespace=" + shop); err != nil {
			return err
		}
		kept := map[string]int{}
		for _, p := range w.mine {
			if kept[p.Service]++; kept[p.Service] > keptPerService {
				return fmt.Errorf("more than %d of %s are kept", keptPerService, p.Service)
			}
		}
		return nil
	})
	same(t, "what the other one has", names(t, w.reg.get(t, "/api/v1/profiles?limit=1000&namespace="+pay, w.both.direct)), ids(w.theirs))
}

// follow reads events until stop says so or the time is over, and returns what came.
func (w *world) follow(ctx context.Context, token, query string, started chan<- int, stop func(seen string) bool) (string, error) {
	request, err := http.NewRequestWithContext(ctx, "GET", "https://"+w.reg.name+"/api/v1/profiles?watch=true&"+query, nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	client := http.Client{Transport: w.reg.client.Transport} // without a limit of its own
	response, err := client.Do(request)
	if err != nil {
		close(started)
		return "", err
	}
	defer response.Body.Close()
	started <- response.StatusCode
	var seen strings.Builder
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		seen.WriteString(lines.Text() + "\n")
		if stop(seen.String()) {
			return seen.String(), nil
		}
	}
	return seen.String(), ctx.Err()
}

func watching(t *testing.T, w *world) {
	for _, query := range []string{"", "namespace=" + pay, "namespace=" + shop + "&namespace=" + pay} {
		if a := w.reg.get(t, "/api/v1/profiles?watch=true&"+query, w.viewer.direct); a.status != 403 && a.status != 400 {
			t.Errorf("watch %s: %v", query, a)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	started, done := make(chan int, 1), make(chan string, 1)
	var last string
	go func() {
		seen, err := w.follow(ctx, w.viewer.direct, "namespace="+shop, started, func(seen string) bool { return strings.Contains(seen, shop+"-last") })
		if err != nil {
			seen += err.Error()
		}
		done <- seen
	}()
	if status := <-started; status != 200 {
		t.Fatalf("watch: %d", status)
	}
	theirs := w.push(t, w.pusher, "namespace="+pay+"&service="+pay+"-watched", pay+".New")
	last = w.push(t, w.pusher, "namespace="+shop+"&service="+shop+"-last", shop+".New")
	if seen := <-done; !strings.Contains(seen, last) || strings.Contains(seen, pay) || strings.Contains(seen, theirs) {
		t.Errorf("a watch of %s told %s", shop, seen)
	}
	w.reg.ask(t, "DELETE", "/api/v1/profiles/"+theirs, w.pusher, "").is(t, "delete", 204)
	w.reg.ask(t, "DELETE", "/api/v1/profiles/"+last, w.pusher, "").is(t, "delete", 204)
}

// revoke takes a token and a right away at once; what it returns looks, later, how long they were good.
func revoke(t *testing.T, w *world) func(t *testing.T, w *world) {
	f.Apply(t, shop, binding(shop, "view", shop, "leaver")+binding(shop, "view", shop, "demoted"))
	path := "/api/v1/profiles?limit=1&namespace=" + shop
	leaver, demoted := w.token(t, shop, "leaver", "--audience", "kube-pprof"), w.token(t, shop, "demoted", "--audience", "kube-pprof")
	for _, token := range []string{leaver, demoted} {
		f.Within(t, 10*time.Second, "both read", func() error {
			if a := w.reg.get(t, path, token); a.status != 200 {
				return fmt.Errorf("%v", a)
			}
			return nil
		})
	}
	type end struct {
		what string
		took time.Duration
		last string
	}
	ends := make(chan end, 3)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	t.Cleanup(cancel)
	started := make(chan int, 1)
	began := time.Now()
	go func() {
		seen, err := w.follow(ctx, demoted, "namespace="+shop, started, func(string) bool { return false })
		ends <- end{"watch", time.Since(began), fmt.Sprint(seen, err)}
	}()
	if status := <-started; status != 200 {
		t.Fatalf("watch: %d", status)
	}
	f.K(t, "delete", "serviceaccount", "leaver", "-n", shop)
	f.K(t, "delete", "rolebinding", shop+"-demoted-view", "-n", shop)
	began = time.Now()
	for what, token := range map[string]string{"token": leaver, "right": demoted} {
		go func() {
			for ctx.Err() == nil {
				if a, err := w.reg.try("GET", path, token, ""); err != nil || a.status != 200 {
					ends <- end{what, time.Since(began), fmt.Sprint(a, err)}
					return
				}
				time.Sleep(300 * time.Millisecond)
			}
			ends <- end{what, time.Since(began), "still good"}
		}()
	}
	return func(t *testing.T, w *world) {
		var seen []string
		for range 3 {
			e := <-ends
			seen = append(seen, e.what)
			t.Logf("%s: ended after %s", e.what, e.took)
			limit, status := 60*time.Second, "401"
			switch e.what {
			case "right":
				limit, status = 30*time.Second, "403"
			case "watch":
				limit, status = 60*time.Second, "" // asked again every 30 s, of rights that are kept for 30 s
			}
			if e.took > limit+f.Slack || !strings.HasPrefix(e.last, status) {
				t.Errorf("%s: after %s: %.300s", e.what, e.took, e.last)
			}
		}
		slices.Sort(seen)
		same(t, "what ended", seen, []string{"right", "token", "watch"})
	}
}
