// Posts signed webhooks over keep-alive connections, one in flight on each; or one request, from a
// file, again and again for some seconds.
//
// Every request is built and signed before the clock starts, so that the generator takes as
// little as possible of the machine it shares with what it drives. Each webhook has its own delivery
// id and a partition key drawn from -keys names. Prints one JSON line.
package main

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type settings struct {
	address, path, secret, tag string
	requests, connections      int
	keys, bytes, paths         int
	request                    string
	seconds                    float64
}

type report struct {
	Sent       int            `json:"sent"`
	Accepted   int            `json:"accepted"`
	Other      map[string]int `json:"other"`
	StartedNs  int64          `json:"started_ns"`
	AnsweredNs int64          `json:"answered_ns"`
	P50Ms      float64        `json:"p50_ms"`
	P99Ms      float64        `json:"p99_ms"`
	CPUSeconds float64        `json:"cpu_s"`
}

// One request as it goes over the wire. The filler is plain text: a body of about s.bytes.
func build(s settings, number int) []byte {
	head := fmt.Sprintf(
		`{"action":"opened","number":%d,"repository":{"id":%d,"full_name":"bench/repository-%03d"},"text":"`,
		number, number%s.keys, number%s.keys,
	)
	filler := s.bytes - len(head) - 2
	if filler < 0 {
		filler = 0
	}
	body := head + strings.Repeat("x", filler) + `"}`
	path := s.path
	if s.paths > 0 {
		path = fmt.Sprintf("%s-%d", s.path, number%s.paths)
	}
	mac := hmac.New(sha256.New, []byte(s.secret))
	mac.Write([]byte(body))
	return []byte(fmt.Sprintf(
		"POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: GitHub-Hookshot/bench\r\n"+
			"Content-Type: application/json\r\nX-GitHub-Event: issues\r\n"+
			"X-GitHub-Delivery: %s-%d\r\nX-Hub-Signature-256: sha256=%s\r\n"+
			"Content-Length: %d\r\n\r\n%s",
		path, s.address, s.tag, number, hex.EncodeToString(mac.Sum(nil)), len(body), body,
	))
}

// Status of the next answer, or what a function's own error is called; its body is read over.
func answer(reader *bufio.Reader) (string, error) {
	line, err := reader.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	if len(line) < 12 {
		return "", fmt.Errorf("not an answer: %q", line)
	}
	status, length := string(line[9:12]), -1
	for {
		line, err = reader.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		if len(line) <= 2 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("content-length")) {
			length, err = strconv.Atoi(string(bytes.TrimSpace(value)))
			if err != nil {
				return "", err
			}
		} else if bytes.EqualFold(name, []byte("x-amz-function-error")) {
			status = "function error"
		}
	}
	if length < 0 {
		return "", fmt.Errorf("an answer without a length")
	}
	_, err = reader.Discard(length)
	return status, err
}

type outcome struct {
	statuses map[string]int
	waits    []time.Duration
	err      error
}

// The next request; nil when there are no more. For use by all connections.
type source func() []byte

func each(requests [][]byte) source {
	var next atomic.Int64
	return func() []byte {
		if number := int(next.Add(1)) - 1; number < len(requests) {
			return requests[number]
		}
		return nil
	}
}

// One at least, however long it took to come to it.
func again(request []byte, seconds float64) source {
	until := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	var asked atomic.Bool
	return func() []byte {
		if asked.Swap(true) && time.Now().After(until) {
			return nil
		}
		return request
	}
}

// Takes one request after the other until none is left.
func post(connection net.Conn, next source) outcome {
	found := outcome{statuses: map[string]int{}}
	reader := bufio.NewReaderSize(connection, 4096)
	for {
		request := next()
		if request == nil {
			return found
		}
		began := time.Now()
		if _, found.err = connection.Write(request); found.err != nil {
			return found
		}
		status, err := answer(reader)
		if err != nil {
			found.err = err
			return found
		}
		found.waits = append(found.waits, time.Since(began))
		found.statuses[status]++
	}
}

func run(s settings) (report, error) {
	var requests [][]byte
	var request []byte
	wanted := "202"
	if s.request != "" {
		var err error
		if request, err = os.ReadFile(s.request); err != nil {
			return report{}, err
		}
		wanted = "200"
	} else {
		requests = make([][]byte, s.requests)
		for number := range requests {
			requests[number] = build(s, number)
		}
	}
	connections := make([]net.Conn, s.connections)
	for index := range connections {
		connection, err := net.Dial("tcp", s.address)
		if err != nil {
			return report{}, err
		}
		defer connection.Close()
		connections[index] = connection
	}
	var group sync.WaitGroup
	outcomes := make([]outcome, s.connections)
	cpu := cpuSeconds()
	result := report{Other: map[string]int{}, StartedNs: time.Now().UnixNano()}
	next := each(requests)
	if request != nil {
		next = again(request, s.seconds)
	}
	for index := range connections {
		group.Add(1)
		go func() {
			defer group.Done()
			outcomes[index] = post(connections[index], next)
		}()
	}
	group.Wait()
	result.AnsweredNs = time.Now().UnixNano()
	result.CPUSeconds = cpuSeconds() - cpu
	var waits []time.Duration
	for _, found := range outcomes {
		if found.err != nil {
			return result, found.err
		}
		waits = append(waits, found.waits...)
		for status, count := range found.statuses {
			result.Sent += count
			if status == wanted {
				result.Accepted += count
			} else {
				result.Other[status] += count
			}
		}
	}
	sort.Slice(waits, func(a, b int) bool { return waits[a] < waits[b] })
	if len(waits) > 0 {
		result.P50Ms = float64(waits[len(waits)/2].Microseconds()) / 1000
		result.P99Ms = float64(waits[len(waits)*99/100].Microseconds()) / 1000
	}
	return result, nil
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

func main() {
	debug.SetGCPercent(-1) // what it holds is small and known
	var s settings
	flag.StringVar(&s.address, "address", "", "host:port")
	flag.StringVar(&s.path, "path", "/", "path to post to")
	flag.StringVar(&s.secret, "secret", "", "secret of the signature")
	flag.StringVar(&s.tag, "tag", "bench", "how delivery ids begin")
	flag.IntVar(&s.requests, "requests", 1000, "requests in all")
	flag.IntVar(&s.connections, "connections", 64, "keep-alive connections")
	flag.IntVar(&s.keys, "keys", 200, "partition keys")
	flag.IntVar(&s.bytes, "bytes", 1000, "body size")
	flag.IntVar(&s.paths, "paths", 0, "post to path-0, path-1 … in turn; 0: to path alone")
	flag.StringVar(&s.request, "request", "", "file of one request to send, instead of webhooks")
	flag.Float64Var(&s.seconds, "seconds", 1, "how long it is sent again and again")
	flag.Parse()
	result, err := run(s)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		os.Exit(1)
	}
}
