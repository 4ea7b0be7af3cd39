package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"go.uber.org/goleak"
)

// asSuite is a variable of the environment. It makes the program of this test behave as wstest does, in
// small; its value names the flaw that it then has.
const asSuite = "AUTOBAHN_FAKE"

func TestMain(m *testing.M) {
	if flaw := os.Getenv(asSuite); flaw != "" {
		if err := (&fake{flaw: flaw}).run(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "fake:", err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	var err error
	if scratch, err = os.MkdirTemp("", "autobahn-test"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(scratch)
		os.Exit(code)
	}))
}

// A fake is a suite with few cases, each of which has one message echoed.
type fake struct {
	flaw    string
	plan    specification
	cases   []string
	agent   string
	reports map[string]map[string]string // the index's entry of each case
}

func (f *fake) run(args []string) error {
	flags := flag.NewFlagSet("fake", flag.ContinueOnError)
	mode := flags.String("mode", "", "")
	file := flags.String("spec", "", "")
	version := flags.Bool("autobahnversion", false, "")
	_ = flags.Int("webport", 8080, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *version {
		if f.flaw == "is another program" {
			fmt.Println("otherprogram 1.0")
			return nil
		}
		fmt.Println("Autobahn 0.1.2\nAutobahnTestSuite 3.4.5")
		return nil
	}
	content, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, &f.plan); err != nil {
		return err
	}
	f.choose()
	if f.flaw == "waits for all six" {
		if err := awaitAll(filepath.Dir(*file)); err != nil {
			return err
		}
	}
	switch {
	case f.flaw == "hangs":
		return hang()
	case f.flaw == "is deaf":
		signal.Ignore(os.Interrupt, syscall.SIGTERM)
		return hang()
	case *mode == "fuzzingclient":
		return f.client()
	case *mode == "fuzzingserver":
		return f.server()
	}
	return fmt.Errorf("no mode %q", *mode)
}

// choose chooses the cases.
func (f *fake) choose() {
	f.reports = map[string]map[string]string{}
next:
	for _, id := range []string{"1.1.1", "7.13.1", "12.1.1"} {
		if slices.Contains(f.plan.Cases, "12.*") && !strings.HasPrefix(id, "12.") { // instead of "*"
			continue
		}
		for _, pattern := range f.plan.Exclude {
			prefix, _, _ := strings.Cut(pattern, "*")
			if strings.HasPrefix(id, prefix) {
				continue next
			}
		}
		f.cases = append(f.cases, id)
	}
	fmt.Printf("Ok, will run %d test cases\n", len(f.cases))
}

// awaitAll waits until the six runs are under way: each has the folder of this one beside its own.
func awaitAll(folder string) error {
	for {
		begun, err := filepath.Glob(filepath.Join(filepath.Dir(folder), "*", "fuzzing*.json"))
		if err != nil || len(begun) == 6 {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// hang waits for ever, together with a process of its own, which says where it listens.
func hang() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if os.Getenv("AUTOBAHN_CHILD") == "" {
		child := exec.Command(os.Args[0], os.Args[1:]...)
		child.Env = append(os.Environ(), "AUTOBAHN_CHILD=1")
		child.Stdout = os.Stdout
		if err := child.Run(); err != nil {
			return err
		}
	}
	fmt.Printf("the child listens on %s\n", listener.Addr())
	time.Sleep(time.Hour)
	return nil
}

// play plays one case.
func (f *fake) play(id string, compressed bool, conn *websocket.Conn) error {
	behavior, end := "OK", "OK"
	switch message, err := exchange(conn); {
	case err != nil || message != "hello":
		behavior = "FAILED"
	case strings.HasPrefix(id, "12.") && !compressed:
		behavior = "UNIMPLEMENTED"
	case id == "7.13.1":
		behavior, end = "INFORMATIONAL", "INFORMATIONAL"
	}
	if id == "1.1.1" {
		switch f.flaw {
		case "finds a failure":
			behavior = "FAILED"
		case "finds a wrong code":
			end = "WRONG CODE"
		case "dies":
			os.Exit(4)
		case "forgets a case":
			return nil
		}
	}
	f.reports[id] = map[string]string{
		"behavior": behavior, "behaviorClose": end, "reportfile": "case_" + id + ".json",
		"description": "Sends <br>hello", "result": "It is as it is.", "resultClose": "And ends.",
	}
	return nil
}

// agreed reports whether the header has permessage-deflate.
func agreed(header http.Header) bool {
	return strings.Contains(header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
}

// exchange sends a message and returns what comes back.
func exchange(conn *websocket.Conn) (string, error) {
	if err := conn.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		return "", err
	}
	_, message, err := conn.ReadMessage()
	return string(message), err
}

func (f *fake) write() error {
	if err := os.Mkdir(f.plan.Folder, 0o700); err != nil {
		return err
	}
	index, err := json.Marshal(map[string]any{f.agent: f.reports})
	if err != nil {
		return err
	}
	if f.flaw == "writes nonsense" {
		index = []byte("{")
	}
	for _, report := range f.reports {
		details, err := json.Marshal(report)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(f.plan.Folder, report["reportfile"]), details, 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(f.plan.Folder, "index.json"), index, 0o600)
}

func (f *fake) client() error {
	f.agent = f.plan.Servers[0].Agent
	for _, id := range f.cases {
		conn, response, err := websocket.Dial(context.Background(), f.plan.Servers[0].URL, &websocket.DialOptions{EnableCompression: true})
		if err != nil {
			return err
		}
		if err := f.play(id, agreed(response.Header), conn); err != nil {
			return err
		}
		if err := conn.CloseNormal(); err != nil {
			return err
		}
	}
	return f.write()
}

func (f *fake) server() error {
	if f.flaw == "listens late" {
		time.Sleep(200 * time.Millisecond)
	}
	upgrader := websocket.New(f)
	upgrader.EnableCompression = true
	address, err := url.Parse(f.plan.URL)
	if err != nil {
		return err
	}
	return http.ListenAndServe(address.Host, upgrader)
}

// Serve answers one request of the client's.
func (f *fake) Serve(conn *websocket.Conn, request *http.Request) error {
	query := request.URL.Query()
	f.agent = query.Get("agent")
	switch request.URL.Path {
	case "/getCaseCount":
		return conn.WriteMessage(websocket.TextMessage, []byte(strconv.Itoa(len(f.cases))))
	case "/runCase":
		number, err := strconv.Atoi(query.Get("case"))
		if err != nil {
			return err
		}
		return f.play(f.cases[number-1], agreed(request.Header), conn)
	case "/updateReports":
		return f.write()
	}
	return fmt.Errorf("no path %q", request.URL.Path)
}
