package identity

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/internal/fault"
)

// testAuthority signs for who asks.
type testAuthority struct {
	t           *testing.T
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newTestAuthority(t *testing.T) *testAuthority {
	t.Helper()
	key, _, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &testAuthority{t, certificate, key}
}

// issue makes an identity as of now.
func (a *testAuthority) issue(who Peer) *held {
	a.t.Helper()
	key, _, err := newKey()
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), URIs: []*url.URL{who.URI()},
		NotBefore: time.Now().Add(-Backdate), NotAfter: time.Now().Add(Life),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	h, err := newHeld(key, leaf, []*x509.Certificate{a.certificate})
	if err != nil {
		a.t.Fatal(err)
	}
	return h
}

var edge = Peer{Node, "edge"}

func TestACertificateIsOfAnHourAndRenewedAtHalfOfIt(t *testing.T) {
	if Life != time.Hour {
		t.Fatalf("a certificate is good for %v; the promise is an hour", Life)
	}
	synctest.Test(t, func(t *testing.T) {
		a, began := newTestAuthority(t), time.Now()
		who, err := begin(Config{Kind: Node, Log: slog.New(slog.DiscardHandler)}, a.issue(edge))
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var at []time.Duration
		failing := 0
		who.renew = func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Since(began))
			if failing > 0 {
				failing--
				return errors.New("the control plane is away")
			}
			return who.keep(a.issue(edge))
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); who.Run(ctx) }()

		const half = 30 * time.Minute
		time.Sleep(3*half + time.Minute)
		mu.Lock()
		for i, d := range at {
			if off := d - time.Duration(i+1)*half; off < 0 || off > 2*time.Second {
				t.Errorf("renewal %d after %v", i, d)
			}
		}
		if len(at) != 3 {
			t.Fatalf("renewed after %v", at)
		}
		// It is tried again, at growing intervals, and no more often than that.
		at, failing = nil, 5
		mu.Unlock()
		time.Sleep(Life)
		mu.Lock()
		defer mu.Unlock()
		if len(at) < 6 || len(at) > 8 || at[5]-at[0] > 2*time.Minute || time.Until(who.ExpiresAt()) < 0 {
			t.Errorf("tried after %v", at)
		}
		cancel()
		<-ended
	})
}

func TestACertificateThatCannotBeRenewedSaysSoOnceItHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		who, err := begin(Config{Kind: Node, Log: slog.New(slog.DiscardHandler)}, newTestAuthority(t).issue(edge))
		if err != nil {
			t.Fatal(err)
		}
		client, server := who.Client(ControlPlane, ""), who.Server(Agent)
		if _, err := client.GetClientCertificate(nil); err != nil {
			t.Error(err)
		}
		time.Sleep(Life + time.Second)
		_, err = client.GetClientCertificate(nil)
		if !fault.Is(err, fault.Precondition) || !strings.Contains(err.Error(), "warder join-token create --kind node --name edge") {
			t.Errorf("to dial: %v", err)
		}
		if _, err := server.GetConfigForClient(nil); !fault.Is(err, fault.Precondition) {
			t.Errorf("to listen: %v", err)
		}
	})
}

