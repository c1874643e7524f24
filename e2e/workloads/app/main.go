// app is the sample program of the cluster tests and the demo: a Go service with pprof, and its ill-behaved relatives.
//
//	app [-mode busy|html|hang|huge|held|crash] [-listen :6060] [-version 1|2] [-load PERCENT] [-unready] [-rates=false]
//	    [-cert FILE -key FILE] [-token-file FILE]
package main

import (
	"context"
	"crypto/subtle"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	_ "net/http/pprof" // the handlers under test
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"kube-pprof.dev/e2e/workloads/checkout"
)

func main() {
	mode := flag.String("mode", "busy", "what to be")
	listen := flag.String("listen", ":6060", "address")
	version := flag.String("version", "1", "2 makes checkout.priceCart costlier")
	load := flag.Int("load", 10, "percent of a core to use")
	unready := flag.Bool("unready", false, "answer 503 on /healthz for ever")
	cert := flag.String("cert", "", "serve https with this certificate")
	key := flag.String("key", "", "its key")
	tokenFile := flag.String("token-file", "", "want this bearer token for /debug/")
	rates := flag.Bool("rates", true, "fill the mutex and block profiles")
	flag.Parse()

	if *rates {
		runtime.SetMutexProfileFraction(1)
		runtime.SetBlockProfileRate(1000)
	}
	go checkout.Run(*load, *version)

	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if *unready {
			http.Error(w, "never", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	debug, ok := map[string]http.HandlerFunc{
		"busy": http.DefaultServeMux.ServeHTTP, "held": http.DefaultServeMux.ServeHTTP, "crash": http.DefaultServeMux.ServeHTTP,
		"html": html, "hang": hang, "huge": huge,
	}[*mode]
	if !ok {
		log.Fatalf("unknown mode %q", *mode)
	}
	mux.Handle("/debug/", guarded(*tokenFile, debug))
	switch *mode {
	case "held":
		go hold()
	case "crash":
		time.AfterFunc(3*time.Second, func() { log.Fatal("crashing, as told") })
	}

	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	server := &http.Server{Addr: *listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	log.Printf("%s version %s on %s", *mode, *version, *listen)
	var err error
	if *cert != "" {
		err = server.ListenAndServeTLS(*cert, *key)
	} else {
		err = server.ListenAndServe()
	}
	if ctx.Err() == nil {
		log.Fatal(err)
	}
}

// guarded asks for the bearer token in file, if one is named.
func guarded(file string, next http.Handler) http.Handler {
	if file == "" {
		return next
	}
	data, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	want := []byte("Bearer " + strings.TrimSpace(string(data)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			http.Error(w, "a token is needed", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func html(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	io.WriteString(w, "<!doctype html><title>Shop</title><h1>Welcome to the shop</h1>\n")
}

func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// huge starts like a profile (gzip's magic) and does not end before a gigabyte.
func huge(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff})
	chunk := make([]byte, 1<<20)
	for i := range chunk {
		chunk[i] = byte(rand.Uint32())
	}
	for range 1024 {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// hold keeps the CPU profile for itself, as a continuous profiler inside the program does.
func hold() {
	for {
		if err := pprof.StartCPUProfile(io.Discard); err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		time.Sleep(15 * time.Second)
		pprof.StopCPUProfile()
	}
}
