package main

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const targetPort = 6060

// targets answers for every pod at once: all their addresses are local, and one server listens on all of them. Which file a pod answers
// with follows from its address and the minute, so that a pod does not say the same twice running.
func targets(args []string) error {
	if len(args) != 1 {
		return errors.New("targets DIR")
	}
	files, err := filepath.Glob(filepath.Join(args[0], "*.pb.gz"))
	if err != nil || len(files) == 0 {
		return errors.Join(err, errors.New("no profiles in "+args[0]))
	}
	profiles := make([][]byte, len(files))
	for i, name := range files {
		if profiles[i], err = os.ReadFile(name); err != nil {
			return err
		}
	}
	mux := http.NewServeMux() // of our own: the default one has this program's profiles
	mux.HandleFunc("/debug/pprof/", func(w http.ResponseWriter, r *http.Request) {
		seconds, _ := strconv.ParseFloat(r.URL.Query().Get("seconds"), 64)
		select {
		case <-time.After(time.Duration(seconds * float64(time.Second))):
		case <-r.Context().Done():
			return
		}
		at := int(time.Now().Unix() / 60)
		if a, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
			ip := a.IP.To4()
			at += int(ip[2])*256 + int(ip[3])
		}
		body := profiles[at%len(profiles)]
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body) // a client that left is counted at its end
	})
	return http.ListenAndServe(net.JoinHostPort("0.0.0.0", strconv.Itoa(targetPort)), mux)
}
