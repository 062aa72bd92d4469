package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/warder-gateway/warder/agent"
)

func TestTheBannerSaysWhereAgentsJoinIfAnybodyIsToKnow(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, c := range []struct {
		listen, address, says string
	}{
		{anyPort, "", ""},
		{"localhost:0", "", ""},
		{anyPort, "laptop.corp:8444", "laptop.corp:8444"},
		{"127.0.0.1:8444", "", "127.0.0.1:" + port},
		{"gateway.corp:0", "", "gateway.corp:" + port},
		{"0.0.0.0:8444", "", l.Addr().String()},
		{"0.0.0.0:8444", "gateway.corp:443", "gateway.corp:443"},
	} {
		u := &allInOne{config: upConfig{nodeListen: c.listen, nodeAddress: c.address}, nodes: l}
		if got := u.joinLine(); got != c.says {
			t.Errorf("--node-listen %s --node-address %q: %q, want %q", c.listen, c.address, got, c.says)
		}
	}
}

func TestAgentsThatCouldJoinButNotBeCalledAreWarnedOf(t *testing.T) {
	for _, c := range []struct {
		config upConfig
		warns  bool
	}{
		{upConfig{nodeListen: anyPort, tunnelListen: anyPort}, false},
		{upConfig{nodeListen: ":8444", tunnelListen: anyPort}, true},
		{upConfig{nodeListen: anyPort, nodeAddress: "gateway.corp:8444", tunnelListen: anyPort}, true},
		{upConfig{nodeListen: ":8444", tunnelListen: "gateway.corp:7071"}, false},
		{upConfig{nodeListen: ":8444", tunnelListen: anyPort, tunnelAddress: "gateway.corp:7071"}, false},
	} {
		var log bytes.Buffer
		u := &allInOne{config: c.config, log: slog.New(slog.NewTextHandler(&log, nil))}
		u.warnOfHiddenNode()
		if got := strings.Contains(log.String(), "--tunnel-listen"); got != c.warns {
			t.Errorf("%+v: %q", c.config, &log)
		}
	}
}

func TestAPartHasEndedWhenAllItsLoopsHave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		group, failed := errgroup.WithContext(t.Context())
		ended := 0
		p := begin(context.Background(), group,
			func(ctx context.Context) error { <-ctx.Done(); time.Sleep(time.Minute); ended++; return nil },
			func(context.Context) error { return errors.New("a loop that failed") })
		<-failed.Done()
		if ended != 0 {
			t.Error("a loop ended before it was told to")
		}
		p.end()
		if ended != 1 {
			t.Error("a part has ended, and a loop of it has not")
		}
		if err := group.Wait(); err == nil || err.Error() != "a loop that failed" {
			t.Errorf("the group ended with %v", err)
		}
	})
}

func TestWhatIsAwaitedIsAskedForUntilItComesOrForSoLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		late := errors.New("not yet")
		if err := await(t.Context(), bearings, func() error { return late }); err != late || time.Since(began) != bearings {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		began = time.Now()
		err := await(t.Context(), bearings, func() error {
			if time.Since(began) < time.Second {
				return late
			}
			return nil
		})
		if err != nil || time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// TestAnAgentThatCannotStartSaysWhichLineIsWrong is for a file that was changed after it was checked.
func TestAnAgentThatCannotStartSaysWhichLineIsWrong(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "agent.yaml")
	if err := os.WriteFile(file, []byte("servers: []\nalow: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	u := &allInOne{agent: &agent.Config{File: file, ControlPlane: "127.0.0.1:1", DataDir: dir}}
	err := u.runAgent(t.Context())
	if err == nil || !strings.Contains(err.Error(), "start the agent local: "+file+": line 2, column 1") {
		t.Fatalf("it says %v", err)
	}
	if f := classify(err); f.exit != exitPrecondition {
		t.Errorf("exit %d", f.exit)
	}
	if err := new(allInOne).runAgent(t.Context()); err != nil {
		t.Errorf("without an agent: %v", err)
	}
}
