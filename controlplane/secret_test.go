package controlplane

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/warder-gateway/warder/controlplane/internal/compiler"
	"github.com/warder-gateway/warder/controlplane/internal/instance"
	"github.com/warder-gateway/warder/internal/identity"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	"github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"
)

func kek(fill byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{fill}, 32)) }

// replica starts a control plane on a database, with key-encryption keys.
func replica(t *testing.T, config Config, keks ...string) *running {
	t.Helper()
	config.DataDir, config.KEK = t.TempDir(), strings.Join(keks, "\n")
	return start(t, config)
}

const canaryHeader = "CANARY-header-of-a-server"

// TestKeyEncryptionKeysFollowOneAnotherWithoutAnError holds P-14: while replicas go
// from one set of keys to the next, two at a time on one database, every act that
// seals and opens secrets succeeds at both; at the end the old key is not needed.
func TestKeyEncryptionKeysFollowOneAnotherWithoutAnError(t *testing.T) {
	config := testConfig(t)
	rings := [][]string{{kek(1)}, {kek(1), kek(2)}, {kek(2), kek(1)}, {kek(2)}}
	for step := range len(rings) - 1 {
		before, after := replica(t, config, rings[step]...), replica(t, config, rings[step+1]...)
		if step == 0 {
			servers := adminv1connect.NewServerServiceClient(before.local.Client(), before.local.URL)
			_, err := servers.AddServer(t.Context(), connect.NewRequest(&adminv1.AddServerRequest{
				Name: "git", Url: "http://127.0.0.1:1/mcp", Private: true, Headers: []*adminv1.Header{{Name: "X-Key", Value: canaryHeader}},
			}))
			if err != nil {
				t.Fatal(err)
			}
		}
		var acts sync.WaitGroup
		for i, r := range []*running{before, after} {
			acts.Go(func() { sealAndOpen(t, r, fmt.Sprintf("v%d-%d", step, i)) })
		}
		acts.Wait()
		before.stop()
		if step == 1 { // Nobody seals with the old key any more.
			rewrap(t, after)
		}
		after.stop()
	}
	last := replica(t, config, kek(2))
	if _, err := last.compile(t.Context()); err != nil {
		t.Errorf("without the old key: %v", err)
	}
	item, _ := last.publisher.Current().Get("server/git")
	if headers := item.GetServer().GetHeaders(); len(headers) != 1 || headers[0].GetValue() != canaryHeader {
		t.Errorf("the header is %v", headers)
	}
}

