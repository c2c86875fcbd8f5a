// SPDX-License-Identifier: Apache-2.0

// net/http whose workers the first request starts, and later ones add to: they work for all.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

const workers = 8

type job struct {
	token, id string
	done      chan bool
}

var (
	truth *os.File
	jobs  = make(chan job, 64)
	grown int32
)

func info(line, id string) {
	os.Stderr.WriteString(line + "\n")
	value := "null"
	if id != "" {
		value = `"` + id + `"`
	}
	fmt.Fprintf(truth, "{\"line\": \"%s\", \"id\": %s}\n", line, value)
}

func worker() {
	for j := range jobs {
		info(j.token+" worker begin", j.id)
		time.Sleep(2 * time.Millisecond)
		info(j.token+" worker done", j.id)
		j.done <- true
	}
}

func handle(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	j := job{strings.Split(r.URL.Path, "/")[2], r.Header.Get("x-baseten-request-id"), make(chan bool)}
	info(j.token+" begin", j.id)
	if atomic.AddInt32(&grown, 1) <= workers {
		go worker()
	}
	jobs <- j
	<-j.done
	info(j.token+" done", j.id)
	fmt.Fprintf(w, "%s\n", j.token)
}

func main() {
	var err error
	truth, err = os.OpenFile(os.Getenv("TRUTH"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(handle)))
}
