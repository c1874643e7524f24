package plugin

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	f "kube-pprof.dev/e2e/framework"
)

// direct asks the registry itself, not the API server, as from a build machine that has a token and no kubeconfig: --registry.
func direct(t *testing.T, w *world) {
	host := "kube-pprof-registry." + f.Namespace + ".svc"
	ip := f.K(t, "get", "service", "-n", f.Namespace, "kube-pprof-registry", "-o", "jsonpath={.spec.clusterIP}")
	proxy, tunnels := w.proxy(t, map[string]string{host + ":443": ip + ":443"})
	dir := t.TempDir()
	ca := write(t, filepath.Join(dir, "ca"), f.K(t, "get", "secret", "-n", f.Namespace, "kube-pprof-registry-tls", "-o", `go-template={{index .data "ca.crt" | base64decode}}`), 0o600)
	token := write(t, filepath.Join(dir, "token"), f.K(t, "create", "token", "view", "-n", w.ns, "--audience", "kube-pprof")+"\n", 0o600)
	editor, err := f.ReaderToken()
	if err != nil {
		t.Fatal(err)
	}
	url := "https://" + host
	c := call{dir: dir, bare: true, user: &user{config: filepath.Join(dir, "none")}, env: []string{"HTTPS_PROXY=" + proxy}}
	with := func(line string) []string {
		return append(strings.Fields(line), "-n", w.ns, "--registry", url, "--registry-ca", ca, "--registry-token-file", token)
	}
	for line, says := range map[string]string{
		"get profiles --service ten": `(?m)^0\S{24} +ten +cpu `, "get services": `(?m)^ten +`, "top ten --cum": regexp.QuoteMeta(hot), "merge ten -O direct.pb.gz": "",
		"download " + w.ids[0] + " -O one.pb.gz": "", "flame ten --format folded": regexp.QuoteMeta(hot), "pgo ten -O direct.pgo": "",
	} {
		if r := w.ok(t, c, with(line)...); !regexp.MustCompile(says).MatchString(r.out) {
			t.Errorf("%q is wanted: %v", says, r)
		}
	}
	opens(t, filepath.Join(dir, "direct.pb.gz"))
	if tunnels.Load() == 0 {
		t.Error("HTTPS_PROXY was not asked: the registry is reached in another way")
	}
	w.fails(t, c, 1, `Forbidden.*cannot create`, with("load direct.pb.gz --service direct")...)
	own := c
	own.env = append(own.env, "KUBE_PPROF_REGISTRY="+url, "KUBE_PPROF_TOKEN="+editor)
	w.ok(t, own, "load", "direct.pb.gz", "--service", "direct", "-n", w.ns, "--registry-ca", ca)
	w.ok(t, own, "top", "direct", "-n", w.ns, "--registry-ca", ca)

	// what is wrong is told
	w.fails(t, c, 1, `(?i)certificate`, "get", "services", "-n", w.ns, "--registry", url, "--registry-token-file", token)
	r := w.fails(t, c, 1, `(?i)unauthorized`, "get", "services", "-n", w.ns, "--registry", url, "--registry-ca", ca)
	if strings.Contains(r.err, "eyJ") {
		t.Errorf("a token is told: %v", r)
	}
	w.fails(t, c, 1, `https`, "get", "services", "--registry", "http://"+host, "--registry-token-file", token)
	w.fails(t, c, 1, `Forbidden`, "get", "services", "-n", w.other, "--registry", url, "--registry-ca", ca, "--registry-token-file", token)

	// as kube-profefe's plugin was called
	for _, from := range []string{"24h", "-24h"} {
		r := w.ok(t, c, "get", "profiles", "--profefe-hostport", url, "--service", "ten", "--profile-type", "cpu", "--from", from, "--to", "now",
			"-n", w.ns, "--registry-ca", ca, "--registry-token-file", token)
		if !strings.Contains(r.out, w.ids[0]) || !strings.Contains(r.err, "--profefe-hostport is called --registry here") || !strings.Contains(r.err, "--profile-type is called --type") {
			t.Errorf("kube-profefe's flags: %v", r)
		}
	}
}
