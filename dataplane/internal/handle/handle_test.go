package handle_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func key(fill byte, from time.Time) *snapshotv1.SealKey {
	return &snapshotv1.SealKey{Key: bytes.Repeat([]byte{fill}, 32), SealsFrom: timestamppb.New(from)}
}

func sealer(t testing.TB, keys ...*snapshotv1.SealKey) *handle.Sealer {
	t.Helper()
	s, err := handle.New(keys)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func someSealer(t testing.TB) *handle.Sealer { return sealer(t, key(1, now.Add(-time.Hour))) }

var (
	ana   = handle.OwnerOf(&principal.Principal{User: "ana", Application: "cursor", KeyID: "k1"})
	boris = handle.OwnerOf(&principal.Principal{User: "boris", Application: "cursor", KeyID: "k2"})
)

func someSession() *handle.Session {
	return &handle.Session{
		ID: [16]byte{1, 2, 3}, Route: "github", Version: "2025-11-25", Capabilities: 0x35,
		ClientName: "claude-code", ClientVersion: "2.1.0", Issued: now, Expires: now.Add(handle.SessionLife),
		Servers: []handle.ServerSession{
			{Server: "github", ID: "0b3a7c1e-5f2d-4a8b-9c6d-1e2f3a4b5c6d", Version: "2025-11-25"},
			{Server: "files", ID: "deadbeef00", Version: "2025-06-18"},
			{Server: "odd", ID: "Not-hex!", Version: "2031-01-01"},
		},
	}
}

// each seals and opens one kind: all of them make the same promises.
type each struct {
	name string
	seal func(s *handle.Sealer, owner handle.Owner, now time.Time) (string, error)
	// open returns what was opened, and what should have been.
	open func(s *handle.Sealer, token string, owner handle.Owner, now time.Time) (got, want any, err error)
}

func kinds() []each {
	session := someSession()
	expires := now.Add(10 * time.Minute)
	cursor := &handle.Cursor{List: 2, Route: "github", Digest: [8]byte{9}, Page: 3, Last: "create_issue", Expires: expires}
	state := &handle.RequestState{Server: "github", Method: "tools/call", Name: "create_issue", Arguments: [32]byte{7},
		Inner: []byte(`"inner"`), Parked: "p1", Node: "node-1", Expires: expires}
	request := &handle.ServerRequest{Server: "github", SessionID: "abcdef0123456789", Version: "2025-06-18", ID: []byte("17"),
		Method: "elicitation/create", Session: [16]byte{1}, Expires: expires}
	event := &handle.Event{Server: "github", SessionID: "s", Version: "2025-11-25", EventID: "e_1", ClientID: []byte(`"c"`),
		Method: "tools/call", CallID: [16]byte{3}, Session: [16]byte{1}, Expires: expires}
	return []each{
		{"session", func(s *handle.Sealer, o handle.Owner, now time.Time) (string, error) {
			token, left, err := s.SealSession(session, o, now)
			if len(left) > 0 {
				err = fmt.Errorf("left out: %q", left)
			}
			return token, err
		}, func(s *handle.Sealer, token string, o handle.Owner, now time.Time) (any, any, error) {
			var got handle.Session
			err := s.OpenSession(token, o, now, &got)
			return &got, session, err
		}},
		{"cursor", func(s *handle.Sealer, o handle.Owner, now time.Time) (string, error) {
			return s.SealCursor(cursor, o, now)
		}, func(s *handle.Sealer, token string, o handle.Owner, now time.Time) (any, any, error) {
			var got handle.Cursor
			err := s.OpenCursor(token, o, now, &got)
			return &got, cursor, err
		}},
		{"request state", func(s *handle.Sealer, o handle.Owner, now time.Time) (string, error) {
			return s.SealRequestState(state, o, now)
		}, func(s *handle.Sealer, token string, o handle.Owner, now time.Time) (any, any, error) {
			var got handle.RequestState
			err := s.OpenRequestState(token, o, now, &got)
			return &got, state, err
		}},
		{"server request", func(s *handle.Sealer, o handle.Owner, now time.Time) (string, error) {
			return s.SealServerRequest(request, o, now)
		}, func(s *handle.Sealer, token string, o handle.Owner, now time.Time) (any, any, error) {
			var got handle.ServerRequest
			err := s.OpenServerRequest(token, o, now, &got)
			return &got, request, err
		}},
		{"event", func(s *handle.Sealer, o handle.Owner, now time.Time) (string, error) {
			return s.SealEvent(event, o, now)
		}, func(s *handle.Sealer, token string, o handle.Owner, now time.Time) (any, any, error) {
			var got handle.Event
			err := s.OpenEvent(token, o, now, &got)
			return &got, event, err
		}},
	}
}

// token seals one of a kind for ana.
func (k each) token(t testing.TB, s *handle.Sealer) string {
	t.Helper()
	token, err := k.seal(s, ana, now)
	if err != nil {
		t.Fatalf("%s: %v", k.name, err)
	}
	return token
}

// refused reports whether a token does not open, with the one error.
func (k each) refused(s *handle.Sealer, token string, owner handle.Owner, at time.Time) bool {
	_, _, err := k.open(s, token, owner, at)
	return errors.Is(err, handle.ErrOpen)
}

func TestEveryNodeOpensWhatAnotherSealed(t *testing.T) {
	one, other := someSealer(t), someSealer(t)
	for _, k := range kinds() {
		got, want, err := k.open(other, k.token(t, one), ana, now)
		if err != nil {
			t.Errorf("%s: %v", k.name, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-sealed +opened):\n%s", k.name, diff)
		}
	}
}

func TestT21HandleOpensForItsOwnerOnly(t *testing.T) {
	s := someSealer(t)
	others := map[string]*principal.Principal{
		"another user":                        {User: "boris", Application: "cursor", KeyID: "k1"},
		"another application":                 {User: "ana", Application: "claude"},
		"letters moved from one to the other": {User: "anac", Application: "ursor"},
		"nobody":                              {},
	}
	for _, k := range kinds() {
		token := k.token(t, s)
		for who, p := range others {
			if !k.refused(s, token, handle.OwnerOf(p), now) {
				t.Errorf("%s opens for %s", k.name, who)
			}
		}
		rotated := handle.OwnerOf(&principal.Principal{User: "ana", Application: "cursor", KeyID: "k9", Roles: []string{"x"}})
		if _, _, err := k.open(s, token, rotated, now); err != nil {
			t.Errorf("%s does not outlive the rotation of the API key: %v", k.name, err)
		}
	}
}

func TestT21NoKindPassesForAnother(t *testing.T) {
	s := someSealer(t)
	for _, sealed := range kinds() {
		token := sealed.token(t, s)
		for _, opened := range kinds() {
			if opened.name != sealed.name && !opened.refused(s, token, ana, now) {
				t.Errorf("a %s opens as a %s", sealed.name, opened.name)
			}
		}
	}
}

func TestT21EveryChangedBitIsNoticed(t *testing.T) {
	s := someSealer(t)
	for _, k := range kinds() {
		token := k.token(t, s)
		for i := range len(token) {
			for bit := range 8 {
				changed := []byte(token)
				changed[i] ^= 1 << bit
				if !k.refused(s, string(changed), ana, now) {
					t.Fatalf("%s: byte %d, bit %d: opens", k.name, i, bit)
				}
			}
			if !k.refused(s, token[:i], ana, now) {
				t.Fatalf("%s: the first %d bytes open", k.name, i)
			}
			// The decoder of the standard library skips these.
			for _, more := range []string{"\n", "\r", "=", "A", "\x00"} {
				if !k.refused(s, token[:i]+more+token[i:], ana, now) {
					t.Fatalf("%s: opens with %q at %d", k.name, more, i)
				}
			}
		}
		if !k.refused(s, token+"\n", ana, now) || !k.refused(s, token+"=", ana, now) || !k.refused(s, token+"AAAA", ana, now) {
			t.Errorf("%s: opens with more behind it", k.name)
		}
	}
}

func TestT21HandleOpensUntilItExpires(t *testing.T) {
	s := someSealer(t)
	for _, k := range kinds() {
		token, life := k.token(t, s), 10*time.Minute
		if k.name == "session" {
			life = handle.SessionLife
		}
		if _, _, err := k.open(s, token, ana, now.Add(life-time.Nanosecond)); err != nil {
			t.Errorf("%s: expired too soon: %v", k.name, err)
		}
		if !k.refused(s, token, ana, now.Add(life)) {
			t.Errorf("%s: opens when it has expired", k.name)
		}
	}
}

func TestNothingIsSealedThatCouldOutliveItsKey(t *testing.T) {
	s := someSealer(t)
	session := someSession()
	session.Expires = now.Add(handle.MaxLife + time.Second)
	if _, _, err := s.SealSession(session, ana, now); err == nil {
		t.Error("session sealed")
	}
	if _, err := s.SealCursor(&handle.Cursor{Expires: session.Expires}, ana, now); err == nil {
		t.Error("cursor sealed")
	}
}

func TestKeysFollowOneAnotherAtTheirTime(t *testing.T) {
	old, next := key(1, now.Add(-24*time.Hour)), key(2, now.Add(5*time.Minute))
	before, during, after := sealer(t, old), sealer(t, next, old), sealer(t, next)
	k := kinds()[0]
	opens := func(s *handle.Sealer, token string) bool {
		_, _, err := k.open(s, token, ana, now)
		return err == nil
	}
	early := k.token(t, during)
	if !opens(before, early) || !opens(during, early) || opens(after, early) {
		t.Error("before the new key's time the old one does not seal")
	}
	late, err := k.seal(during, ana, now.Add(5*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if opens(before, late) || !opens(during, late) || !opens(after, late) {
		t.Error("from the new key's time on it does not seal")
	}
	if token := k.token(t, after); !opens(during, token) {
		t.Error("a node whose clock is behind all keys does not seal, or with no key that others have")
	}
}

func TestKeysThatCannotSealAreRefused(t *testing.T) {
	short := key(1, now)
	short.Key = short.Key[:31]
	for why, keys := range map[string][]*snapshotv1.SealKey{
		"none": nil, "short": {short}, "the same twice": {key(1, now), key(1, now.Add(time.Hour))}, "empty": {{}},
	} {
		if _, err := handle.New(keys); err == nil {
			t.Errorf("%s: accepted", why)
		}
	}
}

func TestSessionIDGivesNothingAwayAndFitsAHeader(t *testing.T) {
	s := someSealer(t)
	one, two := kinds()[0].token(t, s), kinds()[0].token(t, s)
	if one == two {
		t.Error("equal sessions look equal")
	}
	for _, c := range []byte(one) {
		if c < 0x21 || c > 0x7e {
			t.Fatalf("byte %#x in %s", c, one)
		}
	}
	if !strings.HasPrefix(one, "w1.") || strings.Contains(one, "github") || len(one) > 300 {
		t.Errorf("%d bytes: %s", len(one), one)
	}
}

// uuid returns a session id as most servers give them.
func uuid(i int) string {
	sum := sha256.Sum256([]byte{byte(i), byte(i >> 8)})
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

func TestSessionsOfServersThatDoNotFitAreLeftOut(t *testing.T) {
	s := someSealer(t)
	v := someSession()
	v.ClientName, v.ClientVersion = strings.Repeat("é", 60), strings.Repeat("9", 500)
	v.Servers = []handle.ServerSession{{Server: "long", ID: strings.Repeat("J", 900), Version: "2025-11-25"}}
	for i := range 25 {
		v.Servers = append(v.Servers, handle.ServerSession{Server: fmt.Sprintf("server-%02d", i), ID: uuid(i), Version: "2025-11-25"})
	}
	token, left, err := s.SealSession(v, ana, now)
	if err != nil {
		t.Fatal(err)
	}
	if len(token) > 1536 || len(left) != 1 || left[0] != "long" {
		t.Errorf("%d bytes, left out: %q", len(token), left)
	}
	var got handle.Session
	if err := s.OpenSession(token, ana, now, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v.Servers[1:], got.Servers); diff != "" {
		t.Error(diff)
	}
	if got.ClientName != strings.Repeat("é", 32) || len(got.ClientVersion) != 32 {
		t.Errorf("cut to %q, %q", got.ClientName, got.ClientVersion)
	}
}

func TestWhichSessionsAreLeftOutDoesNotDependOnTheirOrder(t *testing.T) {
	s := someSealer(t)
	v := someSession()
	v.Servers = nil
	for i := range 100 {
		v.Servers = append(v.Servers, handle.ServerSession{Server: fmt.Sprintf("server-%03d", i), ID: uuid(i), Version: "2025-11-25"})
	}
	_, left, err := s.SealSession(v, ana, now)
	if err != nil {
		t.Fatal(err)
	}
	kept := 100 - len(left)
	if kept < 25 || left[0] != fmt.Sprintf("server-%03d", kept) || left[len(left)-1] != "server-099" {
		t.Errorf("%d kept; left out: %q", kept, left)
	}
	for i, j := 0, 99; i < j; i, j = i+1, j-1 {
		v.Servers[i], v.Servers[j] = v.Servers[j], v.Servers[i]
	}
	token, again, err := s.SealSession(v, ana, now)
	if err != nil || len(token) > 1536 || len(again) != len(left) || again[0] != "server-099" {
		t.Errorf("reversed: %d bytes, left out %q: %v", len(token), again, err)
	}
}

func TestWhatIsTooLongForASessionIDIsRefused(t *testing.T) {
	v := someSession()
	v.Route = strings.Repeat("x", 1500)
	if token, _, err := someSealer(t).SealSession(v, ana, now); err == nil {
		t.Errorf("%d bytes", len(token))
	}
}

func TestAbsentIsNotEmpty(t *testing.T) {
	s := someSealer(t)
	for _, inner := range [][]byte{nil, {}, []byte("null")} {
		token, err := s.SealRequestState(&handle.RequestState{Inner: inner, Expires: now.Add(time.Minute)}, ana, now)
		if err != nil {
			t.Fatal(err)
		}
		var got handle.RequestState
		if err := s.OpenRequestState(token, ana, now, &got); err != nil || (got.Inner == nil) != (inner == nil) || !bytes.Equal(got.Inner, inner) {
			t.Errorf("%q became %q: %v", inner, got.Inner, err)
		}
	}
}

func TestUpstreamIDIsTheSameAtEveryNodeAndNowhereElse(t *testing.T) {
	session := [16]byte{1, 2, 3}
	got := string(handle.UpstreamID([]byte("x:"), session, []byte("7")))
	// HMAC-SHA-256, computed apart from the code.
	if want := wantUpstreamID(session, "7"); got != "x:"+want {
		t.Errorf("got %s, want x:%s", got, want)
	}
	seen := map[string]bool{}
	for _, s := range [][16]byte{{}, {1}, session} {
		for _, id := range []string{"7", "70", `"7"`, "", strings.Repeat("9", 5000)} {
			seen[string(handle.UpstreamID(nil, s, []byte(id)))] = true
		}
	}
	if len(seen) != 15 {
		t.Errorf("%d distinct ids of 15", len(seen))
	}
}

func TestOpeningASessionAllocatesTwice(t *testing.T) {
	s, sealed := someSealer(t), someSession()
	sealed.Servers = sealed.Servers[:2] // A version that is not known would take one more.
	token, _, err := s.SealSession(sealed, ana, now)
	if err != nil {
		t.Fatal(err)
	}
	var v handle.Session
	allocs := testing.AllocsPerRun(1000, func() {
		if err := s.OpenSession(token, ana, now, &v); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 2+slack {
		t.Errorf("%v allocations", allocs)
	}
	id, room := []byte("12345"), make([]byte, 0, 64)
	if allocs := testing.AllocsPerRun(1000, func() { handle.UpstreamID(room, v.ID, id) }); allocs > 0 {
		t.Errorf("UpstreamID: %v allocations", allocs)
	}
}
