package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// captures is one run of a policy with a registry, and what it cost.
type captures struct {
	profiles           string // of the policy
	answers            string // folder of what targets answer with
	seconds            int
	interval, duration time.Duration
	before, after      metrics
	controller         *process
	registry           *process
	took               float64
	controllerCPU      float64
	registryCPU        float64
	sealCPU            float64
	held               float64
	logBytes, bytes    int64 // on disk, before and after sealing
	nRegistry          float64
	controllerMemory   memory
	registryMemory     memory
	inFlight           float64
}

func (c *captures) n() float64 { return c.count("") }
func (c *captures) count(labels string) float64 {
	return c.after.sum("kube_pprof_captures_total", labels) - c.before.sum("kube_pprof_captures_total", labels)
}
func (c *captures) grew(name string) float64 { return c.after.sum(name, "") - c.before.sum(name, "") }

// run starts all, lets two intervals pass, and counts.
func (c *captures) run(b *bench) error {
	if out, err := exec.Command("ip", "route", "replace", "local", podNetwork, "dev", "lo").CombinedOutput(); err != nil {
		return fmt.Errorf("ip route: %w: %s", err, out)
	}
	if err := b.policy(c.profiles); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	server, err := start("targets", filepath.Join(b.dir, "targets.log"), "", self, "targets", c.answers)
	if err != nil {
		return err
	}
	defer server.end()
	data, err := os.MkdirTemp(b.dir, "data")
	if err != nil {
		return err
	}
	if c.registry, err = start("registry", filepath.Join(b.dir, "registry.log"), "", b.program, "registry", "--listen", "127.0.0.1:10100",
		"--data-dir", data, "--seal-after", "1h"); err != nil {
		return err
	}
	defer c.registry.end()
	if c.controller, err = b.controller(); err != nil {
		return err
	}
	defer c.controller.end()
	if _, err := c.controller.waitSynced(2 * time.Minute); err != nil {
		return err
	}
	if err := b.scheduled(b.pods); err != nil {
		return err
	}
	// A capture counts when the watch has delivered something newer than it. In no cluster of so many pods all are still.
	pods, err := b.world.stored(b.ctx)
	if err != nil {
		return err
	}
	ctx, still := context.WithCancel(b.ctx)
	defer still()
	go func() { _, _ = b.world.update(ctx, pods, 1<<30, 1) }()
	time.Sleep(c.interval + c.duration + 5*time.Second)
	if err := c.count60(b, data); err != nil {
		return err
	}
	return c.seal(data)
}

func (c *captures) count60(b *bench, data string) error {
	cpu := func() (a, r float64, err error) {
		if a, err = c.controller.cpu(); err == nil {
			r, err = c.registry.cpu()
		}
		return a, r, err
	}
	size, err := folderBytes(data)
	if err != nil {
		return err
	}
	if c.before, err = readMetrics(controllerMetrics); err != nil {
		return err
	}
	began := time.Now()
	hold := watchHold()
	a, r, err := cpu()
	if err != nil {
		return err
	}
	for n := range c.seconds / 5 {
		time.Sleep(time.Until(began.Add(time.Duration(n+1) * 5 * time.Second)))
		m, err := readMetrics(controllerMetrics)
		if err != nil {
			return err
		}
		c.inFlight += m.sum("kube_pprof_captures_running", "") / float64(c.seconds/5)
	}
	if c.controllerCPU, c.registryCPU, err = cpu(); err != nil {
		return err
	}
	c.controllerCPU -= a
	c.registryCPU -= r
	c.took = time.Since(began).Seconds()
	c.held = hold()
	if c.after, err = readMetrics(controllerMetrics); err != nil {
		return err
	}
	if c.controllerMemory, err = c.controller.memory(); err != nil {
		return err
	}
	if c.registryMemory, err = c.registry.memory(); err != nil {
		return err
	}
	after, err := folderBytes(data)
	c.logBytes = after - size
	return err
}

// seal ends captures, so that all that is stored can be sealed, and tells what that costs.
func (c *captures) seal(data string) error {
	c.controller.end()
	stored, err := readMetrics(registryURL + "/metrics")
	if err != nil {
		return err
	}
	c.nRegistry = stored.sum("kube_pprof_registry_profiles", "")
	before, err := c.registry.cpu()
	if err != nil {
		return err
	}
	answer, err := http.Post(registryURL+"/api/v1/admin/seal", "", nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	if err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("sealing: %s %w", answer.Status, err)
	}
	after, err := c.registry.cpu()
	if err != nil {
		return err
	}
	c.sealCPU = after - before
	c.registry.end()
	c.bytes, err = folderBytes(data)
	return err
}

func folderBytes(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			sum += info.Size()
		}
		return nil // a file that is gone meanwhile counts as nothing
	})
	return sum, err
}

