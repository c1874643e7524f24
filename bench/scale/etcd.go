package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
)

// etcdURL is where the API server of the cluster keeps its objects; etcd's gateway takes JSON.
const etcdURL = "http://127.0.0.1:2379"

var etcdClient = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: posters}}

// store writes an object where the API server keeps it, as another API server of the same cluster would: this one hears of it from etcd, and
// tells all that watch. By itself it needs 3 ms of CPU for a change of a pod, so that two cores give 350 a second.
func store(ctx context.Context, key string, value []byte) error {
	body, err := json.Marshal(map[string][]byte{"key": []byte(key), "value": value})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, etcdURL+"/v3/kv/put", bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := etcdClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("etcd: %s: %s", answer.Status, said)
	}
	return err
}

// stored are all pods as they are written, by the number they were made with.
func (w *world) stored(ctx context.Context) ([]*corev1.Pod, error) {
	pods, number := make([]*corev1.Pod, w.pods), make(map[string]int, w.pods)
	for i := range pods {
		number[podName(i, w.workloadOf(i))] = i
	}
	for n := range nNamespaces {
		list, err := w.client.CoreV1().Pods(namespaceOf(n)).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		for k := range list.Items {
			pod := &list.Items[k]
			pod.APIVersion, pod.Kind, pod.ResourceVersion = "v1", "Pod", "" // the version is etcd's
			if i, ok := number[pod.Name]; ok {
				pods[i] = pod
			}
		}
	}
	if i := slices.Index(pods, nil); i >= 0 {
		return nil, fmt.Errorf("pod %s is not there", podName(i, w.workloadOf(i)))
	}
	return pods, nil
}

// update changes a label that the policy asks for, of one pod after the other in an order that jumps between workloads, so many times a
// second: each is a change of the schedule. Returns how many seconds it took.
func (w *world) update(ctx context.Context, pods []*corev1.Pod, n, rate int) (float64, error) {
	encoder := protobuf.NewSerializer(clientgoscheme.Scheme, clientgoscheme.Scheme)
	began := time.Now()
	err := parallel(n, func(k int) error {
		select {
		case <-time.After(time.Until(began.Add(time.Duration(k) * time.Second / time.Duration(rate)))):
		case <-ctx.Done():
			return ctx.Err()
		}
		pod := *pods[k*7919%len(pods)] // a prime: every pod in turn
		labels := maps.Clone(pod.Labels)
		// other than what any update before wrote: else it is none, and nobody is told
		labels["release"] = fmt.Sprintf("r%d-%d", began.UnixNano(), k)
		pod.Labels = labels
		var value bytes.Buffer
		if err := encoder.Encode(&pod, &value); err != nil {
			return err
		}
		return store(ctx, "/registry/pods/"+pod.Namespace+"/"+pod.Name, value.Bytes())
	})
	return time.Since(began).Seconds(), err
}
