// Package charttest checks what the chart renders, without a cluster.
package charttest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kube-pprof.dev/e2e/framework"
	"kube-pprof.dev/e2e/harness"
)

var chart = filepath.Join(framework.Root(), "charts/kube-pprof")

func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	program := harness.FindTools().Helm
	if _, err := os.Stat(program); err != nil {
		t.Skip("helm is not built: run kp-cluster build")
	}
	cmd := exec.Command(program, args...)
	dir := t.TempDir()
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+dir, "HELM_CONFIG_HOME="+dir, "HELM_DATA_HOME="+dir)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func render(t *testing.T, set ...string) (string, error) {
	t.Helper()
	args := []string{"template", "kube-pprof", chart, "--kube-version", "1.29", "-n", "prof"}
	for _, s := range set {
		args = append(args, "--set", s)
	}
	return helm(t, args...)
}

func rendered(t *testing.T, set ...string) string {
	t.Helper()
	out, err := render(t, set...)
	if err != nil {
		t.Fatal(out)
	}
	return out
}

func TestLint(t *testing.T) {
	if out, err := helm(t, "lint", "--strict", chart); err != nil {
		t.Fatal(out)
	}
}

func TestTheRegistryAsksWhoItIs(t *testing.T) {
	for _, set := range [][]string{nil, {"watchNamespaces={a,b}"}, {"registry.tls.mode=none", "aggregatedAPI.enabled=false"}} {
		out := rendered(t, set...)
		if !strings.Contains(out, "- --authentication=Kubernetes\n") || strings.Contains(out, "--insecure-allow-everyone") {
			t.Errorf("%v: the registry is open", set)
		}
		if !strings.Contains(out, "audience: kube-pprof") || !strings.Contains(out, "resources: [profiles/captures]") || !strings.Contains(out, "system:auth-delegator") {
			t.Errorf("%v: the controller cannot deliver", set)
		}
	}
}

func TestWaysToTLS(t *testing.T) {
	self := rendered(t)
	for _, want := range []string{"--manage-certificates=true", "registry-url: https://kube-pprof-registry.prof.svc:443", "secretName: kube-pprof-registry-tls\n",
		"--aggregated-api=true", "--api-service=true", "resourceNames: [kube-pprof-registry-ca, kube-pprof-registry-tls]"} {
		if !strings.Contains(self, want) {
			t.Errorf("selfSigned: no %q", want)
		}
	}
	secrets := of(parse(t, self), "Secret")
	for _, secret := range secrets {
		if len(secret) != 3 || text(secret, "metadata", "annotations", "helm.sh/resource-policy") != "keep" {
			t.Errorf("a Secret with data, or one that goes: %v", secret)
		}
	}
	if len(secrets) != 2 || strings.Contains(self, "resources: [secrets]\n  verbs: [create]") {
		t.Error("selfSigned: two empty Secrets that stay, and no right to create any")
	}
	for _, set := range [][]string{{"registry.tls.mode=certManager", "registry.tls.issuerRef.name=x"}, {"registry.tls.mode=secret", "registry.tls.secretName=mine"}} {
		out := rendered(t, set...)
		if !strings.Contains(out, "--manage-certificates=false") || !strings.Contains(out, "--registry-ca-file=/etc/kube-pprof-ca/ca.crt") || strings.Contains(out, "kube-pprof-registry-ca") || strings.Contains(out, "kind: Secret\n") {
			t.Errorf("%v: the controller must not make certificates, and has to know the CA", set)
		}
		if strings.Contains(out, "kind: Certificate") != strings.Contains(set[0], "certManager") {
			t.Errorf("%v: Certificate", set)
		}
	}
	if out := rendered(t, "registry.tls.clientCertificate=true"); !strings.Contains(out, "--client-certificate=true") || !strings.Contains(out, "--controller-client-ca-file=/etc/kube-pprof-tls/ca.crt") {
		t.Error("clientCertificate: one shows it, the other asks for it")
	}
	for set, say := range map[string]string{"registry.tls.mode=secret": "registry.tls.secretName", "registry.tls.mode=certManager": "registry.tls.issuerRef.name",
		"registry.tls.mode=none": "aggregatedAPI.enabled=false"} {
		if out, err := render(t, set); err == nil || !strings.Contains(out, say) {
			t.Errorf("%s must be refused with the way out: %s", set, out)
		}
	}
}

func TestRolesOfPeople(t *testing.T) {
	out := rendered(t)
	for _, name := range []string{"viewer", "editor", "admin"} {
		if !strings.Contains(out, "kind: ClusterRole\nmetadata:\n  name: kube-pprof-"+name+"\n") {
			t.Errorf("no role %s", name)
		}
	}
	viewer := out[strings.Index(out, "  name: kube-pprof-viewer\n"):]
	viewer = viewer[:strings.Index(viewer, "\n---")]
	if strings.Contains(viewer, "create") || strings.Contains(viewer, "delete") || !strings.Contains(viewer, `aggregate-to-view: "true"`) {
		t.Errorf("viewers only look: %s", viewer)
	}
	if strings.Contains(rendered(t, "rbac.aggregateClusterRoles=false"), "aggregate-to-") {
		t.Error("nothing is aggregated when that is turned off")
	}
}

