//go:build unix

package process

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/warder-gateway/warder/agent/internal/wire"
	"github.com/warder-gateway/warder/internal/mcp"
)

// TestMain runs the tests, or, as a child of theirs, a server.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		serve(os.Args[2:])
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "agent" {
		beAgent()
	}
	if len(os.Args) > 1 && os.Args[1] == "daemonize" {
		if err := exec.Command(os.Args[0], "sleep").Start(); err != nil {
			panic(err)
		}
		return // And leaves it to whoever adopts it.
	}
	if len(os.Args) > 1 && os.Args[1] == "sleep" {
		signal.Ignore(syscall.SIGTERM)
		time.Sleep(time.Hour)
	}
	os.Exit(m.Run())
}

// beAgent runs a server that does not mind the end of its input, names it and what it has started, and waits to be killed.
func beAgent() {
	p, err := Start(&Spec{Command: []string{os.Args[0], "serve", "stubborn"}}, make(heard, 10), Options{})
	if err != nil {
		panic(err)
	}
	fmt.Println(p.PID())
	for _, method := range []string{"spawn", "spawn-away"} {
		body := []byte(`{"jsonrpc":"2.0","id":1,"method":"` + method + `"}`)
		var req mcp.Request
		if err := mcp.ScanRequest(body, mcp.Limits{}, &req); err != nil {
			panic(err)
		}
		call, err := p.Begin(context.Background(), body, &req)
		if err != nil {
			panic(err)
		}
		answer, err := call.Wait(context.Background())
		if err != nil {
			panic(err)
		}
		var message struct{ Result struct{ PID int } }
		if err := json.Unmarshal(answer, &message); err != nil {
			panic(err)
		}
		fmt.Println(message.Result.PID)
	}
	select {}
}

// message is what the server reads.
type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Nonce string          `json:"nonce"`
		Text  string          `json:"text"`
		Meta  json.RawMessage `json:"_meta"`
	} `json:"params"`
}

// server answers each request on its own, after a while by chance.
type server struct {
	mu   sync.Mutex
	seen []string
}

func serve(flags []string) {
	s := &server{}
	stubborn := false
	for _, flag := range flags {
		switch flag {
		case "stubborn":
			stubborn = true
			signal.Ignore(syscall.SIGTERM)
		case "mute":
			os.Stdout.Close()
		case "prose":
			for i := range 200 {
				fmt.Println("line", i)
			}
		}
	}
	in := bufio.NewReader(os.Stdin)
	for {
		text, err := in.ReadBytes('\n')
		if err != nil {
			break
		}
		var m message
		if json.Unmarshal(text, &m) != nil {
			continue
		}
		s.note(m.Method + string(m.ID))
		if len(m.ID) > 0 {
			go s.answer(&m)
		}
	}
	if stubborn {
		time.Sleep(time.Hour)
	}
}

func (s *server) note(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, text)
}

func (s *server) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Printf(format+"\n", args...)
}

func (s *server) answer(m *message) {
	result := map[string]any{"nonce": m.Params.Nonce}
	switch m.Method {
	case "echo":
		time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond)
		var meta struct {
			Token json.RawMessage `json:"progressToken"`
		}
		if json.Unmarshal(m.Params.Meta, &meta) == nil && len(meta.Token) > 0 {
			s.say(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":1,"message":%q}}`, meta.Token, m.Params.Nonce)
		}
	case "crash":
		fmt.Fprintln(os.Stderr, m.Params.Text)
		os.Exit(3)
	case "hang":
		return
	case "huge":
		result["text"] = strings.Repeat("x", wire.MaxMessage)
	case "garbage":
		s.say("Server is getting ready, %s", m.Params.Nonce)
	case "broken":
		s.say(`{"jsonrpc":"2.0","id":%s,"id":1,"result":{}}`, m.ID)
		return
	case "ask":
		s.say(`{"jsonrpc":"2.0","id":7,"method":"roots/list"}`)
	case "environ":
		result["environ"] = os.Environ()
	case "status":
		text, _ := os.ReadFile("/proc/self/status")
		result["status"] = string(text)
	case "seen":
		s.mu.Lock()
		result["seen"] = s.seen
		s.mu.Unlock()
	case "spawn", "spawn-away":
		cmd := exec.Command(os.Args[0], "sleep")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: m.Method == "spawn-away"}
		cmd.Stdout = os.Stdout
		if err := cmd.Start(); err != nil {
			result["error"] = err.Error()
			break
		}
		result["pid"] = cmd.Process.Pid
	}
	if m.Method == "daemonize" {
		cmd := exec.Command(os.Args[0], "daemonize")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Run(); err != nil {
			result["error"] = err.Error()
		}
		result["pid"] = cmd.Process.Pid
	}
	text, _ := json.Marshal(result)
	s.say(`{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, text)
}