// tinyProfile is a valid CPU profile of hardly any bytes: a value type, a period, one sample at one address.
func tinyProfile() ([]byte, error) {
	raw := []byte{
		0x0a, 4, 0x08, 1, 0x10, 2, // sample_type: cpu/nanoseconds
		0x12, 6, 0x0a, 1, 1, 0x12, 1, 100, // sample: location 1, value 100
		0x22, 5, 0x08, 1, 0x18, 0x80, 0x20, // location 1, address 4096
		0x32, 0, 0x32, 3, 'c', 'p', 'u', 0x32, 11, 'n', 'a', 'n', 'o', 's', 'e', 'c', 'o', 'n', 'd', 's',
		0x5a, 4, 0x08, 1, 0x10, 2, 0x60, 100, // period_type, period
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(raw); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// flight holds 2 000 captures of 10 000 pods in flight: 12 s of every minute. Their profiles are hardly any bytes.
func (b *bench) flight() error {
	tiny, err := tinyProfile()
	if err != nil {
		return err
	}
	dir := filepath.Join(b.dir, "tiny")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "cpu.pb.gz"), tiny, 0o600); err != nil {
		return err
	}
	c := &captures{profiles: `{type: cpu, interval: 60s, duration: 12s}`, answers: dir, seconds: 60, interval: time.Minute, duration: 12 * time.Second}
	if err := c.run(b); err != nil {
		return err
	}
	each := c.controllerCPU / c.n() * 1000
	b.table.want(fmt.Sprintf("%.0f captures in flight, %.0f in %.0f s, of %d bytes: CPU each", c.inFlight, c.n(), c.took, len(tiny)),
		fmt.Sprintf("%.3f ms", each), "", each, 0.5, "ms")
	b.table.want("memory, anonymous (RSS; peak)", fmt.Sprintf("%s (%s; %s)", mb(c.controllerMemory.anonymous), mb(c.controllerMemory.rss), mb(c.controllerMemory.peak)),
		"", c.controllerMemory.rss, 120, "MB")
	b.tellOutcomes(c)
	return nil
}

// day is what a platform team would do, on one machine: CPU profiles of all pods, 10 s of every minute.
func (b *bench) day() error {
	c := &captures{profiles: `{type: cpu, interval: 60s, duration: 10s}`, answers: b.corpus, seconds: b.seconds, interval: time.Minute, duration: 10 * time.Second}
	if err := c.run(b); err != nil {
		return err
	}
	asked := float64(b.pods) * c.took / 60
	succeeded := c.count(`result="Succeeded"`)
	lag, _ := quantile(c.before, c.after, "kube_pprof_capture_start_lag_seconds", 0.99)
	lost := c.grew("kube_pprof_captures_missed_total") + c.grew("kube_pprof_captures_throttled_total") + c.n() - succeeded
	what := fmt.Sprintf("%d targets, CPU 10 s of 60 s, %.0f at once, for %.0f s", b.pods, c.inFlight, c.took)
	b.table.want(what+": not captured", fmt.Sprintf("%.0f of %.0f (%.0f succeeded)", lost, asked, succeeded), "", lost, 0, "")
	b.table.want("start lag, p99", fmt.Sprintf("%.0f ms", lag*1000), "", lag*1000, 1000, "ms")
	hour := 3600 / c.took
	b.table.add("controller: CPU an hour; RSS, anonymous", fmt.Sprintf("%.0f s; %s, %s", c.controllerCPU*hour, mb(c.controllerMemory.rss), mb(c.controllerMemory.anonymous)), "")
	b.table.add("loop held at most", fmt.Sprintf("%.1f ms", c.held*1000), "")
	sealing := c.sealCPU / max(c.nRegistry, 1) * succeeded * hour
	b.table.add("registry: CPU an hour (taking in + sealing); RSS, anonymous", fmt.Sprintf("%.0f + %.0f s; %s, %s", c.registryCPU*hour, sealing,
		mb(c.registryMemory.rss), mb(c.registryMemory.anonymous)), "")
	each := float64(c.bytes) / max(c.nRegistry, 1)
	b.table.add("disk an hour: as received; sealed", fmt.Sprintf("%.2f GB; %.2f GB (%.0f bytes a profile)", float64(c.logBytes)*hour/1e9,
		each*succeeded*hour/1e9, each), "")
	b.tellOutcomes(c)
	return nil
}

func (b *bench) tellOutcomes(c *captures) {
	for series, v := range c.after {
		if d := v - c.before[series]; d > 0 && len(series) > 25 && series[:25] == "kube_pprof_captures_total" {
			b.table.add(series, fmt.Sprintf("%.0f", d), "")
		}
	}
}
