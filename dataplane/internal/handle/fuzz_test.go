package handle_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/internal/mcp"
)

// Whatever a client sends opens to what was sealed, or not at all.
func FuzzOpenIsTotal(f *testing.F) {
	s, all := someSealer(f), kinds()
	for _, k := range all {
		f.Add(k.token(f, s))
	}
	f.Add("w1.")
	f.Add("")
	// What the fuzzer is given is sealed for ana; it opens as boris.
	f.Fuzz(func(t *testing.T, token string) {
		for _, k := range all {
			if _, _, err := k.open(s, token, boris, now); !errors.Is(err, handle.ErrOpen) {
				t.Errorf("%q opens as a %s: %v", token, k.name, err)
			}
		}
	})
}

func FuzzSessionRoundTrip(f *testing.F) {
	s := someSealer(f)
	f.Add([]byte("0123456789abcdef"), "github", "2025-11-25", uint16(3), "claude", "1", int64(3600), "files", "deadbeef", uuid(1), "2099-01-01")
	f.Add([]byte(nil), "", "", uint16(0), "", "", int64(1), "", "", "", "")
	f.Fuzz(func(t *testing.T, id []byte, route, version string, capabilities uint16, name, clientVersion string, life int64,
		server, one, two, other string) {
		v := &handle.Session{
			Route: route, Version: version, Capabilities: mcp.Capabilities(capabilities), ClientName: name, ClientVersion: clientVersion,
			Issued: now, Expires: now.Add(time.Duration(life) * time.Second),
			Servers: []handle.ServerSession{{Server: server, ID: one, Version: version}, {Server: server, ID: two, Version: other}},
		}
		copy(v.ID[:], id)
		token, left, err := s.SealSession(v, ana, now)
		if err != nil || life <= 0 || life > int64(handle.SessionLife/time.Second) {
			return
		}
		if len(token) > 1536 {
			t.Fatalf("%d bytes", len(token))
		}
		var got handle.Session
		if err := s.OpenSession(token, ana, now, &got); err != nil {
			t.Fatal(err)
		}
		if len(left) > 0 || len(name) > 64 || len(clientVersion) > 32 {
			return
		}
		if diff := cmp.Diff(v, &got); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzStateRoundTrip(f *testing.F) {
	s := someSealer(f)
	f.Add("github", "tools/call", "x", []byte(`"inner"`), "parked", uuid(2), 7)
	f.Add("", "", "", []byte(nil), "", "", 0)
	f.Fuzz(func(t *testing.T, server, method, name string, raw []byte, parked, id string, page int) {
		expires := now.Add(time.Minute)
		state := handle.RequestState{Server: server, Method: method, Name: name, Inner: raw, Parked: parked, Expires: expires}
		roundTrip(t, s.SealRequestState, s.OpenRequestState, &state)
		request := handle.ServerRequest{Server: server, SessionID: id, Version: name, ID: raw, Pending: parked, Method: method, Expires: expires}
		roundTrip(t, s.SealServerRequest, s.OpenServerRequest, &request)
		event := handle.Event{Server: server, SessionID: id, EventID: name, ClientID: raw, Method: method, Expires: expires}
		roundTrip(t, s.SealEvent, s.OpenEvent, &event)
		cursor := handle.Cursor{List: byte(page), Route: server, Page: page & (1<<31 - 1), Last: name, Expires: expires}
		roundTrip(t, s.SealCursor, s.OpenCursor, &cursor)
	})
}

func roundTrip[V any](t *testing.T, seal func(*V, handle.Owner, time.Time) (string, error),
	open func(string, handle.Owner, time.Time, *V) error, want *V) {
	t.Helper()
	token, err := seal(want, ana, now)
	if err != nil {
		t.Fatal(err)
	}
	var got V
	if err := open(token, ana, now, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, &got); diff != "" {
		t.Error(diff)
	}
}

// A changed character never opens, nor does another owner open anything.
func FuzzChangedHandleDoesNotOpen(f *testing.F) {
	s, all := someSealer(f), kinds()
	f.Add(uint8(0), uint16(9), uint8(1), []byte{1})
	f.Fuzz(func(t *testing.T, which uint8, at uint16, with uint8, owner []byte) {
		k := all[int(which)%len(all)]
		token := []byte(k.token(t, s))
		var other handle.Owner
		copy(other[:], owner)
		if other != ana && !k.refused(s, string(token), other, now) {
			t.Errorf("a %s opens for %x", k.name, other)
		}
		if with == 0 {
			return
		}
		token[int(at)%len(token)] ^= with
		if !k.refused(s, string(token), ana, now) {
			t.Errorf("a %s with byte %d changed by %#x opens", k.name, int(at)%len(token), with)
		}
	})
}
