package access

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	f "kube-pprof.dev/e2e/framework"
)

func apiServerAway(t *testing.T, w *world) {
	path := "/api/v1/profiles?limit=1&namespace=" + shop
	stranger := w.token(t, shop, "viewer", "--audience", "kube-pprof") // nobody has shown it yet
	// as new as can be: the answers that are kept are renewed
	f.Within(t, 70*time.Second, "a new answer is kept", func() error {
		if a := w.reg.get(t, path, w.editor.direct); a.status != 200 {
			return fmt.Errorf("%v", a)
		}
		return nil
	})
	ctx := context.Background()
	if err := w.own.Stop(ctx, "0", "apiserver", "KILL"); err != nil {
		t.Fatal(err)
	}
	away := time.Now()
	back := sync.OnceFunc(func() {
		if err := w.own.Start(ctx, "0", "apiserver"); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(back)
	w.reg.get(t, path, w.editor.direct).is(t, "a read without the API server", 200)
	w.reg.get(t, path, stranger).is(t, "a stranger without the API server", 503)
	w.reg.get(t, "/api/v1/profiles?namespace="+pay, w.editor.direct).is(t, "another's without the API server", 503)
	w.reg.get(t, path, "").is(t, "nobody without the API server", 401)
	answers := 0
	f.Within(t, 30*time.Second+f.Slack, "it fails closed", func() error {
		a := w.reg.get(t, path, w.editor.direct)
		if answers++; a.status == 200 {
			return fmt.Errorf("still answered")
		}
		a.is(t, "without the API server", 503)
		return nil
	})
	t.Logf("%d answers in %s without the API server", answers, time.Since(away))
	w.reg.get(t, "/api/0/services", w.editor.direct).is(t, "an old agent without the API server", 429)
	back()
	f.Within(t, 60*time.Second, "it answers again", func() error {
		if a := w.reg.get(t, path, w.editor.direct); a.status != 200 {
			return fmt.Errorf("%v", a)
		}
		return nil
	})
	w.reg.get(t, path, stranger).is(t, "the stranger", 200)
	w.untilAvailable(t, 60*time.Second)
	// its own parts come again later and later, up to half a minute: kubelet, then controllers and scheduler
	f.K(t, "delete", "pod", "-n", shop, "-l", "app="+w.myService)
	f.Within(t, 180*time.Second, "a pod is replaced", func() error {
		_, err := f.Kubectl("wait", "pod", "-n", shop, "-l", "app="+w.myService, "--for=condition=Ready", "--timeout=60s")
		return err
	})
	if restarts := f.K(t, "get", "pods", "-n", f.Namespace, "-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}"); strings.Trim(restarts, "0 ") != "" {
		t.Errorf("restarted meanwhile: %s", restarts)
	}
}
