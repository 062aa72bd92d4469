package replica

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/internal/snapshot"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// scout is a node that keeps where agents are.
type scout struct {
	*node
	told, recalled []*syncv1.Locations
}

func newScout(t *testing.T, dir string) *scout {
	t.Helper()
	s := &scout{node: newNode(t, dir)}
	s.config.Locations = func(l *syncv1.Locations) { s.told = append(s.told, l) }
	s.config.Recalled = func(l *syncv1.Locations) { s.recalled = append(s.recalled, l) }
	return s
}

func at(node string) *syncv1.Locations {
	return &syncv1.Locations{
		Nodes:  []*syncv1.NodeLocation{{Name: node, TunnelAddress: "127.0.0.1:1"}},
		Agents: []*syncv1.AgentLocation{{Name: "canary-laptop", Nodes: []string{node}, Ready: []string{"files"}}},
	}
}

// hears has it told locations, one after another.
func (s *scout) hears(t *testing.T, all ...*syncv1.Locations) {
	t.Helper()
	p := newPublisher(t)
	for _, l := range all {
		p.between = append(p.between, &syncv1.SyncResponse{Locations: l})
	}
	if err := os.RemoveAll(filepath.Join(s.dir, pinFile)); err != nil {
		t.Fatal(err)
	}
	s.pinned = nil // Each publisher has a key of its own.
	_, stop := s.follow(t, p)
	p.send(t, snapshot.FullUpdate(set(t, uint64(len(s.told)+1), "ana")))
	stop()
}

func TestANodeThatStartsGoesByWhereAgentsWereLast(t *testing.T) {
	s := newScout(t, t.TempDir())
	s.hears(t, at("edge-1"), at("edge-2")) // The first comes once more, at last.
	path := filepath.Join(s.dir, placesFile)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || bytes.Contains(content, []byte("canary")) {
		t.Errorf("the file has mode %v, %v, or shows what it holds", info.Mode(), err)
	}
	again := newScout(t, s.dir)
	if err := again.Load(); err != nil {
		t.Fatal(err)
	}
	if len(again.recalled) != 1 || !proto.Equal(again.recalled[0], s.told[len(s.told)-1]) || len(again.told) != 0 {
		t.Errorf("recalled %v; the last word was %v", again.recalled, s.told[len(s.told)-1])
	}

	// What is kept already is not written again, as when a node connects again.
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	again.hears(t, again.recalled[0])
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("it was written again: %v", err)
	}
	again.hears(t, at("edge-3"))
	if after, err := os.Stat(path); err != nil || os.SameFile(before, after) {
		t.Errorf("it was not written: %v", err)
	}
}

func TestAFileOfLocationsThatCannotBeUsedIsIgnored(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"flipped bit": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"cut":         func(b []byte) []byte { return b[:len(b)/2] },
		"empty":       func([]byte) []byte { return nil },
		"too large":   func([]byte) []byte { return make([]byte, maxPlaces+1) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScout(t, t.TempDir())
			s.hears(t, at("edge-1"))
			rewrite(t, filepath.Join(s.dir, placesFile), damage)
			again := newScout(t, s.dir)
			if err := again.Load(); err != nil {
				t.Fatal(err)
			}
			if again.recalled != nil || strings.Count(again.log.String(), "where agents were is not known") != 1 {
				t.Errorf("recalled %v; the log:\n%s", again.recalled, again.log.String())
			}
			wantServing(t, again.node, 1, "ana ")
			again.hears(t, at("edge-1"))
			third := newScout(t, s.dir)
			if err := third.Load(); err != nil || len(third.recalled) != 1 {
				t.Errorf("the next word was not kept: %v %v", err, third.recalled)
			}
		})
	}
}

func TestMoreLocationsThanAreKeptLeaveTheFileAsItWas(t *testing.T) {
	s := newScout(t, t.TempDir())
	s.hears(t, at("edge-1"))
	s.hears(t, at(strings.Repeat("x", maxPlaces)))
	if !strings.Contains(s.log.String(), "no more than 16777216 are kept") {
		t.Errorf("the log:\n%s", s.log.String())
	}
	again := newScout(t, s.dir)
	if err := again.Load(); err != nil || len(again.recalled) != 1 || !proto.Equal(again.recalled[0], at("edge-1")) {
		t.Errorf("recalled %.200v, %v", again.recalled, err)
	}
}