func TestARegistryElsewhere(t *testing.T) {
	if out, err := render(t, "registry.enabled=false"); err == nil || !strings.Contains(out, "controller.registryURL") {
		t.Fatalf("must be refused: %s", out)
	}
	out, err := render(t, "registry.enabled=false", "controller.registryURL=http://profiles.example:10100")
	if err != nil || strings.Contains(out, "StatefulSet") || !strings.Contains(out, "registry-url: http://profiles.example:10100") {
		t.Fatal(out)
	}
}

func TestUnknownAndWrongValuesAreRefused(t *testing.T) {
	for _, set := range []string{"contoller.logLevel=info", "controller.logLevel=loud", "registry.service.port=0", "image.digest=sha256:12",
		"registry.config.retetion=5d", "controller.config.max-capture=5", "registry.config.config=x", "registry.config.keep-original=always", "registry.config.max-merges=0", "registry.config.retention=5x", "registry.config.max-bytes=a lot",
		"crds.keeep=false", "controller.tolerations[0].efect=NoSchedule", "controller.topologySpreadConstraints[0].maxSkew=0", "controller.podDisruptionBudget.maxUnavailable=half",
		"networkPolicy.apiServer.cidrs={everywhere}", "networkPolicy.metricsFrom[0].pods=x", "registry.persistence.accessModes={ReadOnlyMany}", "registry.resources.limit.memory=1Gi",
		"controller.livenessProbe.period=3", "controller.extraEnv[0].value=x", "registry.extraVolumeMounts[0].mountPath=relative", "controller.dnsPolicy=Mine", "extraObjects={1}"} {
		if out, err := render(t, set); err == nil {
			t.Errorf("%s was taken", set)
		} else if !strings.Contains(out, "values don't meet the specifications") {
			t.Errorf("%s: %s", set, out)
		}
	}
}

