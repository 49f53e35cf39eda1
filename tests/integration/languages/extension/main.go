// An external extension as they are written in Go: registers, subscribes to telemetry, and says
// what it hears until it is told to end.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
)

var api = "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API")

func call(method, path string, headers map[string]string, body any) (http.Header, []byte) {
	var sent io.Reader
	if body != nil {
		text, _ := json.Marshal(body)
		sent = bytes.NewReader(text)
	}
	request, err := http.NewRequest(method, api+path, sent)
	if err != nil {
		panic(err)
	}
	for name, text := range headers {
		request.Header.Set(name, text)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		panic(err)
	}
	defer answer.Body.Close()
	content, _ := io.ReadAll(answer.Body)
	if answer.StatusCode != 200 {
		panic(fmt.Sprint(answer.StatusCode, string(content)))
	}
	return answer.Header, content
}

// listen prints the kinds of telemetry that arrive, and what the function itself wrote.
func listen() int {
	listener, err := net.Listen("tcp", "sandbox.localdomain:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(listener, http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		var events []struct {
			Type   string
			Record any
		}
		json.NewDecoder(request.Body).Decode(&events)
		for _, event := range events {
			if event.Type == "function" {
				fmt.Println("heard function", event.Record)
			} else {
				fmt.Println("heard", event.Type)
			}
		}
	}))
	return listener.Addr().(*net.TCPAddr).Port
}

func main() {
	names := map[string]string{"Lambda-Extension-Name": filepath.Base(os.Args[0])}
	events := map[string]any{"events": []string{"INVOKE", "SHUTDOWN"}}
	headers, content := call("POST", "/2020-01-01/extension/register", names, events)
	fmt.Println("registered", string(content))
	me := map[string]string{"Lambda-Extension-Identifier": headers.Get("Lambda-Extension-Identifier")}
	call("PUT", "/2022-07-01/telemetry", me, map[string]any{
		"schemaVersion": "2022-12-13",
		"types":         []string{"platform", "function"},
		"buffering":     map[string]int{"timeoutMs": 25},
		"destination": map[string]string{
			"protocol": "HTTP",
			"URI":      fmt.Sprintf("http://sandbox.localdomain:%d", listen()),
		},
	})
	for {
		_, content := call("GET", "/2020-01-01/extension/event/next", me, nil)
		var event struct{ EventType, RequestId, ShutdownReason string }
		json.Unmarshal(content, &event)
		fmt.Println("told", event.EventType, event.RequestId+event.ShutdownReason)
		if event.EventType == "SHUTDOWN" {
			return
		}
	}
}
