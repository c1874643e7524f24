package charttest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	podsecurity "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"kube-pprof.dev/e2e/framework"
)

// Judged by the code that judges in the API server.
func TestEveryPodIsRestricted(t *testing.T) {
	judge, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	level := podsecurity.LevelVersion{Level: podsecurity.LevelRestricted, Version: podsecurity.LatestVersion()}
	n := 0
	for _, in := range matrix(t) {
		for _, o := range in.objects {
			pod := o.pod()
			if pod == nil {
				continue
			}
			n++
			data, err := json.Marshal(pod)
			if err != nil {
				t.Fatal(err)
			}
			var typed corev1.PodTemplateSpec
			if err := json.Unmarshal(data, &typed); err != nil {
				t.Fatal(err)
			}
			if got := policy.AggregateCheckResults(judge.EvaluatePod(level, &metav1.ObjectMeta{}, &typed.Spec)); !got.Allowed {
				t.Errorf("%s: %s %s: %s", in.name, o.kind(), o.name(), got.ForbiddenDetail())
			}
			for _, c := range typed.Spec.Containers {
				if sc := c.SecurityContext; sc == nil || sc.ReadOnlyRootFilesystem == nil || !*sc.ReadOnlyRootFilesystem {
					t.Errorf("%s: %s %s: container %s can write its root", in.name, o.kind(), o.name(), c.Name)
				}
				if c.TerminationMessagePolicy != corev1.TerminationMessageFallbackToLogsOnError {
					t.Errorf("%s: %s %s: kubectl describe does not show why container %s ended", in.name, o.kind(), o.name(), c.Name)
				}
				if c.Resources.Requests.Cpu().IsZero() || c.Resources.Limits.Memory().IsZero() {
					t.Errorf("%s: %s %s: container %s asks for no CPU, or has no limit of memory", in.name, o.kind(), o.name(), c.Name)
				}
			}
			if typed.Spec.EnableServiceLinks == nil || *typed.Spec.EnableServiceLinks {
				t.Errorf("%s: %s %s: its environment has variables of Services, which look like our options", in.name, o.kind(), o.name())
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d pods", n)
	}
}

func TestWhatIsOfANamespaceSaysWhich(t *testing.T) {
	cluster := []string{"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "ClusterProfilingPolicy"}
	for _, in := range matrix(t) {
		for _, o := range in.objects {
			ns := text(o, "metadata", "namespace")
			if slices.Contains(cluster, o.kind()) {
				if ns != "" {
					t.Errorf("%s: %s %s is in %s", in.name, o.kind(), o.name(), ns)
				}
			} else if ns == "" && !strings.HasSuffix(o.name(), "-more") && !strings.HasSuffix(o.name(), "-text") {
				t.Errorf("%s: %s %s is in no namespace", in.name, o.kind(), o.name())
			} else if in.name == "everything" && !slices.Contains([]string{"elsewhere", "kube-system", ""}, ns) {
				t.Errorf("%s: namespaceOverride: %s %s is in %s", in.name, o.kind(), o.name(), ns)
			}
		}
	}
}

func TestLabels(t *testing.T) {
	for _, in := range matrix(t) {
		for _, o := range in.objects {
			if strings.HasSuffix(o.name(), "-more") || strings.HasSuffix(o.name(), "-text") { // extraObjects
				continue
			}
			for _, key := range []string{"name", "instance", "version", "part-of", "managed-by"} {
				if text(o, "metadata", "labels", "app.kubernetes.io/"+key) == "" {
					t.Errorf("%s: %s %s has no label %s", in.name, o.kind(), o.name(), key)
				}
			}
			if in.name == "everything" && text(o, "metadata", "labels", "team") != "platform" {
				t.Errorf("%s: %s %s has no common labels", in.name, o.kind(), o.name())
			}
			// immutable: nothing in them that an upgrade changes
			for key := range at2(o, "spec", "selector", "matchLabels") {
				if !slices.Contains([]string{"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}, key) {
					t.Errorf("%s: %s %s selects by %s", in.name, o.kind(), o.name(), key)
				}
			}
		}
	}
}

func at2(v any, keys ...string) map[string]any { m, _ := at(v, keys...).(map[string]any); return m }

func TestTheCRDsAreTheRepositorys(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(framework.Root(), "crds/*.yaml"))
	have, _ := filepath.Glob(filepath.Join(chart, "files/crds/*"))
	if len(files) == 0 || len(have) != len(files) {
		t.Errorf("%d files in the chart's files/crds, %d in crds", len(have), len(files))
	}
	if _, err := os.Stat(filepath.Join(chart, "crds")); err == nil {
		t.Error("helm never changes what is in a chart's crds/")
	}
	all := parse(t, rendered(t))
	for _, file := range files {
		a, errA := os.ReadFile(file)
		b, errB := os.ReadFile(filepath.Join(chart, "files/crds", filepath.Base(file)))
		if errA != nil || errB != nil || string(a) != string(b) {
			t.Errorf("%s is not the same in the chart: cp crds/*.yaml charts/kube-pprof/files/crds/", filepath.Base(file))
		}
		want := readYAML(t, file)
		got := one(t, all, "CustomResourceDefinition", want.name())
		if text(got, "metadata", "annotations", "helm.sh/resource-policy") != "keep" {
			t.Errorf("%s goes when the release is uninstalled, and everybody's policies with it", got.name())
		}
		if g, w := fmt.Sprint(got["spec"]), fmt.Sprint(want["spec"]); g != w {
			t.Errorf("%s is rendered as something else", got.name())
		}
	}
	if len(of(parse(t, rendered(t, "crds.enabled=false")), "CustomResourceDefinition")) != 0 {
		t.Error("crds.enabled=false")
	}
	if text(of(parse(t, rendered(t, "crds.keep=false")), "CustomResourceDefinition")[0], "metadata", "annotations") != "" {
		t.Error("crds.keep=false")
	}
}

// applied is the policy annotated-pods as the Job applies it.
func applied(t *testing.T, all []manifest) (manifest, []any) {
	t.Helper()
	job := one(t, all, "Job", "kube-pprof-policy")
	args := items(items(job, "spec", "template", "spec", "containers")[0], "args")
	var o manifest
	if err := json.Unmarshal([]byte(strings.TrimPrefix(args[1].(string), "--policy=")), &o); err != nil {
		t.Fatalf("%v: %v", err, args)
	}
	return o, args
}

func TestAnnotatedPodsCanBeBounded(t *testing.T) {
	all := parse(t, rendered(t, "annotatedPods.spec.sampling.replicas=1", "annotatedPods.profiles[0].type=heap"))
	o, args := applied(t, all)
	if text(o, "spec", "annotationPolicy") != "Require" || text(o, "spec", "sampling", "replicas") != "1" || text(items(o, "spec", "profiles")[0], "type") != "heap" || len(args) != 2 {
		t.Errorf("%v %v", o, args)
	}
	c := checker{}
	c.check(policySchemas(t)["kube-pprof.dev/v1alpha1/ClusterProfilingPolicy"], map[string]any(o), "annotated-pods")
	if c.errs != nil {
		t.Error(c.errs)
	}
	if job := one(t, all, "Job", "kube-pprof-policy"); job.hook() != "post-install,post-upgrade,post-rollback" {
		t.Errorf("it is applied at %s", job.hook())
	}
	if len(of(all, "ClusterProfilingPolicy")) != 0 {
		t.Error("a release cannot have an object of a kind that it brings: helm looks for the kind first")
	}
	off := parse(t, rendered(t, "annotatedPods.enabled=false"))
	if _, args := applied(t, off); args[len(args)-1] != "--delete" {
		t.Errorf("it can be left out: %v", args)
	}
	if job := one(t, off, "Job", "kube-pprof-policy"); job.hook() != "post-rollback" {
		t.Errorf("where there is none, none is deleted: %s", job.hook())
	}
	// what is quoted twice arrives
	for _, in := range matrix(t) {
		if in.name == "everything" {
			args := items(items(one(t, in.objects, "Job", "profiles-policy"), "spec", "template", "spec", "containers")[0], "args")
			var o manifest
			if err := json.Unmarshal([]byte(strings.TrimPrefix(args[1].(string), "--policy=")), &o); err != nil || text(o, "spec", "labels", "static", "quote") != `"<$(HOME)>" 'x'` {
				t.Errorf("%v: %v", err, args)
			}
		}
	}
}

func TestUninstallingTakesTheAPIServiceAwayFirst(t *testing.T) {
	all := parse(t, rendered(t))
	if len(of(all, "APIService")) != 0 {
		t.Error("the controller makes the APIService, when the registry answers")
	}
	said := fmt.Sprint(one(t, all, "Job", "kube-pprof-uninstall"))
	if !strings.Contains(said, "remove-api-service") || !strings.Contains(said, "--delete") {
		t.Errorf("it removes APIService and policy: %s", said)
	}
	for _, kind := range []string{"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "Job"} {
		if o := one(t, all, kind, "kube-pprof-uninstall"); o.hook() != "pre-delete" || !strings.Contains(text(o, "metadata", "annotations", "helm.sh/hook-delete-policy"), "hook-succeeded") {
			t.Errorf("%s: %s", kind, o.hook())
		}
	}
	multi := parse(t, rendered(t, "watchNamespaces={a}"))
	if s := fmt.Sprint(multi); strings.Contains(s, "pre-delete") || strings.Contains(s, "apiservices") || !strings.Contains(s, "--aggregated-api=false") {
		t.Error("with watchNamespaces there is no APIService")
	}
	// without a registry the policy still has to go
	none := one(t, parse(t, rendered(t, "registry.enabled=false", "controller.registryURL=https://x")), "Job", "kube-pprof-uninstall")
	if s := fmt.Sprint(none); strings.Contains(s, "remove-api-service") || !strings.Contains(s, "--delete") {
		t.Errorf("without a registry: %s", s)
	}
}

func TestWatchNamespacesNeedsNoClusterRole(t *testing.T) {
	all := parse(t, rendered(t, "watchNamespaces={a,b}", "controller.replicaCount=2"))
	if found := of(all, "ClusterRole"); len(found) != 0 {
		t.Errorf("%d ClusterRoles", len(found))
	}
	bindings := of(all, "ClusterRoleBinding")
	if len(bindings) != 1 || text(bindings[0], "roleRef", "name") != "system:auth-delegator" {
		t.Errorf("%v", bindings)
	}
	for _, name := range []string{"controller-watch", "credentials", "view", "edit", "viewer", "editor", "admin"} {
		var in []string
		for _, role := range of(all, "Role", "kube-pprof-"+name) {
			in = append(in, text(role, "metadata", "namespace"))
			if strings.Contains(fmt.Sprint(role["metadata"]), "aggregate-to") {
				t.Errorf("Roles are not aggregated: %s", role.name())
			}
		}
		if !slices.Equal(in, []string{"a", "b"}) {
			t.Errorf("Role %s is in %v", name, in)
		}
	}
}

// A role may do what the code does, and nothing has a verb or resource of everything.
func TestNobodyHasEverything(t *testing.T) {
	for _, in := range matrix(t) {
		for _, role := range append(of(in.objects, "Role"), of(in.objects, "ClusterRole")...) {
			for _, rule := range items(role, "rules") {
				said := fmt.Sprint(rule)
				for _, bad := range []string{"*", "escalate", "impersonate", " bind", "pods/exec", "pods/proxy", "nodes/proxy", "tokenreviews"} {
					if strings.Contains(said, bad) {
						t.Errorf("%s: %s %s: %s", in.name, role.kind(), role.name(), said)
					}
				}
				if strings.Contains(said, "secrets") && at(rule, "resourceNames") == nil && !strings.HasSuffix(role.name(), "-credentials") {
					t.Errorf("%s: %s %s: all Secrets", in.name, role.kind(), role.name())
				}
			}
		}
		for _, b := range append(of(in.objects, "RoleBinding"), of(in.objects, "ClusterRoleBinding")...) {
			for _, unbound := range []string{"-credentials", "-view", "-edit", "-viewer", "-editor", "-admin"} {
				if strings.HasSuffix(text(b, "roleRef", "name"), unbound) {
					t.Errorf("%s: %s is bound", in.name, text(b, "roleRef", "name"))
				}
			}
		}
	}
}

func TestDisruptionAndSpread(t *testing.T) {
	single := parse(t, rendered(t))
	if len(of(single, "PodDisruptionBudget")) != 0 || at(one(t, single, "Deployment", "kube-pprof-controller").pod(), "spec", "topologySpreadConstraints") != nil {
		t.Error("a budget for one pod keeps its node from being drained, and there is nothing to spread")
	}
	two := parse(t, rendered(t, "controller.replicaCount=2"))
	budget := one(t, two, "PodDisruptionBudget", "kube-pprof-controller")
	if text(budget, "spec", "maxUnavailable") != "1" || at(budget, "spec", "minAvailable") != nil {
		t.Errorf("%v", budget)
	}
	pod := one(t, two, "Deployment", "kube-pprof-controller").pod()
	spread := items(pod, "spec", "topologySpreadConstraints")
	if len(spread) != 1 || text(spread[0], "topologyKey") != "kubernetes.io/hostname" || text(spread[0], "whenUnsatisfiable") != "ScheduleAnyway" {
		t.Errorf("%v", spread)
	}
	for _, selector := range []any{at(budget, "spec", "selector", "matchLabels"), at(spread[0], "labelSelector", "matchLabels")} {
		for key, value := range selector.(map[string]any) {
			if at(pod, "metadata", "labels", key) != value {
				t.Errorf("%s=%s is not on the pods", key, value)
			}
		}
	}
	if len(of(parse(t, rendered(t, "controller.replicaCount=2", "controller.podDisruptionBudget.enabled=false")), "PodDisruptionBudget")) != 0 {
		t.Error("it can be left out")
	}
	registry := one(t, parse(t, rendered(t, "registry.podDisruptionBudget.enabled=true")), "PodDisruptionBudget", "kube-pprof-registry")
	if text(registry, "spec", "minAvailable") != "1" {
		t.Errorf("%v", registry)
	}
}

func TestNetworkPolicies(t *testing.T) {
	if len(of(parse(t, rendered(t)), "NetworkPolicy")) != 0 {
		t.Error("they are for who asks for them")
	}
	all := parse(t, rendered(t, "networkPolicy.enabled=true"))
	pods := map[string]map[string]any{}
	for _, o := range all {
		if pod := o.pod(); pod != nil {
			pods[o.kind()+" "+o.name()] = pod
		}
	}
	covered := map[string]bool{}
	for _, np := range of(all, "NetworkPolicy") {
		if fmt.Sprint(at(np, "spec", "policyTypes")) != "[Ingress Egress]" {
			t.Errorf("%s: %v", np.name(), at(np, "spec", "policyTypes"))
		}
		for what, pod := range pods {
			matches := true
			for key, value := range at2(np, "spec", "podSelector", "matchLabels") {
				matches = matches && at(pod, "metadata", "labels", key) == value
			}
			covered[what] = covered[what] || matches
		}
		// ports of ours are named as the pods name them
		for _, rule := range items(np, "spec", "ingress") {
			for _, port := range items(rule, "ports") {
				if name := text(port, "port"); name != "api" && name != "metrics" {
					t.Errorf("%s lets in at %s", np.name(), name)
				}
			}
		}
	}
	for what := range pods {
		if !covered[what] {
			t.Errorf("no NetworkPolicy is for %s", what)
		}
	}
	// the registry reaches the API server and names, and no pod
	for _, rule := range items(one(t, all, "NetworkPolicy", "kube-pprof-registry"), "spec", "egress") {
		if at(rule, "to") != nil || at(rule, "ports") == nil {
			t.Errorf("the registry may go to %v", rule)
		}
	}
	if s := fmt.Sprint(one(t, all, "NetworkPolicy", "kube-pprof-controller")["spec"]); !strings.Contains(s, "map[namespaceSelector:map[]]") {
		t.Errorf("the controller has to reach the pods of all namespaces: %s", s)
	}
	some := fmt.Sprint(one(t, parse(t, rendered(t, "networkPolicy.enabled=true", "watchNamespaces={a,b}")), "NetworkPolicy", "kube-pprof-controller")["spec"])
	if strings.Contains(some, "map[namespaceSelector:map[]]") || !strings.Contains(some, "kubernetes.io/metadata.name operator:In values:[a b]") {
		t.Errorf("with watchNamespaces only those: %s", some)
	}
}

// Who may ask is said: the pod of helm test may go on.
func TestNetworkPoliciesLetTheTestIn(t *testing.T) {
	all := parse(t, rendered(t, "networkPolicy.enabled=true", "networkPolicy.metricsFrom[0].ipBlock.cidr=192.0.2.1/32", "networkPolicy.clientsFrom[0].ipBlock.cidr=192.0.2.2/32"))
	var test map[string]any
	for _, o := range of(all, "Pod") {
		if o.hook() == "test" {
			test = at2(o, "metadata", "labels")
		}
	}
	if len(test) == 0 {
		t.Fatal("no pod of helm test")
	}
	rules := 0
	for _, name := range []string{"kube-pprof-controller", "kube-pprof-registry"} {
		for _, rule := range items(one(t, all, "NetworkPolicy", name), "spec", "ingress") {
			rules++
			in, others := false, false
			for _, from := range items(rule, "from") {
				labels := at2(from, "podSelector", "matchLabels")
				matches := len(labels) > 0
				for key, value := range labels {
					matches = matches && test[key] == value
				}
				in = in || matches
				others = others || strings.HasPrefix(text(from, "ipBlock", "cidr"), "192.0.2.")
			}
			if !in || !others {
				t.Errorf("%s: helm test and who was named may ask, but: %v", name, rule)
			}
		}
	}
	if rules != 3 {
		t.Errorf("%d rules", rules)
	}
}

func TestHelmTest(t *testing.T) {
	for _, in := range matrix(t) {
		var tests []manifest
		for _, o := range in.objects {
			if o.hook() == "test" {
				tests = append(tests, o)
				if p := text(o, "metadata", "annotations", "helm.sh/hook-delete-policy"); p != "before-hook-creation,hook-succeeded" {
					t.Errorf("%s: %s stays: %s", in.name, o.name(), p)
				}
			}
		}
		pods := of(tests, "Pod")
		if len(pods) != 1 {
			t.Fatalf("%s: %d pods", in.name, len(pods))
		}
		said := fmt.Sprint(items(items(pods[0], "spec", "containers")[0], "args"))
		for _, s := range of(tests, "Service") {
			if !strings.Contains(said, "http://"+s.name()+"."+text(s, "metadata", "namespace")+".svc:8080/readyz") {
				t.Errorf("%s: %s is not asked: %s", in.name, s.name(), said)
			}
		}
		if text(pods[0], "spec", "automountServiceAccountToken") != "false" {
			t.Errorf("%s: it has a token", in.name)
		}
	}
}

func TestVolumes(t *testing.T) {
	volume := func(all []manifest) any {
		set := one(t, all, "StatefulSet", "kube-pprof-registry")
		for _, v := range items(set, "spec", "template", "spec", "volumes") {
			if text(v, "name") == "data" {
				return v
			}
		}
		return items(set, "spec", "volumeClaimTemplates")
	}
	if claims, ok := volume(parse(t, rendered(t))).([]any); !ok || len(claims) != 1 || text(claims[0], "spec", "resources", "requests", "storage") != "10Gi" {
		t.Errorf("a claim of its own: %v", claims)
	}
	if v := volume(parse(t, rendered(t, "registry.persistence.enabled=false"))); text(v, "emptyDir", "sizeLimit") != "2Gi" {
		t.Errorf("an emptyDir: %v", v)
	}
	if v := volume(parse(t, rendered(t, "registry.persistence.existingClaim=mine"))); text(v, "persistentVolumeClaim", "claimName") != "mine" {
		t.Errorf("somebody's claim: %v", v)
	}
}

func TestImages(t *testing.T) {
	version := text(readYAML(t, filepath.Join(chart, "Chart.yaml")), "appVersion")
	for _, c := range []struct {
		want string
		set  []string
	}{
		{"kube-pprof:" + version, nil},
		{"r.example/kube-pprof:" + version, []string{"image.registry=r.example"}},
		{"kube-pprof:x", []string{"image.tag=x"}},
		{"kube-pprof@sha256:" + strings.Repeat("a", 64), []string{"image.tag=x", "image.digest=sha256:" + strings.Repeat("a", 64)}},
	} {
		for _, o := range parse(t, rendered(t, c.set...)) {
			for _, container := range items(o.pod(), "spec", "containers") {
				if got := text(container, "image"); got != c.want {
					t.Errorf("%v: %s %s has the image %s", c.set, o.kind(), o.name(), got)
				}
			}
		}
	}
}

// Rendered twice nothing changes: no random values, no times.
func TestTheSameEachTime(t *testing.T) {
	if rendered(t) != rendered(t) {
		t.Error("it is not")
	}
}
