package controlplane

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"
)

func TestAnUnusedSetupTokenGoesWithTheProcess(t *testing.T) {
	r := start(t, testConfig(t))
	if _, err := os.Stat(r.setupFile()); err != nil {
		t.Fatal(err)
	}
	r.stop()
	r.Close()
	if _, err := os.Stat(r.setupFile()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file stays: %v", err)
	}
}

// Run is what people start by hand; 'warder up' has its banner.
func TestTheStartSaysHowTheFirstAdministratorIsMadeAndKeepsTheToken(t *testing.T) {
	for public, link := range map[string]string{"": "http://127.0.0.1:", "https://warder.corp": "https://warder.corp/setup#t=TOKEN"} {
		var said bytes.Buffer
		config := testConfig(t)
		config.Listen, config.NodeListen, config.PublicURL = "127.0.0.1:0", "127.0.0.1:0", public
		told := make(chan string, 1)
		config.Log = slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == "token_file" {
				token, err := os.ReadFile(a.Value.String())
				if err != nil {
					t.Error(err)
				}
				told <- strings.TrimSpace(string(token))
			}
			return a
		}}))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- Run(ctx, config) }()
		var token string
		select {
		case token = <-told:
		case err := <-ended:
			t.Fatalf("it ended and said nothing: %v", err)
		case <-time.After(30 * time.Second):
			t.Error("the log does not say where the token is")
		}
		stop()
		<-ended
		if all := said.String(); !strings.Contains(all, link) || !strings.Contains(all, "/setup#t=TOKEN") || token == "" || strings.Contains(all, token) {
			t.Errorf("the log of a control plane at %q:\n%s", public, all)
		}
	}
}
