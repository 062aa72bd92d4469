package apikey_test

import (
	"bytes"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/apikey"
)

func mustNew(t testing.TB) apikey.Key {
	t.Helper()
	key, err := apikey.New()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestT24_RedactLeavesNoSecretInAnyText(t *testing.T) {
	key, err := apikey.New()
	if err != nil {
		t.Fatal(err)
	}
	whole, short := key.String(), "wdr_"+key.ID+"_..."
	for text, want := range map[string]string{
		"":                               "",
		"nothing of ours, wdr":           "nothing of ours, wdr",
		whole:                            short,
		"/mcp/" + whole + "/x":           "/mcp/" + short + "/x",
		whole + " " + whole:              short + " " + short,
		whole[:apikey.Length-10] + "...": short + "...",
		whole[:len("wdr_"+key.ID)]:       "wdr_" + key.ID,
		"wdr_ and " + whole + whole:      "wdr_ and " + short,
	} {
		if got := apikey.Redact(text); got != want {
			t.Errorf("Redact(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestT24KeyHasTheFormThatScannersKnow(t *testing.T) {
	form := regexp.MustCompile(`^wdr_[a-z0-9]{12}_[A-Za-z0-9]{24}_[A-Za-z0-9]{6}$`)
	seen := map[string]bool{}
	for range 1000 {
		key := mustNew(t)
		text := key.String()
		if !form.MatchString(text) || len(text) != apikey.Length {
			t.Fatalf("key %q", text)
		}
		if seen[key.ID] || seen[key.Secret] {
			t.Fatal("a key came twice")
		}
		seen[key.ID], seen[key.Secret] = true, true
		if got, err := apikey.Parse(text); err != nil || got != key {
			t.Fatalf("%q parses to %q, %q: %v", text, got.ID, got.Secret, err)
		}
	}
}

// The form is kept in users' files for years, so it must not drift.
func TestFormIsStable(t *testing.T) {
	key := apikey.Key{ID: "0123456789ab", Secret: "ABCDEFGHIJKLMNOPQRSTUVWX"}
	const want = "wdr_0123456789ab_ABCDEFGHIJKLMNOPQRSTUVWX_15kS4U"
	if got := key.String(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	const hash = "c8156589ed22111fb0e9a124d1c8d415c1b4a468bb4ea12af5831b69ac3a67e9"
	if got := fmt.Sprintf("%x", apikey.Hash([]byte("pepper"), key.Secret)); got != hash {
		t.Errorf("hash %s, want %s", got, hash)
	}
}

func TestParseRefusesEveryChangedCharacter(t *testing.T) {
	text := mustNew(t).String()
	for i := range len(text) {
		for _, c := range []byte("aA0_-\x00\xff") {
			changed := text[:i] + string([]byte{c}) + text[i+1:]
			if changed == text {
				continue
			}
			if key, err := apikey.Parse(changed); !errors.Is(err, apikey.ErrMalformed) || key != (apikey.Key{}) {
				t.Fatalf("byte %d as %q is accepted: %v", i, c, err)
			}
		}
	}
	for _, other := range []string{
		"", "wdr_", text[1:], text[:len(text)-1], text + "x", " " + text, text + "\n", strings.ToUpper(text),
		strings.Replace(text, "wdr_", "wdx_", 1), strings.Repeat("_", len(text)), strings.Repeat("é", len(text)/2),
	} {
		if _, err := apikey.Parse(other); !errors.Is(err, apikey.ErrMalformed) {
			t.Errorf("%q is accepted", other)
		}
	}
}

func TestT24SecretIsInNoFormButTheOneAskedFor(t *testing.T) {
	key := mustNew(t)
	var logs bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&logs, nil), slog.NewJSONHandler(&logs, nil)} {
		log := slog.New(handler)
		log.Info("made", "key", key, "pointer", &key, "inside", struct{ Key apikey.Key }{key})
	}
	encoded, err := json.Marshal(map[string]any{"key": key, "pointer": &key})
	if err != nil {
		t.Fatal(err)
	}
	outputs := []string{logs.String(), string(encoded), fmt.Errorf("bad key %v", key).Error()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		outputs = append(outputs, fmt.Sprintf(verb, key), fmt.Sprintf(verb, &key), fmt.Sprintf(verb, []apikey.Key{key}))
	}
	_, err = apikey.Parse(key.String() + "x")
	outputs = append(outputs, err.Error())
	for _, output := range outputs {
		if strings.Contains(output, key.Secret) || strings.Contains(output, fmt.Sprintf("%x", key.Secret)) {
			t.Errorf("the secret is in %q", output)
		}
	}
	if !strings.Contains(logs.String(), key.ID) {
		t.Error("the log does not say which key")
	}
}

func TestHashDependsOnPepperAndSecret(t *testing.T) {
	a := apikey.Hash([]byte("pepper"), "secret")
	if len(a) != 32 || !hmac.Equal(a, apikey.Hash([]byte("pepper"), "secret")) {
		t.Error("the hash is not reproducible")
	}
	for _, b := range [][]byte{apikey.Hash([]byte("peppes"), "secret"), apikey.Hash([]byte("pepper"), "Secret"), apikey.Hash([]byte("peppers"), "ecret")} {
		if hmac.Equal(a, b) {
			t.Error("two hashes are the same")
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(apikey.Key{ID: "0123456789ab", Secret: "ABCDEFGHIJKLMNOPQRSTUVWX"}.String())
	f.Add("wdr_0123456789ab_ABCDEFGHIJKLMNOPQRSTUVWX_000000")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := apikey.Parse(text)
		if err == nil && key.String() != text {
			t.Errorf("%q parses to another key", text)
		}
		if err != nil && (!errors.Is(err, apikey.ErrMalformed) || key != (apikey.Key{})) {
			t.Errorf("%q: %v with a key", text, err)
		}
	})
}

func BenchmarkParseAndHash(b *testing.B) {
	text, pepper := mustNew(b).String(), make([]byte, 32)
	b.ReportAllocs()
	for b.Loop() {
		key, err := apikey.Parse(text)
		if err != nil {
			b.Fatal(err)
		}
		apikey.Hash(pepper, key.Secret)
	}
}

func TestAKeyIsFoundInATextAndNothingElseIs(t *testing.T) {
	key, err := apikey.New()
	if err != nil {
		t.Fatal(err)
	}
	whole := key.String()
	for text, want := range map[string]bool{
		whole: true, "x" + whole + "x": true, `{"a":"Bearer ` + whole + `"}`: true, "wdr_wdr_" + whole: true, whole[:20] + whole: true,
		"": false, "wdr_": false, whole[:len(whole)-1]: false, whole[1:]: false, strings.ToUpper(whole): false,
		whole[:len(whole)-7] + "_000000": false, strings.Repeat("wdr_", 100_000): false, "wdr_<id>_<secret>_<crc>" + strings.Repeat(" ", 99): false,
	} {
		if got := apikey.In([]byte(text)); got != want {
			t.Errorf("a text of %d bytes: %v", len(text), got)
		}
	}
}