// rewrap renews every secret, while others are made.
func rewrap(t *testing.T, r *running) {
	t.Helper()
	var acts sync.WaitGroup
	acts.Go(func() { sealAndOpen(t, r, "rewrap") })
	defer acts.Wait()
	secrets := adminv1connect.NewSecretServiceClient(r.local.Client(), r.local.URL)
	answer, err := secrets.RewrapSecrets(t.Context(), connect.NewRequest(&adminv1.RewrapSecretsRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	keys := answer.Msg.GetKeys()
	if answer.Msg.GetRewrapped() == 0 || len(keys) != 2 || !keys[0].GetSeals() || keys[0].GetSecrets() == 0 || keys[1].GetSecrets() != 0 {
		t.Errorf("after it: %v", answer.Msg)
	}
}

// sealAndOpen writes and reads secrets in every way that administrators have.
func sealAndOpen(t *testing.T, r *running, name string) {
	ctx := t.Context()
	servers := adminv1connect.NewServerServiceClient(r.local.Client(), r.local.URL)
	sealKeys := adminv1connect.NewSealKeyServiceClient(r.local.Client(), r.local.URL)
	for i := range 3 {
		_, err := servers.AddServer(ctx, connect.NewRequest(&adminv1.AddServerRequest{
			Name: fmt.Sprintf("s%s-%d", name, i), Url: "http://127.0.0.1:1/mcp", Private: true, Headers: []*adminv1.Header{{Name: "X-Key", Value: canaryHeader}},
		}))
		if err != nil {
			t.Errorf("%s: add server: %v", name, err)
		}
		if _, err := sealKeys.RotateSealKeys(ctx, connect.NewRequest(&adminv1.RotateSealKeysRequest{Now: true, Forget: true})); err != nil {
			t.Errorf("%s: rotate seal keys: %v", name, err)
		}
		rows, err := r.store.ReadConfig(ctx)
		if err != nil {
			t.Errorf("%s: read: %v", name, err)
			continue
		}
		if _, err := compiler.Compile(rows, r.secrets); err != nil { // The feed publishes meanwhile.
			t.Errorf("%s: compile: %v", name, err)
		}
	}
}

// TestADumpOfTheDatabaseRevealsNoSecret holds P-14: whatever is planted is in no
// table, neither plain nor in hex or base64.
func TestADumpOfTheDatabaseRevealsNoSecret(t *testing.T) {
	config := testConfig(t)
	r := replica(t, config, kek(1))
	const password = "CANARY password of a person"
	canaries := map[string][]byte{"a server's header": []byte(canaryHeader), "a password": []byte(password)}
	sealAndOpen(t, r, "dump")
	plantProvider(t, r, canaries)
	plantNode(t, r, canaries)
	plantAgent(t, r, canaries)
	plantSession(t, r, canaries)
	users := adminv1connect.NewUserServiceClient(r.local.Client(), r.local.URL)
	if _, err := users.CreateUser(t.Context(), connect.NewRequest(&adminv1.CreateUserRequest{Name: "ana", Roles: []string{"owner"}, Password: password})); err != nil {
		t.Fatal(err)
	}
	keys := adminv1connect.NewKeyServiceClient(r.local.Client(), r.local.URL)
	made, err := keys.CreateKey(t.Context(), connect.NewRequest(&adminv1.CreateKeyRequest{User: "ana", Application: "ide"}))
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := keys.RotateKey(t.Context(), connect.NewRequest(&adminv1.RotateKeyRequest{Id: made.Msg.GetDetails().GetId(), Overlap: durationpb.New(0)}))
	if err != nil {
		t.Fatal(err)
	}
	for what, key := range map[string]string{"an API key": made.Msg.GetKey(), "a rotated API key": rotated.Msg.GetKey()} {
		canaries[what] = []byte(strings.Split(key, "_")[2])
	}
	canaries["the pepper"], canaries["the digest key"] = r.secrets.Pepper, r.secrets.DigestKey
	own, err := instance.Load(t.Context(), r.store, r.secrets.Keys)
	if err != nil {
		t.Fatal(err)
	}
	canaries["the signing key"] = own.Signing.Seed()
	if _, err := r.compile(t.Context()); err != nil {
		t.Fatal(err)
	}
	settings, _ := r.publisher.Current().Get("settings")
	for _, key := range settings.GetSettings().GetSealKeys() {
		canaries["a seal key"] = key.GetKey()
	}
	canaries["the key-encryption key"] = bytes.Repeat([]byte{1}, 32)
	plantSealed(t, r, canaries)
	dump := dumpOf(t, r)
	if !bytes.Contains(dump, []byte("ana")) {
		t.Fatal("the dump has nothing")
	}
	for what, canary := range canaries {
		for form, bytesOf := range map[string][]byte{
			"plain": canary, "hex": []byte(hex.EncodeToString(canary)), "base64": []byte(base64.RawStdEncoding.EncodeToString(canary)[:len(canary)]),
		} {
			if bytes.Contains(dump, bytesOf) {
				t.Errorf("%s is in the dump, in %s", what, form)
			}
		}
	}
}

// plantProvider adds a provider with a client secret.
func plantProvider(t *testing.T, r *running, canaries map[string][]byte) {
	t.Helper()
	var url string
	idp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"issuer":%q,"authorization_endpoint":%q,"token_endpoint":%q,"jwks_uri":%q}`, url, url+"/a", url+"/t", url+"/k")
	}))
	t.Cleanup(idp.Close)
	url = idp.URL
	canaries["a provider's client secret"] = []byte("CANARY-secret-of-a-client")
	_, err := adminv1connect.NewProviderServiceClient(r.local.Client(), r.local.URL).AddProvider(t.Context(), connect.NewRequest(&adminv1.AddProviderRequest{
		Provider: &adminv1.Provider{Name: "corp", Url: url, ClientId: "warder", Private: true}, ClientSecret: "CANARY-secret-of-a-client",
	}))
	if err != nil {
		t.Fatal(err)
	}
}

// plantNode makes a join token of a node.
func plantNode(t *testing.T, r *running, canaries map[string][]byte) {
	t.Helper()
	made, err := adminv1connect.NewEnrollmentServiceClient(r.local.Client(), r.local.URL).CreateJoinToken(t.Context(), connect.NewRequest(&adminv1.CreateJoinTokenRequest{Kind: "node", Name: "edge"}))
	if err != nil {
		t.Fatal(err)
	}
	token, err := identity.ParseToken(made.Msg.GetToken())
	if err != nil {
		t.Fatal(err)
	}
	canaries["the secret of a join token"] = []byte(token.Secret)
}

// plantAgent lets an agent in, which has a server with an environment.
func plantAgent(t *testing.T, r *running, canaries map[string][]byte) {
	t.Helper()
	if _, err := r.Admit(t.Context(), identity.Config{Kind: identity.Agent, ControlPlane: r.nodes, Log: slog.New(slog.DiscardHandler)}, "laptop"); err != nil {
		t.Fatal(err)
	}
	const secret = "CANARY-environment-of-a-server"
	_, err := adminv1connect.NewServerServiceClient(r.local.Client(), r.local.URL).AddServer(t.Context(), connect.NewRequest(&adminv1.AddServerRequest{
		Name: "stdio", Agent: "laptop", Command: []string{"npx"}, Environment: []*adminv1.Variable{{Name: "TOKEN", Value: secret}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	canaries["a server's environment"] = []byte(secret)
}

// plantSession signs somebody in over HTTP.
func plantSession(t *testing.T, r *running, canaries map[string][]byte) {
	t.Helper()
	const password = "CANARY password of a visitor"
	_, err := adminv1connect.NewUserServiceClient(r.local.Client(), r.local.URL).CreateUser(t.Context(), connect.NewRequest(&adminv1.CreateUserRequest{
		Name: "visitor", Roles: []string{"viewer"}, Password: password,
	}))
	if err != nil {
		t.Fatal(err)
	}
	canaries["a visitor's password"] = []byte(password)
	door := httptest.NewServer(r.AdminHandler())
	t.Cleanup(door.Close)
	answer, err := adminv1connect.NewLoginServiceClient(http.DefaultClient, door.URL).SignIn(t.Context(), connect.NewRequest(&adminv1.SignInRequest{Name: "visitor", Password: password}))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range answer.Header().Values("Set-Cookie") {
		cookie, err := http.ParseSetCookie(line)
		if err != nil {
			t.Fatal(err)
		}
		canaries["the cookie "+cookie.Name] = []byte(cookie.Value)
		if token, err := base64.RawURLEncoding.DecodeString(cookie.Value); err == nil {
			canaries["the token of the cookie "+cookie.Name] = token
		}
	}
	if len(canaries["the token of the cookie warder"]) != 32 {
		t.Fatalf("cookies: %v", answer.Header().Values("Set-Cookie"))
	}
}

// plantSealed opens all that is sealed, the keys of the installation and of its
// authority included, and holds the columns that are sealed to what Rewrap goes
// through: whoever adds one has to add it there, and to fill it here.
func plantSealed(t *testing.T, r *running, canaries map[string][]byte) {
	t.Helper()
	rows, err := r.store.Pool().Query(t.Context(), `SELECT table_name || '.' || column_name FROM information_schema.columns
		WHERE table_schema = 'public' AND data_type = 'bytea' AND column_name LIKE '%sealed%' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	all, err := r.store.ListSealed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	planted := map[string]bool{}
	for _, row := range all {
		planted[row.InTable+"."+row.InColumn] = true
		plain, err := r.secrets.Keys.Open(row.Sealed, row.InTable, row.InColumn, row.InRow)
		if err != nil || len(plain) < 16 {
			t.Errorf("the secret of %s %s has %d bytes: %v", row.InTable, row.InRow, len(plain), err)
		}
		canaries["what is sealed in "+row.InTable+" "+row.InRow] = plain
	}
	if diff := cmp.Diff(columns, slices.Sorted(maps.Keys(planted))); diff != "" || len(columns) < 4 {
		t.Errorf("sealed columns (-) and what is rewrapped of them (+):\n%s", diff)
	}
}

// dumpOf returns all tables as COPY writes them.
func dumpOf(t *testing.T, r *running) []byte {
	t.Helper()
	conn, err := r.store.Pool().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	rows, err := conn.Query(t.Context(), "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 20 {
		t.Fatalf("%d tables: %v", len(tables), err)
	}
	var all bytes.Buffer
	for _, table := range tables {
		copyOut(t.Context(), t, conn.Conn(), &all, table)
	}
	return all.Bytes()
}

func copyOut(ctx context.Context, t *testing.T, conn *pgx.Conn, w io.Writer, table string) {
	t.Helper()
	if _, err := conn.PgConn().CopyTo(ctx, w, "COPY "+pgx.Identifier{table}.Sanitize()+" TO STDOUT"); err != nil {
		t.Fatalf("copy %s: %v", table, err)
	}
}
