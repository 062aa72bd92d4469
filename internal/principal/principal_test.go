package principal_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/principal"
)

func TestLogNamesTheCaller(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))

	log.Info("call", "by", &principal.Principal{User: "ana", Application: "cursor", KeyID: "abc"})
	log.Info("call", "by", (*principal.Principal)(nil))

	for _, want := range []string{"by.user=ana", "by.application=cursor", "by.key=abc", "by=nobody"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("log lacks %s:\n%s", want, out.String())
		}
	}
}
