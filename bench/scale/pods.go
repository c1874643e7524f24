package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
)

const (
	nNamespaces = 20
	nNodes      = 200
	posters     = 16
	podNetwork  = "10.100.0.0/16"
)

// world is the pods of a cluster as clusterloader2 makes them: a quarter in workloads of 250, a quarter in workloads of 30, half in
// workloads of 5. They are posted with what a kubelet would have written into their status; none runs.
type world struct {
	client *kubernetes.Clientset
	pods   int
	since  metav1.Time
}

func newWorld(config *rest.Config, pods int) (*world, error) {
	c := rest.CopyConfig(config)
	c.QPS, c.Burst = -1, 0
	c.ContentType, c.AcceptContentTypes = "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf"
	client, err := kubernetes.NewForConfig(c)
	return &world{client: client, pods: pods, since: metav1.NewTime(time.Now().Add(-48 * time.Hour).Truncate(time.Second))}, err
}

// workloadOf tells the workload of pod i.
func (w *world) workloadOf(i int) int {
	quarter := w.pods / 4
	large, middle := (quarter+249)/250, (quarter+29)/30
	switch {
	case i < quarter:
		return i / 250
	case i < 2*quarter:
		return large + (i-quarter)/30
	}
	return large + middle + (i-2*quarter)/5
}

func namespaceOf(workload int) string { return fmt.Sprintf("team-%02d", workload%nNamespaces) }
func podName(i, workload int) string {
	return fmt.Sprintf("service-%04d-%010x-%05x", workload, workload*2654435761%(1<<38), i)
}
func podIP(i int) string { return fmt.Sprintf("10.100.%d.%d", i/250, i%250+1) }

// pod is of the size that pods have: about 8 KB as JSON, with its managedFields.
func (w *world) pod(i int) *corev1.Pod {
	workload := w.workloadOf(i)
	app, hash := fmt.Sprintf("service-%04d", workload), fmt.Sprintf("%010x", workload*2654435761%(1<<38))
	container := func(name, image string, port int32, portName string, n int) corev1.Container {
		c := corev1.Container{
			Name: name, Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
			Ports: []corev1.ContainerPort{{Name: "http-" + name, ContainerPort: port}, {Name: portName, ContainerPort: port + 1000}},
			Resources: corev1.ResourceRequirements{
				Limits:   corev1.ResourceList{"memory": resource.MustParse("512Mi")},
				Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("256Mi")},
			},
			ReadinessProbe: &corev1.Probe{PeriodSeconds: 10,
				ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromInt32(port)}}},
			SecurityContext: &corev1.SecurityContext{RunAsNonRoot: ptr.To(true), ReadOnlyRootFilesystem: ptr.To(true)},
			VolumeMounts:    []corev1.VolumeMount{{Name: "config", MountPath: "/etc/" + name}, {Name: "tmp", MountPath: "/tmp"}},
		}
		for k := range n {
			c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("%s_SETTING_%d", portName, k), Value: fmt.Sprintf("value number %d of %s", k, app)})
		}
		return c
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: podName(i, workload), Namespace: namespaceOf(workload),
			Labels: map[string]string{"app.kubernetes.io/name": app, "app.kubernetes.io/instance": app, "app.kubernetes.io/version": "1.2.3",
				"team": namespaceOf(workload), "pod-template-hash": hash},
			Annotations: map[string]string{"checksum/config": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
				"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: app + "-" + hash,
				UID: types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012x", workload)), Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true)}},
		},
		Spec: corev1.PodSpec{
			NodeName: fmt.Sprintf("node-%03d", i%nNodes), AutomountServiceAccountToken: ptr.To(false),
			Containers: []corev1.Container{
				container("main", "registry.example.com/shop/"+app+":v1.2.3", 8080, "admin", 10),
				container("proxy", "registry.example.com/mesh/proxy:v9.8.7", 5060, "pprof", 4),
			},
			Volumes: []corev1.Volume{
				{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: app}}}},
				{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			},
		},
	}
}

func (w *world) status(i int) corev1.PodStatus {
	digest := fmt.Sprintf("sha256:%064x", w.workloadOf(i)+1)
	container := func(n int, name, image string) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: name, Image: image, ImageID: image + "@" + digest, Ready: true, Started: ptr.To(true),
			ContainerID: fmt.Sprintf("containerd://%064x", i*10+n), State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: w.since}}}
	}
	condition := func(kind corev1.PodConditionType) corev1.PodCondition {
		return corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: w.since}
	}
	host := fmt.Sprintf("192.0.2.%d", i%nNodes+1)
	return corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: podIP(i), PodIPs: []corev1.PodIP{{IP: podIP(i)}}, HostIP: host, HostIPs: []corev1.HostIP{{IP: host}},
		StartTime: ptr.To(w.since), QOSClass: corev1.PodQOSBurstable,
		Conditions: []corev1.PodCondition{condition("PodReadyToStartContainers"), condition(corev1.PodInitialized), condition(corev1.PodReady),
			condition(corev1.ContainersReady), condition(corev1.PodScheduled)},
		ContainerStatuses: []corev1.ContainerStatus{container(1, "main", "registry.example.com/shop/service:v1.2.3"),
			container(2, "proxy", "registry.example.com/mesh/proxy:v9.8.7")},
	}
}

// parallel calls do(i) for all i below n, some at a time.
func parallel(n int, do func(i int) error) error {
	var next atomic.Int64
	var first atomic.Pointer[error]
	var group sync.WaitGroup
	for range posters {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && first.Load() == nil; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					first.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	group.Wait()
	if err := first.Load(); err != nil {
		return *err
	}
	return nil
}

func exists(err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// prepare makes namespaces, ServiceAccounts and nodes: the controller-manager does not run.
func (w *world) prepare(ctx context.Context) error {
	core := w.client.CoreV1()
	err := parallel(nNamespaces, func(i int) error {
		name := namespaceOf(i)
		if _, err := core.Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); exists(err) != nil {
			return err
		}
		_, err := core.ServiceAccounts(name).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
		return exists(err)
	})
	if err != nil {
		return err
	}
	return parallel(nNodes, func(i int) error {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node-%03d", i)},
			Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{Architecture: "amd64", OperatingSystem: "linux"}}}
		_, err := core.Nodes().Create(ctx, node, metav1.CreateOptions{})
		return exists(err)
	})
}

func (w *world) post(ctx context.Context) error {
	return parallel(w.pods, func(i int) error {
		pods := w.client.CoreV1().Pods(namespaceOf(w.workloadOf(i)))
		pod, err := pods.Create(ctx, w.pod(i), metav1.CreateOptions{FieldManager: "kube-controller-manager"})
		if err != nil {
			return exists(err)
		}
		pod.Status = w.status(i)
		_, err = pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{FieldManager: "kubelet"})
		return err
	})
}
