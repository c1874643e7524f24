package plugin

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	f "kube-pprof.dev/e2e/framework"
)

func kubeconfigs(t *testing.T, w *world) {
	look := []string{"get", "services"}
	dir := t.TempDir()
	copyTo := func(name, to string) {
		data, err := os.ReadFile(w.own.PKI(name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, to), string(data), 0o600)
	}
	with := func(files ...string) call {
		return call{dir: filepath.Join(dir, "work"), env: []string{"KUBECONFIG=" + strings.Join(files, ":")}}
	}
	write(t, filepath.Join(dir, "work/.keep"), "", 0o600)

	// three files, each with a part, paths in them from where they lie
	copyTo("ca.crt", "one/pki/ca.crt")
	copyTo("admin.crt", "two/me.crt")
	copyTo("admin.key", "two/me.key")
	write(t, filepath.Join(dir, "one/config"), fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","clusters":[{"name":"c","cluster":{"server":"https://%s","certificate-authority":"pki/ca.crt"}}]}`, w.own.APIAddress()), 0o600)
	write(t, filepath.Join(dir, "two/config"), "apiVersion: v1\nkind: Config\nusers:\n- name: u\n  user: {client-certificate: me.crt, client-key: ./me.key}\n", 0o600)
	write(t, filepath.Join(dir, "three/config"), "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- context:\n    cluster: c\n    user: u\n    namespace: "+w.ns+"\n  name: c\n", 0o600)
	one, two, three := filepath.Join(dir, "one/config"), filepath.Join(dir, "two/config"), filepath.Join(dir, "three/config")
	for _, c := range []call{with(one, two, three), with("../three/config", "../nowhere", "../two/config", "../one/config")} {
		if r := w.ok(t, c, look...); !strings.Contains(r.out, "ten") {
			t.Errorf("KUBECONFIG of three files: %v", r)
		}
	}
	// what the first file says counts
	first := write(t, filepath.Join(dir, "first"), "apiVersion: v1\nkind: Config\ncurrent-context: else\ncontexts:\n- name: else\n  context: {cluster: c, user: u, namespace: "+w.other+"}\n", 0o600)
	w.fails(t, with(first, one, two, three), 0, "No services found in namespace "+w.other, look...)
	w.ok(t, with(first, one, two, three), append(look, "--context", "c")...)

	// what is wrong is told
	none := write(t, filepath.Join(dir, "none"), strings.Replace(string(read(t, w.view.config)), `"current-context":"c",`, "", 1), 0o600)
	w.fails(t, with(none), 1, `(?i)current[- ]context.*\bc\b`, look...)
	w.ok(t, with(none), append(look, "--context", "c")...)
	w.fails(t, with(none), 1, `(?i)context.*nobody|nobody.*context`, append(look, "--context", "nobody")...)
	w.fails(t, with(w.view.config), 1, `nowhere`, append(look, "--kubeconfig", filepath.Join(dir, "nowhere"))...)
	wrong := write(t, filepath.Join(dir, "wrong"), kubeconfig(fmt.Sprintf(`"server":"https://%s","certificate-authority":%q`, w.own.APIAddress(), filepath.Join(w.dir, "tls.crt")), `"token":"t"`, w.ns), 0o600)
	w.fails(t, with(wrong), 1, `(?i)certificate`, look...)
	w.ok(t, with(wrong), append(look, "--insecure-skip-tls-verify", "--certificate-authority=", "--token", w.view.token)...)
	bad := write(t, filepath.Join(dir, "bad"), kubeconfig(w.server(), `"token":"bad"`, w.ns), 0o600)
	w.fails(t, with(bad), 1, `(?i)unauthorized`, look...)
	// flags win
	w.ok(t, with(bad), append(look, "--token", w.view.token)...)
	w.ok(t, call{user: w.view, env: []string{"KUBECONFIG=" + bad}}, append(look, "--kubeconfig", w.view.config)...)
	file := write(t, filepath.Join(dir, "token"), w.view.token+"\n", 0o600)
	w.ok(t, with(write(t, filepath.Join(dir, "file"), kubeconfig(w.server(), fmt.Sprintf(`"tokenFile":%q`, file), w.ns), 0o600)), look...)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// listen takes connections on this machine's loopback.
func listen(t *testing.T, address string, serve func(conn net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return l.Addr().String()
}

// pipe joins a connection with one in the cluster's network.
func (w *world) pipe(client net.Conn, from io.Reader, address string) {
	defer client.Close()
	server, err := w.own.Dial(context.Background(), "tcp", address)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, from)
		server.Close()
	}()
	_, _ = io.Copy(client, server)
}

// proxy leads from this machine's own network into the cluster's, for who knows its password; names are told to it as in /etc/hosts.
func (w *world) proxy(t *testing.T, names map[string]string) (url string, tunnels *atomic.Int32) {
	t.Helper()
	tunnels = &atomic.Int32{}
	address := listen(t, "127.0.0.1:0", func(conn net.Conn) {
		in := bufio.NewReader(conn)
		request, err := http.ReadRequest(in)
		if err != nil || request.Method != http.MethodConnect || request.Header.Get("Proxy-Authorization") != "Basic bWU6c2VjcmV0" {
			fmt.Fprint(conn, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
			conn.Close()
			return
		}
		to := request.Host
		if known, ok := names[to]; ok {
			to = known
		}
		tunnels.Add(1)
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n\r\n")
		w.pipe(conn, in, to)
	})
	return "http://me:secret@" + address, tunnels
}

// From this machine's own network the API server is reached only by what is told here.
func reachingTheServer(t *testing.T, w *world) {
	look := []string{"get", "services"}
	url, tunnels := w.proxy(t, nil)
	in := func(cluster string) call {
		file := write(t, filepath.Join(t.TempDir(), "config"), kubeconfig(cluster, fmt.Sprintf(`"token":%q`, w.view.token), w.ns), 0o600)
		return call{user: &user{config: file}, bare: true}
	}
	c := in(w.server())
	c.env = []string{"HTTPS_PROXY=" + url}
	w.ok(t, c, look...)
	if tunnels.Load() == 0 {
		t.Error("HTTPS_PROXY was not asked")
	}
	tunnels.Store(0)
	c = in(w.server() + fmt.Sprintf(`,"proxy-url":%q`, url))
	w.ok(t, c, look...)
	w.ok(t, c, "capture", "same", "-t", "heap")
	if tunnels.Load() < 2 {
		t.Errorf("proxy-url was asked %d times", tunnels.Load())
	}
	// WebSockets too
	both := &user{config: write(t, filepath.Join(t.TempDir(), "config"), kubeconfig(w.server()+fmt.Sprintf(`,"proxy-url":%q`, url), fmt.Sprintf(`"token":%q`, w.forward.token), w.ns), 0o600)}
	w.ok(t, call{user: both, bare: true}, "capture", "same", "-t", "heap", "--via", "port-forward")
	r := w.fails(t, in(w.server()+fmt.Sprintf(`,"proxy-url":%q`, strings.Replace(url, "secret", "wrong", 1))), 1, `(?i)proxy|407`, look...)
	if strings.Contains(r.err, "wrong") {
		t.Errorf("the proxy's password is told: %v", r)
	}

	// a certificate that is of another name
	relay := listen(t, "127.0.0.2:0", func(conn net.Conn) { w.pipe(conn, conn, w.own.APIAddress()) })
	cluster := fmt.Sprintf(`"server":"https://%s","certificate-authority":%q`, relay, w.own.PKI("ca.crt"))
	w.fails(t, in(cluster), 1, `(?i)certificate|name`, look...)
	w.ok(t, in(cluster+`,"tls-server-name":"kubernetes.default.svc"`), look...)
	w.ok(t, in(cluster), append(look, "--tls-server-name", "kubernetes.default.svc")...)
	w.fails(t, in(cluster+`,"tls-server-name":"elsewhere.example"`), 1, `(?i)certificate|name`, look...)
	w.fails(t, in(`"server":"https://127.0.0.3:1"`), 1, `(?i)refused`, look...)
}

// execPlugins: programs that log in, as clouds have them.
func execPlugins(t *testing.T, w *world) {
	dir := t.TempDir()
	with := func(script string) call {
		program := write(t, filepath.Join(dir, fmt.Sprintf("login-%d", len(files(t, dir)))), "#!/bin/sh\n"+script, 0o755)
		config := write(t, program+".config", kubeconfig(w.server(), fmt.Sprintf(`"exec":{"apiVersion":"client.authentication.k8s.io/v1","command":%q,"interactiveMode":"Never","provideClusterInfo":true,"env":[{"name":"WHO","value":"me"}],"args":["login"]}`, "./"+filepath.Base(program)), w.ns), 0o600)
		return call{user: &user{config: config}}
	}
	credential := func(name string, status map[string]string) string {
		text, err := json.Marshal(map[string]any{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status})
		if err != nil {
			t.Fatal(err)
		}
		return write(t, filepath.Join(dir, name), string(text), 0o600)
	}
	look := []string{"get", "services"}

	// a certificate; with what kubectl hands to such programs
	cert := credential("cert", map[string]string{"clientCertificateData": string(read(t, w.own.PKI("admin.crt"))), "clientKeyData": string(read(t, w.own.PKI("admin.key")))})
	c := with(`[ "$1" = login ] && [ "$WHO" = me ] && echo "$KUBERNETES_EXEC_INFO" | grep -q '"server"' && cat ` + cert + "\n")
	if r := w.ok(t, c, look...); !strings.Contains(r.out, "ten") {
		t.Error(r)
	}
	w.ok(t, c, "capture", w.pods[2], "-t", "heap")
	w.ok(t, c, "capture", w.pods[2], "-t", "heap", "--via", "port-forward")

	// a token that is over is asked for again, once
	old, fresh := credential("old", map[string]string{"token": "over"}), credential("fresh", map[string]string{"token": w.view.token})
	count := filepath.Join(dir, "count")
	c = with(fmt.Sprintf("echo >>%[1]s; if [ $(wc -l <%[1]s) = 1 ]; then cat %[2]s; else cat %[3]s; fi\n", count, old, fresh))
	w.ok(t, c, look...)
	if n := len(read(t, count)); n != 2 {
		t.Errorf("it was run %d times", n)
	}
	_ = os.Remove(count)
	c = with(fmt.Sprintf("echo >>%s; cat %s\n", count, old))
	w.fails(t, c, 1, "(?i)unauthorized", look...)
	if n := len(read(t, count)); n != 2 {
		t.Errorf("where the token stays bad it was run %d times", n)
	}

	// what goes wrong is told
	w.fails(t, with("echo please log in >&2; exit 3\n"), 1, `(?s)please log in.*3|3.*please log in`, look...)
	c = with("")
	c.user.config = write(t, filepath.Join(dir, "missing"), kubeconfig(w.server(), `"exec":{"apiVersion":"client.authentication.k8s.io/v1","command":"no-such-login","interactiveMode":"Never","installHint":"get it from us"}`, w.ns), 0o600)
	w.fails(t, c, 1, `(?s)no-such-login.*get it from us`, look...)
}

func impersonation(t *testing.T, w *world) {
	as := "system:serviceaccount:" + w.ns + ":"
	admin := call{user: w.admin}
	w.ok(t, admin, "get", "services", "-n", w.ns, "--as", as+"view")
	w.fails(t, admin, 1, `Forbidden.*User "`+as+`nothing" cannot list resource "profiles"`, "get", "profiles", "-n", w.ns, "--as", as+"nothing")
	w.ok(t, admin, "get", "profiles", "-n", w.ns, "--as", "somebody", "--as-group", "system:masters")
	w.ok(t, admin, "capture", "same", "-t", "heap", "-n", w.ns, "--as", as+"forward")
	w.fails(t, call{user: w.view}, 1, `Forbidden.*User "`+as+`view" cannot impersonate`, "get", "services", "--as", "somebody")
}

// Requests are shown, what nobody should see is not.
func verbose(t *testing.T, w *world) {
	registry := f.K(t, "create", "token", "view", "-n", w.ns, "--audience", "kube-pprof")
	for _, level := range []string{"6", "7", "8", "9"} {
		r := w.ok(t, call{user: w.view, env: []string{"KUBE_PPROF_TOKEN=" + registry}}, "get", "services", "-v="+level)
		if !strings.Contains(r.err, "https://"+w.own.APIAddress()+"/apis/data.kube-pprof.dev/v1alpha1/namespaces/"+w.ns) &&
			!strings.Contains(r.err, "https://10.77.0.1") {
			t.Errorf("-v=%s shows no request: %v", level, r)
		}
		if level == "7" && !strings.Contains(r.err, "Authorization: Bearer <masked>") {
			t.Errorf("-v=7 shows no masked Authorization: %v", r)
		}
		r = w.ok(t, call{user: w.forward}, "capture", "same", "-t", "heap", "-v="+level)
		for _, u := range []*user{w.view, w.forward} {
			for _, part := range strings.Split(u.token, ".")[1:] {
				if strings.Contains(r.out+r.err, part) {
					t.Errorf("-v=%s shows a token", level)
				}
			}
		}
	}
}
