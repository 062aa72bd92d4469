package replica

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/snapshot"
)

func TestP05_ANodeStartsFromDiskWithoutAControlPlane(t *testing.T) {
	p, n := newPublisher(t), newNode(t, t.TempDir())
	_, stop := n.follow(t, p)
	one, two := set(t, 5, "ana", "bob"), set(t, 9, "bob", "eve")
	p.send(t, snapshot.FullUpdate(one))
	p.send(t, snapshot.DeltaUpdate(one, two))
	stop()
	wantServing(t, n, 9, "bob eve ") // the control plane is away, and it serves on

	again := newNode(t, n.dir)
	if err := again.Load(); err != nil {
		t.Fatal(err)
	}
	wantServing(t, again, 9, "bob eve ")

	hello, _ := again.follow(t, p)
	digest := two.Digest()
	if hello.GetEpoch() != "epoch-1" || hello.GetRevision() != 9 || !bytes.Equal(hello.GetDigest(), digest[:]) {
		t.Errorf("hello after a restart = %v", hello)
	}
	if p.send(t, snapshot.DeltaUpdate(two, set(t, 10, "zoe"))).GetAck() == nil {
		t.Error("a delta on what came from disk was refused")
	}
	wantServing(t, again, 10, "zoe ")
}

func TestP05_TheKeyStaysPinnedOverARestart(t *testing.T) {
	p, n := newPublisher(t), newNode(t, t.TempDir())
	_, stop := n.follow(t, p)
	p.send(t, snapshot.FullUpdate(set(t, 5, "ana")))
	stop()
	if err := os.Remove(filepath.Join(n.dir, snapshotFile)); err != nil {
		t.Fatal(err)
	}

	stranger, again := newPublisher(t), newNode(t, n.dir)
	if err := again.Load(); err != nil {
		t.Fatal(err)
	}
	again.follow(t, stranger)
	nack := stranger.send(t, snapshot.FullUpdate(set(t, 6, "eve"))).GetNack()
	if !strings.Contains(nack.GetReason(), "another key") || again.Current() != nil {
		t.Errorf("a stranger's snapshot: nack %v, serving %v", nack, again.Current())
	}
}

func TestTheSnapshotOnDiskShowsNothing(t *testing.T) {
	p, n := newPublisher(t), newNode(t, t.TempDir())
	_, stop := n.follow(t, p)
	p.send(t, snapshot.FullUpdate(set(t, 5, "canary-user")))
	stop()
	for _, name := range []string{snapshotFile, pinFile} {
		path := filepath.Join(n.dir, name)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte("canary")) {
			t.Errorf("%s shows what it holds", name)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
	}
}

func TestAFileThatDoesNotVerifyIsSetAsideAndNeverServed(t *testing.T) {
	tests := map[string]func(t *testing.T, dir string){
		"flipped bit": func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, snapshotFile), func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		},
		"cut": func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, snapshotFile), func(b []byte) []byte { return b[:len(b)/2] })
		},
		"cut between two parts": func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, snapshotFile), func(b []byte) []byte { return b[:4+binary.BigEndian.Uint32(b)] })
		},
		"a part twice": func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, snapshotFile), func(b []byte) []byte {
				return append(slices.Clone(b[:4+binary.BigEndian.Uint32(b)]), b...)
			})
		},
		"empty": func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, snapshotFile), func([]byte) []byte { return nil })
		},
		"sealed for another node": func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "node.key")); err != nil {
				t.Fatal(err)
			}
		},
		"pinned key gone": func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, pinFile)); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			p, n := newPublisher(t), newNode(t, t.TempDir())
			_, stop := n.follow(t, p)
			p.send(t, snapshot.FullUpdate(set(t, 5, many(200)...)))
			stop()
			damage(t, n.dir)
			before, err := os.ReadFile(filepath.Join(n.dir, snapshotFile))
			if err != nil {
				t.Fatal(err)
			}

			again := newNode(t, n.dir)
			if err := again.Load(); err != nil {
				t.Fatal(err)
			}
			if again.Current() != nil {
				t.Errorf("it is served: %+v", again.Current())
			}
			if !strings.Contains(again.log.String(), "set aside") {
				t.Errorf("log: %s", again.log)
			}
			aside, err := filepath.Glob(filepath.Join(n.dir, snapshotFile+".refused-*"))
			if err != nil || len(aside) != 1 {
				t.Fatalf("files set aside: %v, %v", aside, err)
			}
			if after, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the file set aside has other content: %v", err)
			}

			again.follow(t, p)
			if p.send(t, snapshot.FullUpdate(set(t, 5, "ana"))).GetAck() == nil {
				t.Error("the node does not recover")
			}
		})
	}
}

func TestAPinnedKeyThatCannotBeReadStopsTheNode(t *testing.T) {
	n := newNode(t, t.TempDir())
	if err := os.WriteFile(filepath.Join(n.dir, pinFile), []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.Load(); err == nil || !strings.Contains(err.Error(), pinFile) {
		t.Errorf("Load = %v", err)
	}
	if err := n.Follow(t.Context(), serve(t, newPublisher(t))); err == nil || !strings.Contains(err.Error(), pinFile) {
		t.Errorf("Follow = %v", err)
	}
}

func TestASetThatCannotBeBuiltAnyMoreIsSetAsideAtStart(t *testing.T) {
	p, n := newPublisher(t), newNode(t, t.TempDir())
	_, stop := n.follow(t, p)
	p.send(t, snapshot.FullUpdate(set(t, 5, "ana")))
	stop()
	again := newNode(t, n.dir)
	again.config.Build = func(*snapshot.Set, func()) (*index, error) { return nil, errors.New("no longer") }
	if err := again.Load(); err != nil || again.Current() != nil || !strings.Contains(again.log.String(), "no longer") {
		t.Errorf("Load = %v, serving %v, log %s", err, again.Current(), again.log)
	}
}

func TestTheWriterSkipsWhatIsSuperseded(t *testing.T) {
	n := newNode(t, t.TempDir())
	w := n.startSnapshotWriter()
	started, release := make(chan struct{}), make(chan struct{})
	w.put(func(io.Writer, func()) error { close(started); <-release; return nil })
	<-started
	for range 100 {
		w.put(func(io.Writer, func()) error { t.Error("a superseded snapshot was written"); return nil })
	}
	w.put(func(file io.Writer, _ func()) error { _, err := io.WriteString(file, "last"); return err })
	close(release)
	w.close()

	if content, err := os.ReadFile(filepath.Join(n.dir, snapshotFile)); err != nil || string(content) != "last" {
		t.Errorf("on disk is %q, %v", content, err)
	}
	if entries, _ := os.ReadDir(n.dir); len(entries) != 2 { // the key and the snapshot
		t.Errorf("drafts are left over: %v", entries)
	}
}
