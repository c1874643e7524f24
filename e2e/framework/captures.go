package framework

import (
	"fmt"
	"sort"
	"testing"
	"time"
)

// Whole checks that nothing of before is missing, nothing is there twice, and no process had two CPU profiles at once.
func Whole(t *testing.T, before, after []Profile) {
	t.Helper()
	ids, keys := map[string]bool{}, map[string]string{}
	cpu := map[string][]Profile{}
	for _, p := range after {
		if ids[p.ID] {
			t.Errorf("id %s is listed twice", p.ID)
		}
		ids[p.ID] = true
		key := fmt.Sprintf("%s/%s/%d/%s/%d", p.PodUID, p.Container, p.Port, p.Type, p.SlotTime.UnixMilli())
		if other, ok := keys[key]; ok {
			t.Errorf("%s and %s are the same capture: %s", other, p.ID, key)
		}
		keys[key] = p.ID
		if p.Type == "cpu" {
			cpu[p.PodUID+p.Container] = append(cpu[p.PodUID+p.Container], p)
		}
	}
	for _, p := range before {
		if !ids[p.ID] {
			t.Errorf("profile %s (%s of %s) was acknowledged and is gone", p.ID, p.Type, p.Pod)
		}
	}
	for who, list := range cpu {
		sort.Slice(list, func(i, j int) bool { return list[i].StartTime.Before(list[j].StartTime) })
		for i := 1; i < len(list); i++ {
			if list[i].StartTime.Before(list[i-1].EndTime.Add(-50 * time.Millisecond)) {
				t.Errorf("%s: two CPU profiles at once: %s..%s and %s", who, list[i-1].StartTime, list[i-1].EndTime, list[i].StartTime)
			}
		}
	}
}

// Gap is the longest time between two starts of a type on one pod.
func Gap(items []Profile, kind string) time.Duration {
	starts := map[string][]time.Time{}
	for _, p := range items {
		if p.Type == kind {
			starts[p.PodUID] = append(starts[p.PodUID], p.StartTime)
		}
	}
	longest := time.Duration(0)
	for _, times := range starts {
		sort.Slice(times, func(i, j int) bool { return times[i].Before(times[j]) })
		for i := 1; i < len(times); i++ {
			longest = max(longest, times[i].Sub(times[i-1]))
		}
	}
	return longest
}
