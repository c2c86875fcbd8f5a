// SPDX-License-Identifier: Apache-2.0

// HTTP/2 without TLS, by net/http (KIND=h2c) or grpc-go (KIND=grpc): a child goroutine for each
// request, and goroutines of no request.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

var truth *os.File

func info(out *os.File, line, id string) {
	value := "null"
	if id != "" {
		value = `"` + id + `"`
	}
	out.WriteString(line + "\n")
	fmt.Fprintf(truth, "{\"line\": \"%s\", \"id\": %s}\n", line, value)
}

func beat(name string) {
	for n := 1; ; n++ {
		info(os.Stderr, fmt.Sprintf("%s %d", name, n), "")
		time.Sleep(5 * time.Millisecond)
	}
}

// work writes the lines of one request; `part` is called between them.
func work(path, id string, part func()) {
	words := strings.Split(path, "/")
	token := words[2]
	info(os.Stderr, token+" begin", id)
	if words[1] == "call" {
		answer, err := http.Get("http://" + os.Getenv("UPSTREAM") + "/")
		if err != nil {
			panic(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
	part()
	done := make(chan bool)
	go func() {
		time.Sleep(time.Millisecond)
		info(os.Stdout, token+" child", id)
		done <- true
	}()
	<-done
	part()
	info(os.Stderr, token+" done", id)
}

func handle(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	work(r.URL.Path, r.Header.Get("x-baseten-request-id"), func() {
		fmt.Fprint(w, "part\n")
		w.(http.Flusher).Flush()
	})
}

// Messages as they are: no code is generated for this test.
type raw struct{}

func (raw) Marshal(v interface{}) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v interface{}) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}
func (raw) String() string { return "raw" }

func stream(_ interface{}, s grpc.ServerStream) error {
	var message []byte
	path, _ := grpc.MethodFromServerStream(s)
	id := ""
	if fields, ok := metadata.FromIncomingContext(s.Context()); ok && len(fields["x-baseten-request-id"]) > 0 {
		id = fields["x-baseten-request-id"][0]
	}
	if err := s.RecvMsg(&message); err != nil {
		return err
	}
	answer := []byte("part")
	work(path, id, func() { s.SendMsg(&answer) })
	return nil
}

func main() {
	var err error
	truth, err = os.OpenFile(os.Getenv("TRUTH"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		panic(err)
	}
	go beat("heartbeat a")
	go beat("heartbeat b")
	listener, err := net.Listen("tcp4", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		panic(err)
	}
	if os.Getenv("KIND") == "grpc" {
		server := grpc.NewServer(grpc.CustomCodec(raw{}), grpc.UnknownServiceHandler(stream))
		panic(server.Serve(listener))
	}
	panic(http.Serve(listener, h2c.NewHandler(http.HandlerFunc(handle), &http2.Server{})))
}
