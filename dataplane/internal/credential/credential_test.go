package credential

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/principal"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

type world struct {
	*Table
	good, old apikey.Key
}

func newWorld(t testing.TB) world {
	t.Helper()
	pepper := []byte("a pepper of the test, 32 bytes..")
	w := world{good: newKey(t), old: newKey(t)}
	w.Table = NewTable(pepper, []*Caller{
		{Hash: apikey.Hash(pepper, w.good.Secret), Principal: &principal.Principal{User: "ana", KeyID: w.good.ID}},
		{
			Hash:      apikey.Hash(pepper, w.old.Secret),
			Expires:   noon,
			Principal: &principal.Principal{User: "bob", KeyID: w.old.ID},
		},
	}, func() {})
	return w
}

func newKey(t testing.TB) apikey.Key {
	t.Helper()
	key, err := apikey.New()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func request(authorization ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
	for _, value := range authorization {
		r.Header.Add("Authorization", value)
	}
	return r
}

func TestGoodKeyNamesItsPrincipal(t *testing.T) {
	w := newWorld(t)
	for _, scheme := range []string{"Bearer ", "bearer ", "BEARER  "} {
		key, refusal := w.Authenticate(request(scheme+w.good.String()), nil, noon)
		if refusal != nil || key.Principal.User != "ana" {
			t.Errorf("%q: got %v, %+v; want ana", scheme, key, refusal)
		}
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	stranger := newKey(t)
	wrongSecret := apikey.Key{ID: w.good.ID, Secret: stranger.Secret}
	tests := []struct {
		name    string
		request *http.Request
		want    string
		status  int
	}{
		{"no header", request(), ReasonMissing, 401},
		{"empty header", request(""), ReasonMissing, 401},
		{"another scheme", request("Basic YTpi"), ReasonMissing, 401},
		{"bearer without a token", request("Bearer"), ReasonMalformed, 401},
		{"not a key", request("Bearer hunter2"), ReasonMalformed, 401},
		{"cut", request("Bearer " + w.good.String()[:40]), ReasonMalformed, 401},
		{"two tokens in one header", request("Bearer " + w.good.String() + "," + w.good.String()), ReasonMalformed, 401},
		{"trailing tab", request("Bearer " + w.good.String() + "\t"), ReasonMalformed, 401},
		{"unknown id", request("Bearer " + stranger.String()), ReasonUnknown, 401},
		{"wrong secret", request("Bearer " + wrongSecret.String()), ReasonUnknown, 401},
		{"expired", request("Bearer " + w.old.String()), ReasonExpired, 401},
		{"two headers", request("Bearer "+w.good.String(), "Bearer "+w.good.String()), ReasonRepeated, 400},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			key, refusal := w.Authenticate(test.request, nil, noon)
			if key != nil || refusal == nil {
				t.Fatalf("got key %v; want a refusal", key)
			}
			if refusal.Reason != test.want || refusal.Status != test.status {
				t.Errorf("got %s, %d; want %s, %d", refusal.Reason, refusal.Status, test.want, test.status)
			}
			if refusal.Error != "" && test.status != 401 {
				t.Errorf("the error %q does not fit status %d", refusal.Error, test.status)
			}
		})
	}
}

func TestChallengeNamesAnErrorOnlyWhereATokenWasSent(t *testing.T) {
	w := newWorld(t)
	_, plain := w.Authenticate(request(), nil, noon)
	if plain.Error != "" {
		t.Errorf("without a token: %s", plain.Error)
	}
	_, invalid := w.Authenticate(request("Bearer x"), nil, noon)
	if invalid.Error != InvalidToken {
		t.Errorf("with a bad one: %q", invalid.Error)
	}
}

func TestUnknownKeyAndWrongSecretAreToldApartByNothing(t *testing.T) {
	w := newWorld(t)
	_, unknownID := w.Authenticate(request("Bearer "+newKey(t).String()), nil, noon)
	wrong := apikey.Key{ID: w.good.ID, Secret: newKey(t).Secret}
	_, wrongSecret := w.Authenticate(request("Bearer "+wrong.String()), nil, noon)
	if diff := cmp.Diff(unknownID, wrongSecret); diff != "" {
		t.Error(diff)
	}
}

