// SPDX-License-Identifier: Apache-2.0

// net/http with a child goroutine for each request, and goroutines of no request.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

var truth *os.File

func wrote(line, id string) {
	value := "null"
	if id != "" {
		value = `"` + id + `"`
	}
	fmt.Fprintf(truth, "{\"line\": \"%s\", \"id\": %s}\n", line, value)
}

func info(out *os.File, line, id string) {
	out.WriteString(line + "\n")
	wrote(line, id)
}

func beat(name string) {
	for n := 1; ; n++ {
		info(os.Stderr, fmt.Sprintf("%s %d", name, n), "")
		time.Sleep(5 * time.Millisecond)
	}
}

var lazy sync.Once

func handle(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	part := strings.Split(r.URL.Path, "/")
	token, id := part[2], r.Header.Get("x-baseten-request-id")
	lazy.Do(func() {
		// started by the first request, logs for ever, first after the grace of its lineage
		go func() {
			time.Sleep(1500 * time.Millisecond)
			beat("lazy goroutine")
		}()
	})
	info(os.Stderr, token+" begin", id)
	if part[1] == "call" {
		// the client keeps this connection, and its goroutines, for later requests
		answer, err := http.Get("http://" + os.Getenv("UPSTREAM") + "/")
		if err != nil {
			panic(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
	done := make(chan bool)
	go func() {
		time.Sleep(time.Millisecond)
		info(os.Stdout, token+" child", id)
		done <- true
	}()
	<-done
	info(os.Stderr, token+" done", id)
	fmt.Fprintf(w, "%s\n", token)
}

func main() {
	var err error
	truth, err = os.OpenFile(os.Getenv("TRUTH"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		panic(err)
	}
	info(os.Stderr, "start-up", "")
	go beat("heartbeat a")
	go beat("heartbeat b")
	listener, err := net.Listen("tcp4", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		panic(err)
	}
	if pair := os.Getenv("CERT"); pair != "" {
		server := http.Server{Handler: http.HandlerFunc(handle), ErrorLog: log.New(io.Discard, "", 0)}
		panic(server.ServeTLS(listener, pair, pair))
	}
	panic(http.Serve(listener, http.HandlerFunc(handle)))
}
