package publisher

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/snapshot"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// setAt returns a set of an epoch whose content follows from its revision.
func setAt(t testing.TB, epoch string, revision uint64) *snapshot.Set {
	t.Helper()
	items := []*snapshotv1.Item{
		{Kind: &snapshotv1.Item_Settings{Settings: &snapshotv1.Settings{KeyPepper: []byte("pepper")}}},
		{Kind: &snapshotv1.Item_User{User: &snapshotv1.User{Name: fmt.Sprintf("u%d", revision)}}},
	}
	set, err := snapshot.New(epoch, revision, items)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// Each script is a conversation between one follower and one node. It begins
// with what it shows; "> " lines are what the follower answers to the line above.
//
//	publish [epoch] N    a set is put in force
//	hello none           the node holds nothing
//	hello [epoch] N      the node holds revision N
//	hello altered N      the node says N, with another digest
//	ack NONCE            the node applied an update
//	nack NONCE REASON    the node refused one
//	show                 what the follower knows
func TestFollowerConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			script, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			runScript(t, string(script))
		})
	}
}

// runScript runs a script and compares every answer.
func runScript(t *testing.T, script string) {
	s := &scripted{t: t}
	lines := strings.Split(strings.TrimSpace(script), "\n")
	for n := 0; n < len(lines); n++ {
		line := strings.TrimSpace(lines[n])
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var want []string
		for n+1 < len(lines) && strings.HasPrefix(lines[n+1], "> ") {
			n++
			want = append(want, strings.TrimPrefix(lines[n], "> "))
		}
		if len(want) == 0 {
			t.Fatalf("line %d: %q expects nothing", n+1, line)
		}
		if got := s.do(strings.Fields(line)); got != strings.Join(want, "\n") {
			t.Fatalf("line %d: %s\ngot:  %s\nwant: %s", n+1, line, got, strings.Join(want, "\n"))
		}
	}
}

// scripted is a follower under a script.
type scripted struct {
	t       *testing.T
	f       follower
	history *history
}

// do runs one line and returns what happened.
func (s *scripted) do(words []string) string {
	switch words[0] {
	case "publish":
		epoch, revision := place(s.t, words[1:])
		next, err := s.history.with(setAt(s.t, epoch, revision))
		if err != nil {
			return "refused: " + err.Error()
		}
		s.history = next
	case "hello":
		s.f.hello(s.helloOf(words[1:]), s.history)
	case "ack":
		if s.f.ack(words[1]) == stale {
			return "stale"
		}
	case "nack":
		if s.f.nack(words[1], strings.Join(words[2:], " ")) == stale {
			return "stale"
		}
	case "show":
		return fmt.Sprintf("%s acked=%d refused=%d reason=%q", s.f.state, s.f.acked.revision, s.f.refused.revision, s.f.reason)
	default:
		s.t.Fatalf("no command %q", words[0])
	}
	return describe(s.f.next(s.history, "s"))
}

// place reads "[epoch] revision".
func place(t *testing.T, words []string) (string, uint64) {
	epoch := "e1"
	if len(words) == 2 {
		epoch, words = words[0], words[1:]
	}
	revision, err := strconv.ParseUint(words[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return epoch, revision
}

// helloOf returns what a node says that holds a place.
func (s *scripted) helloOf(words []string) *syncv1.Hello {
	if words[0] == "none" {
		return new(syncv1.Hello)
	}
	altered := words[0] == "altered"
	if altered {
		words = words[1:]
	}
	epoch, revision := place(s.t, words)
	digest := setAt(s.t, epoch, revision).Digest()
	if altered {
		digest[0] ^= 1
	}
	return &syncv1.Hello{Epoch: epoch, Revision: revision, Digest: digest[:]}
}

// describe says what an update is.
func describe(u *syncv1.Update) string {
	switch kind := u.GetKind().(type) {
	case nil:
		return "nothing"
	case *syncv1.Update_Snapshot:
		return fmt.Sprintf("%s snapshot %s/%d", u.GetNonce(), u.GetEpoch(), u.GetRevision())
	case *syncv1.Update_Delta:
		return fmt.Sprintf("%s delta %d->%d", u.GetNonce(), kind.Delta.GetFromRevision(), u.GetRevision())
	default:
		return "unknown"
	}
}

func TestHistoryForgetsTheOldestAndNeverTheLatest(t *testing.T) {
	var h *history
	for revision := range uint64(maxSets + 10) {
		next, err := h.with(setAt(t, "e1", revision+1))
		if err != nil {
			t.Fatal(err)
		}
		h = next
	}
	if len(h.sets) != maxSets || h.latest().Revision() != maxSets+10 {
		t.Errorf("%d sets, latest %d", len(h.sets), h.latest().Revision())
	}
	if h.find(markOf(setAt(t, "e1", 10))) != nil || h.find(markOf(setAt(t, "e1", 11))) == nil {
		t.Error("the history does not hold exactly the last sets")
	}
	if want := 2 * maxSets; h.entries != want {
		t.Errorf("counts %d entries, holds %d", h.entries, want)
	}
}

// Sets of a history share what did not change, so that many of them cost little.
func TestHistorySharesItems(t *testing.T) {
	first, err := (*history)(nil).with(setAt(t, "e1", 1))
	if err != nil {
		t.Fatal(err)
	}
	second, err := first.with(setAt(t, "e1", 2))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := second.sets[0].Get("settings")
	b, _ := second.sets[1].Get("settings")
	if a != b {
		t.Error("the settings are held twice")
	}
	if markOf(second.latest()) != markOf(setAt(t, "e1", 2)) {
		t.Error("sharing changed the set")
	}
}