func TestExpiryIsOnlyToldToWhoHoldsTheSecret(t *testing.T) {
	w := newWorld(t)
	wrong := apikey.Key{ID: w.old.ID, Secret: newKey(t).Secret}
	if _, refusal := w.Authenticate(request("Bearer "+wrong.String()), nil, noon); refusal.Reason != ReasonUnknown {
		t.Errorf("wrong secret of an expired key: got %s; want %s", refusal.Reason, ReasonUnknown)
	}
	if key, refusal := w.Authenticate(request("Bearer "+w.old.String()), nil, noon.Add(-time.Nanosecond)); refusal != nil {
		t.Errorf("a moment before expiry: got %v, %+v; want the key", key, refusal)
	}
}

func TestTokenInTheQueryIsRefused(t *testing.T) {
	w := newWorld(t)
	for _, query := range []string{
		"access_token=x", "ACCESS_TOKEN=x", "token=", "api_key=x", "key=x", "q=" + w.good.String(),
		"a=1&b=%77dr_abc", "wdr_abc", "%zz",
	} {
		r := request("Bearer " + w.good.String())
		r.URL.RawQuery = query
		key, refusal := w.Authenticate(r, nil, noon)
		if key != nil || refusal.Reason != ReasonQuery || refusal.Status != http.StatusBadRequest {
			t.Errorf("%s: got %v, %+v; want %s", query, key, refusal, ReasonQuery)
		}
	}
	r := request("Bearer " + w.good.String())
	r.URL.RawQuery = "trace=1"
	if _, refusal := w.Authenticate(r, nil, noon); refusal != nil {
		t.Errorf("harmless query: got %+v", refusal)
	}
}

func TestNoTextNamesTheKey(t *testing.T) {
	w := newWorld(t)
	for _, sent := range []string{w.old.String(), newKey(t).String(), w.good.String()[1:]} {
		_, refusal := w.Authenticate(request("Bearer "+sent), nil, noon)
		if shown := refusal.Text + refusal.Error; strings.Contains(shown, sent[4:16]) {
			t.Errorf("refusal shows the key: %s", shown)
		}
	}
}

func TestAuthenticateAllocatesNothing(t *testing.T) {
	w := newWorld(t)
	r := request("Bearer " + w.good.String())
	allocs := testing.AllocsPerRun(200, func() {
		if _, refusal := w.Authenticate(r, nil, noon); refusal != nil {
			t.Fatal(refusal.Reason)
		}
	})
	if allocs > slack {
		t.Errorf("%v allocations; want 0", allocs)
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	w := newWorld(b)
	r := request("Bearer " + w.good.String())
	b.ReportAllocs()
	for b.Loop() {
		if _, refusal := w.Authenticate(r, nil, noon); refusal != nil {
			b.Fatal(refusal.Reason)
		}
	}
}

// A key has its places whatever snapshot it is of: those that were taken of it are
// taken still, and given back, and those of other keys are their own.
func TestPlacesOfAKeyOutliveItsTable(t *testing.T) {
	w := newWorld(t)
	good, old := w.Key(w.good.ID), w.Key(w.old.ID)
	for i, want := range []bool{true, true, false} {
		if got := good.Enter(2); got != want {
			t.Errorf("entry %d of two: %v", i+1, got)
		}
	}
	if !old.Enter(2) {
		t.Error("a key has no place, since another has taken its own two")
	}
	next := NewTable([]byte("pepper"), []*Caller{
		{Principal: &principal.Principal{KeyID: w.good.ID}}, {Principal: &principal.Principal{KeyID: "new"}},
	}, func() {})
	next.Follow(w.Table, func() {})
	if next.Key(w.good.ID).Enter(2) || !next.Key("new").Enter(1) {
		t.Error("the next table gives an old key new places, or a new one none")
	}
	good.Leave()
	if !next.Key(w.good.ID).Enter(2) || good.Enter(2) {
		t.Error("a place that was given back is not free, or free twice")
	}
}
