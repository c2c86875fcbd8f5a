// SPDX-License-Identifier: Apache-2.0

// net/http that logs a line for each request, as fast as it can.
package main

import (
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	log.SetOutput(os.Stderr)
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		log.Print("answering ", r.URL.Path)
		io.WriteString(w, "a short answer\n")
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