func TestAnIdentityIsKeptWholeAndForItsOwnerAlone(t *testing.T) {
	a, dir := newTestAuthority(t), t.TempDir()
	config := Config{Kind: Node, Dir: filepath.Join(dir, "new"), Log: slog.New(slog.DiscardHandler)}
	h := a.issue(edge)
	h.region, h.token = "eu", "0123456789abcdef"
	if _, err := begin(config, h); err != nil {
		t.Fatal(err)
	}
	back, err := read(config.Dir)
	if err != nil || back.peer != edge || back.region != "eu" || back.token != h.token || len(back.authorities) != 1 {
		t.Fatalf("read %+v: %v", back, err)
	}
	path := filepath.Join(config.Dir, fileName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := mustEncode(t, a.issue(edge))
	for name, content := range map[string][]byte{
		"nothing": nil, "no PEM": []byte("x"), "half": whole[:len(whole)/2], "the key alone": whole[:cut(whole)],
		"another's certificate": append(slices.Clone(whole[:cut(whole)]), other[cut(other):]...),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Obtain(t.Context(), config, ""); !fault.Is(err, fault.Precondition) || fault.Code(err) != CodeIdentity {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Obtain(t.Context(), config, ""); !fault.Is(err, fault.Precondition) || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others read: %v", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	config.Kind = Agent
	if _, err := Obtain(t.Context(), config, ""); !fault.Is(err, fault.Precondition) || !strings.Contains(err.Error(), "that of node edge") {
		t.Errorf("of another kind: %v", err)
	}
}

// cut is where the key ends, and the certificates begin.
func cut(encoded []byte) int { return bytes.Index(encoded, []byte("-----BEGIN CERT")) }

func mustEncode(t *testing.T, h *held) []byte {
	t.Helper()
	encoded, err := encode(h)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func TestIdentityHasOneForm(t *testing.T) {
	for text, want := range map[string]Peer{
		"spiffe://warder/node/edge-1":    {Node, "edge-1"},
		"spiffe://warder/agent/laptop":   {Agent, "laptop"},
		"spiffe://warder/controlplane":   {Kind: ControlPlane},
		"spiffe://warder/node/":          {},
		"spiffe://warder/node":           {},
		"spiffe://warder/node/a/b":       {},
		"spiffe://warder/node/Edge":      {},
		"spiffe://warder//node/edge":     {},
		"spiffe://warder/node/edge?x=1":  {},
		"spiffe://warder/node/edge#x":    {},
		"spiffe://other/node/edge":       {},
		"spiffe://u@warder/node/edge":    {},
		"https://warder/node/edge":       {},
		"spiffe://warder/controlplane/":  {},
		"spiffe://warder/controlplane/a": {},
		"spiffe://warder/n%6Fde/edge":    {},
		"spiffe://warder/admin/ana":      {},
		"spiffe://warder/":               {},
	} {
		uri, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Of(&x509.Certificate{URIs: []*url.URL{uri}})
		if got != want || (err == nil) != (want != Peer{}) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, n := range []int{0, 2} {
		if _, err := Of(&x509.Certificate{URIs: make([]*url.URL, n)}); err == nil {
			t.Errorf("a certificate with %d URI names was taken", n)
		}
	}
}

func TestJoinTokensHaveOneForm(t *testing.T) {
	token := Token{ID: strings.Repeat("a", 16), Secret: strings.Repeat("b", 64), Fingerprint: strings.Repeat("c", 64)}
	if got, err := ParseToken(token.Reveal()); err != nil || got != token {
		t.Errorf("read back %v: %v", got, err)
	}
	if strings.Contains(token.String(), token.Secret) {
		t.Error("it shows its secret")
	}
	for _, text := range []string{"", "wdj_", token.Reveal() + " ", token.Reveal()[1:], strings.ToUpper(token.Reveal()), token.Reveal()[:100]} {
		if _, err := ParseToken(text); !fault.Is(err, fault.Invalid) || len(text) > 20 && strings.Contains(err.Error(), text[1:]) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// An expired certificate is exchanged in the way of who has none that is good, with the
// pauses of a renewal; after that all is as before.
func TestACertificateThatExpiredIsExchangedByRejoining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTestAuthority(t)
		who, err := begin(Config{Kind: Agent, Log: slog.New(slog.DiscardHandler)}, a.issue(Peer{Agent, "laptop"}))
		if err != nil {
			t.Fatal(err)
		}
		server := who.Server(Node)
		time.Sleep(10 * Life) // The machine slept, and Run with it.
		began := time.Now()
		var mu sync.Mutex
		var rejoined, renewed []time.Duration
		who.rejoin = func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			rejoined = append(rejoined, time.Since(began))
			if len(rejoined) < 8 {
				return errors.New("the network is not there yet")
			}
			return who.keep(a.issue(who.Peer()))
		}
		who.renew = func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			renewed = append(renewed, time.Since(began))
			return who.keep(a.issue(who.Peer()))
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); who.Run(ctx) }()
		time.Sleep(Life)
		cancel()
		<-ended
		if len(rejoined) != 8 || rejoined[0] != 0 || rejoined[1] > firstPause || rejoined[7] > 4*time.Minute {
			t.Errorf("rejoined after %v", rejoined)
		}
		if len(renewed) != 1 || renewed[0] < rejoined[7]+Life/2-time.Second { // Certificates have whole seconds.
			t.Errorf("renewed after %v", renewed)
		}
		if _, err := server.GetConfigForClient(nil); err != nil {
			t.Errorf("to listen: %v", err)
		}
	})
}

// What is signed leaves nothing open: not which field a byte belongs to either.
func TestARejoinIsSignedWhole(t *testing.T) {
	now := timestamppb.New(time.Unix(1, 2))
	seen := map[string]string{}
	for name, digest := range map[string][]byte{
		"as it is":             RejoinDigest([]byte("ab"), []byte("c"), now),
		"another certificate":  RejoinDigest([]byte("xb"), []byte("c"), now),
		"another request":      RejoinDigest([]byte("ab"), []byte("x"), now),
		"a byte further":       RejoinDigest([]byte("a"), []byte("bc"), now),
		"another second":       RejoinDigest([]byte("ab"), []byte("c"), timestamppb.New(time.Unix(2, 2))),
		"another nanosecond":   RejoinDigest([]byte("ab"), []byte("c"), timestamppb.New(time.Unix(1, 3))),
		"seconds before 1970":  RejoinDigest([]byte("ab"), []byte("c"), timestamppb.New(time.Unix(-1, 2))),
		"no time":              RejoinDigest([]byte("ab"), []byte("c"), nil),
		"the hash of no field": RejoinDigest(nil, nil, nil),
	} {
		if other, twice := seen[string(digest)]; twice {
			t.Errorf("%s is signed as %s is", name, other)
		}
		seen[string(digest)] = name
	}
}

func TestAGivenTokenComesFromTheFileThatIsNamed(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte("of the file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := GivenToken("of the flag", ""); got != "of the flag" || err != nil {
		t.Errorf("without a file: %q, %v", got, err)
	}
	if got, err := GivenToken("", file); got != "of the file" || err != nil {
		t.Errorf("with a file: %q, %v", got, err)
	}
	if got, err := GivenToken("of the flag", filepath.Join(dir, "none")); got != "" || !fault.Is(err, fault.Precondition) {
		t.Errorf("with a file that is not there: %q, %v", got, err)
	}
}
