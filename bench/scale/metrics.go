package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net/http"
	"sort"
	"strconv"
	"strings"
)

// metrics is one reading of /metrics: series by name with labels.
type metrics map[string]float64

func readMetrics(url string) (metrics, error) {
	answer, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, answer.Status)
	}
	return parseMetrics(answer.Body)
}

func parseMetrics(in io.Reader) (metrics, error) {
	m := metrics{}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		if v, err := strconv.ParseFloat(line[at+1:], 64); err == nil {
			m[line[:at]] = v
		}
	}
	return m, lines.Err()
}

// sum of all series of a name whose labels hold the text.
func (m metrics) sum(name, labels string) float64 {
	total := 0.0
	for series, v := range m {
		rest, ok := strings.CutPrefix(series, name)
		if ok && (rest == "" || rest[0] == '{') && strings.Contains(rest, labels) {
			total += v
		}
	}
	return total
}

// quantile of what a histogram without labels took in between two readings, as Prometheus interpolates it; and how many there were.
func quantile(before, after metrics, name string, q float64) (float64, float64) {
	type bucket struct{ le, n float64 }
	var buckets []bucket
	for series, v := range after {
		rest, ok := strings.CutPrefix(series, name+"_bucket{le=\"")
		if !ok {
			continue
		}
		le, err := strconv.ParseFloat(strings.TrimSuffix(rest, "\"}"), 64)
		if err == nil {
			buckets = append(buckets, bucket{le, v - before[series]})
		}
	}
	if len(buckets) == 0 {
		return math.NaN(), 0
	}
	sort.Slice(buckets, func(i, j int) bool { return buckets[i].le < buckets[j].le })
	total := buckets[len(buckets)-1].n
	from, below := 0.0, 0.0
	for _, b := range buckets {
		if b.n >= q*total && total > 0 {
			if math.IsInf(b.le, 1) || b.n == below {
				return from, total
			}
			return from + (b.le-from)*(q*total-below)/(b.n-below), total
		}
		from, below = b.le, b.n
	}
	return from, total
}