func TestFlagsReachTheConfiguration(t *testing.T) {
	values := filepath.Join(t.TempDir(), "values.yaml")
	text := `{registry: {config: {retention: 14d, max-retention: 0, max-bytes: 10000000000, max-profiles-per-service: 1000000,
  seal-after: 1h30m, keep-original: Always, max-merges: 8, accept-empty: true}}, controller: {config: {captures-per-second-per-namespace: 0.5, denied-cidrs: [10.0.0.0/8, 10.1.0.0/16]}}}`
	if err := os.WriteFile(values, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := helm(t, "template", "kube-pprof", chart, "--kube-version", "1.29", "-f", values)
	if err != nil {
		t.Fatal(out)
	}
	for _, want := range []string{"retention: 14d", "max-retention: 0", "max-bytes: 10000000000", "max-profiles-per-service: 1000000", "seal-after: 1h30m",
		"keep-original: Always", "max-merges: 8", "accept-empty: true", "captures-per-second-per-namespace: 0.5", "denied-cidrs: [10.0.0.0/8, 10.1.0.0/16]"} {
		if !strings.Contains(out, "\n    "+want+"\n") {
			t.Errorf("no line %q in %s", want, out)
		}
	}
}

// A value of null takes back what an earlier upgrade has set: --reset-then-reuse-values --set registry.config.retention=null.
func TestNullIsAFlagThatIsNotSet(t *testing.T) {
	flags := configFlags(t)
	for _, role := range []string{"controller", "registry"} {
		var set []string
		for _, flag := range flags[role] {
			set = append(set, role+".config."+flag+"=null")
		}
		if out, err := render(t, set...); err != nil || configOf(t, out, role) != configOf(t, rendered(t), role) {
			t.Errorf("%s: with all flags null: %s", role, out)
		}
	}
	if out := rendered(t, "registry.persistence.enabled=false", "registry.config.max-bytes=null"); !strings.Contains(out, "\n    max-bytes: 1800Mi\n") {
		t.Error("max-bytes of an emptyDir is not bounded where it was taken back")
	}
}

func configOf(t *testing.T, out, role string) string {
	t.Helper()
	for _, o := range of(parse(t, out), "ConfigMap") {
		if o.name() == "kube-pprof-"+role {
			return strings.TrimSpace(text(o, "data", "config.yaml"))
		}
	}
	t.Fatalf("no configuration of the %s", role)
	return ""
}

// configFlags are the flags that a file of configuration may set, by role.
func configFlags(t *testing.T) map[string][]string {
	t.Helper()
	flags := map[string][]string{}
	for _, role := range []string{"controller", "registry"} {
		source, err := os.ReadFile(filepath.Join(framework.Root(), "controller", role+"_options.c"))
		if err != nil {
			t.Fatal(err)
		}
		_, rows, _ := strings.Cut(string(source), "rows[] = {\n")
		rows, _, _ = strings.Cut(rows, "\n};")
		for _, row := range regexp.MustCompile(`(?m)^    \{"([a-z0-9-]+)"`).FindAllStringSubmatch(rows, -1) {
			if row[1] != "config" {
				flags[role] = append(flags[role], row[1])
			}
		}
		if slices.Sort(flags[role]); len(flags[role]) < 20 {
			t.Fatalf("only %d flags of the %s", len(flags[role]), role)
		}
	}
	return flags
}

func TestTheSchemaKnowsEveryFlag(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(chart, "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	for role, flags := range configFlags(t) {
		var known []string
		for name := range at2(schema, "properties", role, "properties", "config", "properties") {
			known = append(known, name)
		}
		if slices.Sort(known); !slices.Equal(known, flags) {
			t.Errorf("%s.config: the schema has %v, the program %v", role, known, flags)
		}
	}
}

func TestWhatCannotWorkIsRefusedWithASentence(t *testing.T) {
	for set, say := range map[string]string{"registry.config.retetion=5d": "at '/registry/config': additional properties 'retetion' not allowed", "registry.config.retention=5": "a duration needs a unit", "controller.config.min-interval=30": "a duration needs a unit",
		"controller.spool.bytes=1Gi": "--set controller.spool.volumeSize=SIZE", "controller.spool.volumeSize=500M": "controller.spool.bytes is 512Mi"} {
		if out, err := render(t, set); err == nil || !strings.Contains(out, say) {
			t.Errorf("%s must be refused with the way out: %s", set, out)
		}
	}
	rendered(t, "registry.config.retention=0", "controller.spool.bytes=1.5Gi", "controller.spool.volumeSize=1600Mi")
}

func TestReadsWaitForTheControllerThatTells(t *testing.T) {
	const line = "\n    await-namespaces: "
	if out := rendered(t); !strings.Contains(out, line+"30s\n") {
		t.Errorf("the registry does not wait: %s", out)
	}
	if out := rendered(t, "registry.config.await-namespaces=5m"); !strings.Contains(out, line+"5m\n") || strings.Contains(out, line+"30s") {
		t.Error("one's own value counts")
	}
	for _, set := range []string{"watchNamespaces={a}", "controller.registryURL=https://profiles.example"} {
		if strings.Contains(rendered(t, set), line) {
			t.Errorf("%s: nobody tells this registry of all namespaces, so it must not wait", set)
		}
	}
}

func TestLeastRights(t *testing.T) {
	out := rendered(t)
	role := out[strings.Index(out, "kind: ClusterRole\n"):]
	role = role[:strings.Index(role, "\n---")]
	for _, bad := range []string{"secrets", `"*"`, "create, delete", "pods/exec", "pods/proxy", "nodes/"} {
		if strings.Contains(strings.ReplaceAll(role, "# No right on Secrets", ""), "resources: ["+bad) {
			t.Errorf("the controller's role has %s:\n%s", bad, role)
		}
	}
	if !strings.Contains(role+"\n", "- apiGroups: [networking.k8s.io]\n  resources: [servicecidrs]\n  verbs: [list]\n") {
		t.Errorf("the controller's role must let it list the service ranges, and no more of them:\n%s", role)
	}
	if strings.Count(role, "nodes") != 2 || !strings.Contains(role, "  resources: [nodes]\n  verbs: [get]\n") {
		t.Errorf("of nodes the controller gets one at a time, for the architecture, and no more:\n%s", role)
	}
	multi := rendered(t, "watchNamespaces={a,b}")
	if strings.Contains(multi, "nodes") {
		t.Error("nodes cannot be read without cluster-wide rights")
	}
	if strings.Contains(multi, "servicecidrs") {
		t.Error("with watchNamespaces there must be no right on ServiceCIDRs")
	}
	if strings.Count(multi, "kind: ClusterRoleBinding") != 1 || strings.Count(multi, "kind: RoleBinding") != 4 {
		t.Error("with watchNamespaces there must be a RoleBinding per namespace, one for the registry, one for the Lease, and nothing cluster-wide but reviews")
	}
	if strings.Contains(multi, "apply-policy") {
		t.Error("annotated-pods cannot be served without cluster-wide rights")
	}
}

func TestReplicasElectALeader(t *testing.T) {
	one, two := rendered(t), rendered(t, "controller.replicaCount=2")
	for _, text := range []string{one, two} { // with one as well: a Deployment scales its old template before it rolls
		if !strings.Contains(text, "- --leader-elect=true\n") || strings.Count(text, "name: kube-pprof-controller-lease") != 3 || !strings.Contains(text, "[leases]") {
			t.Error("there is no Lease, or no right on it")
		}
	}
	if !strings.Contains(one, "- --lease-goes-on=true\n") || !strings.Contains(one, "type: Recreate") {
		t.Error("one replica goes on without the API server, and ends before the next starts")
	}
	if !strings.Contains(two, "- --lease-goes-on=false\n") || strings.Contains(two, "type: Recreate") {
		t.Error("of two replicas one waits to take over")
	}
	if !strings.Contains(rendered(t, "controller.replicaCount=0"), "- --lease-goes-on=true\n") {
		t.Error("none is to become one")
	}
}
