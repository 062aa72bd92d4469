package token

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/token/tokentest"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// clock is one that a test moves.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time           { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(by time.Duration) { c.ahead.Add(int64(by)) }

func newClockedWorld(t *testing.T) (*world, *clock) {
	t.Helper()
	c := new(clock)
	w := &world{Issuer: tokentest.New(t), keeper: NewKeeper(Config{Now: c.now})}
	t.Cleanup(w.keeper.Close)
	w.settle(t)
	return w, c
}

// T-16: tokens that name keys nobody knows cost the issuer next to nothing, and
// hold up nobody whose token is good.
func TestT16_AFloodOfUnknownKeysFetchesTwiceAtMost(t *testing.T) {
	w, _ := newClockedWorld(t)
	good := w.say(nil)
	if _, refusal := w.verify(good); refusal != nil {
		t.Fatal(refusal)
	}
	template := strings.Split(w.say(nil), ".")
	var flood sync.WaitGroup
	for worker := range 8 {
		flood.Go(func() {
			for i := range 1250 {
				head := raw(fmt.Sprintf(`{"alg":"ES256","kid":"k%d-%d"}`, worker, i))
				if got, refusal := w.verify(head + "." + template[1] + "." + template[2]); got != nil || refusal.Reason != ReasonKey {
					t.Errorf("%v %v", got, refusal)
					return
				}
			}
		})
	}
	for range 1000 {
		began := time.Now()
		if _, refusal := w.verify(good); refusal != nil {
			t.Fatal(refusal)
		}
		if took := time.Since(began); took > maxWait/2 {
			t.Fatalf("a good token waited %s", took)
		}
	}
	flood.Wait()
	if n := w.Fetched.Load(); n > 2 {
		t.Errorf("the issuer was asked %d times", n)
	}
}

func TestANewKeyIsFetchedWhenATokenNamesIt(t *testing.T) {
	w, c := newClockedWorld(t)
	old := w.say(nil)
	if _, refusal := w.verify(old); refusal != nil {
		t.Fatal(refusal)
	}
	w.Publish(tokentest.Key{ID: "next", Private: tokentest.EC(t)})
	next := w.Sign(w.Key("next"), tokentest.Member{"alg": "ES256", "kid": "next"}, w.Claims(resource))
	if _, refusal := w.verify(next); refusal == nil || refusal.Reason != ReasonKey {
		t.Errorf("before the interval is over: %v", refusal)
	}
	c.advance(minInterval)
	if _, refusal := w.verify(next); refusal != nil {
		t.Errorf("after it: %v", refusal)
	}
	// The key before is published no more: what was let in by it is not any more.
	if _, refusal := w.verify(old); refusal == nil || refusal.Reason != ReasonKey {
		t.Errorf("a token of a key that was withdrawn: %v", refusal)
	}
}

func TestTheLastGoodKeysStayWhileTheIssuerIsDown(t *testing.T) {
	w, c := newClockedWorld(t)
	if _, refusal := w.verify(w.say(nil)); refusal != nil {
		t.Fatal(refusal)
	}
	w.Down.Store(true)
	c.advance(minInterval)
	unknown := w.with(tokentest.Member{"kid": "nobody"})
	if _, refusal := w.verify(unknown); refusal == nil || refusal.Reason != ReasonKey {
		t.Errorf("%v", refusal)
	}
	if w.Fetched.Load() != 2 {
		t.Fatalf("%d fetches", w.Fetched.Load())
	}
	if _, refusal := w.verify(w.say(tokentest.Member{"jti": "another"})); refusal != nil {
		t.Errorf("with the issuer down: %v", refusal)
	}
}

func TestWithoutKeysATokenIsNeitherGoodNorBad(t *testing.T) {
	w := &world{Issuer: tokentest.New(t), keeper: NewKeeper(Config{})}
	t.Cleanup(w.keeper.Close)
	w.Down.Store(true)
	w.settle(t)
	if got, refusal := w.verify(w.say(nil)); got != nil || refusal.Reason != ReasonUnavailable {
		t.Errorf("%v %v", got, refusal)
	}
}

// T-19: only what the snapshot names is fetched, without redirects, from addresses
// that the issuer may be at, and not without end.
func TestT19_KeysAreFetchedFromNowhereElse(t *testing.T) {
	elsewhere := tokentest.New(t)
	for name, answer := range map[string]http.HandlerFunc{
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/jwks", http.StatusFound)
		},
		"endless": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxJWKS+1)) },
		"no JWKS": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"keys":[]}`)) },
		"secret keys": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"keys":[{"kty":"oct","k":"AAAA"}]}`))
		},
		"twice keys": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"keys":[],"keys":[]}`)) },
	} {
		server := httptest.NewServer(answer)
		k := NewKeeper(Config{})
		s := newSource(k, origin{url: server.URL, private: true})
		if set, err := s.fetch(context.Background()); err == nil {
			t.Errorf("%s: %v", name, set)
		}
		s.stop()
		k.running.Wait()
		server.Close()
	}
	k := NewKeeper(Config{})
	s := newSource(k, origin{url: elsewhere.URL + "/jwks"}) // not private, and on loopback
	if _, err := s.fetch(context.Background()); err == nil {
		t.Error("a special-purpose address was dialled")
	}
	s.stop()
	k.running.Wait()
	if n := elsewhere.Fetched.Load(); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

func TestBadTokensDriveNoGoodOneOutOfMemory(t *testing.T) {
	w := newWorld(t)
	good := w.say(nil)
	first, refusal := w.verify(good)
	if refusal != nil {
		t.Fatal(refusal)
	}
	for i := range 3 * shards * maxRefused {
		w.keeper.verdicts.put([32]byte{byte(i), byte(i >> 8), 1}, &verdict{refusal: errSignature})
	}
	if again, _ := w.verify(good); again != first {
		t.Error("the verdict on a good token was forgotten")
	}
	kept := 0
	for i := range w.keeper.verdicts.shards {
		s := &w.keeper.verdicts.shards[i]
		kept += len(s.refused.young) + len(s.refused.old)
	}
	if kept > 2*shards*maxRefused {
		t.Errorf("%d refusals are kept", kept)
	}
}

func TestAKnownTokenIsVerifiedWithoutMemory(t *testing.T) {
	w := newWorld(t, func(i *snapshotv1.Issuer) { i.Audiences = []string{"a", resource} })
	text := w.say(nil)
	if _, refusal := w.verify(text); refusal != nil {
		t.Fatal(refusal)
	}
	ctx := context.Background()
	if n := testing.AllocsPerRun(100, func() { w.keeper.Verify(ctx, w.all, text, here) }); n > slack {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkVerify(b *testing.B) {
	w := newWorld(b)
	for _, kid := range []string{"ec", "rsa", "ed"} {
		text := w.Token(kid, w.claims(nil))
		b.Run(kid+"/known", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, refusal := w.keeper.Verify(b.Context(), w.all, text, here); refusal != nil {
					b.Fatal(refusal)
				}
			}
		})
		b.Run(kid+"/new", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w.keeper.verdicts = verdicts{}
				if _, refusal := w.keeper.Verify(b.Context(), w.all, text, here); refusal != nil {
					b.Fatal(refusal)
				}
			}
		})
	}
}
