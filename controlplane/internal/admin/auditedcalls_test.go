package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/controlplane/internal/login"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/seal"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// mutation is one call of a method that changes something, and the row that it
// leaves in the audit of changes.
type mutation struct {
	procedure string // "UserService/CreateUser"
	body      string // JSON; {x} is what an earlier answer had in its field x
	action    string
	target    string // a regular expression
}

// mutations calls every method that changes something, in an order in which each
// finds what it needs.
func (r *rig) mutations(t *testing.T) []mutation {
	t.Helper()
	up, provider, issuer := newUpstream(t, tool("a", "x"), tool("b", "x")), newIssuer(t), newTokenIssuer(t, "corp")
	return []mutation{
		{"LoginService/SetUp", `{"token":"` + r.token + `","name":"otto","password":"` + password + `"}`, "user.set_up", "otto"},
		{"LoginService/SignOut", `{}`, "login.sign_out", "otto"},
		{"LoginService/SignIn", `{"name":"otto","password":"` + password + `"}`, "login.sign_in", "otto"},

		{"ServerService/AddServer", `{"name":"s","url":"` + up.url + `","private":true,"headers":[{"name":"X-Key","value":"CANARY-1"}]}`, "server.add", "s"},
		{"ServerService/RefreshServer", `{"name":"s"}`, "server.discover", "s"},
		{"ServerService/UpdateServer", `{"name":"s","callTimeout":"7s","headers":[{"name":"X-Key","value":"CANARY-2"}]}`, "server.update", "s"},
		{"ToolService/ApproveTools", `{"names":["s/a"],"reason":"read it"}`, "tool.approved", "s/a"},
		{"ToolService/RejectTools", `{"names":["s/b"],"reason":"no"}`, "tool.rejected", "s/b"},
		{"ToolService/DisableTools", `{"names":["s/a"],"reason":"for now"}`, "tool.disabled", "s/a"},
		{"ToolService/EnableTools", `{"names":["s/a"]}`, "tool.enabled", "s/a"},
		{"ToolService/SetRisk", `{"name":"s/a","risk":"write","reason":"it does"}`, "tool.risk", "s/a"},

		{"RoleService/CreateRole", `{"name":"deployer","permissions":["read"]}`, "role.create", "deployer"},
		{"RoleService/UpdateRole", `{"name":"deployer","description":"deploys"}`, "role.update", "deployer"},
		{"RoleService/GrantRole", `{"name":"deployer","grant":{"tools":["s/*"]}}`, "role.grant", "deployer"},
		{"UserService/CreateUser", `{"name":"ana","roles":["deployer"]}`, "user.create", "ana"},
		{"UserService/UpdateUser", `{"name":"ana","groups":{"names":["eng"]}}`, "user.update", "ana"},
		{"UserService/SetPassword", `{"name":"ana","newPassword":"CANARY horse battery"}`, "user.set_password", "ana"},
		{"UserService/DisableUser", `{"name":"ana","reason":"away"}`, "user.disable", "ana"},
		{"UserService/EnableUser", `{"name":"ana"}`, "user.enable", "ana"},

		{"ApplicationService/CreateApplication", `{"name":"ide"}`, "application.create", "ide"},
		{"KeyService/CreateKey", `{"user":"ana","application":"ide","servers":["s"]}`, "key.create", "{id}"},
		{"KeyService/RotateKey", `{"id":"{id}"}`, "key.rotate", "{id}"},
		{"KeyService/RevokeKey", `{"id":"{successor}","reason":"lost"}`, "key.revoke", "{successor}"},
		{"ApplicationService/DisableApplication", `{"name":"ide"}`, "application.disable", "ide"},
		{"ApplicationService/EnableApplication", `{"name":"ide"}`, "application.enable", "ide"},

		{"PolicyService/ApplyPolicy", `{"document":"rules: []"}`, "policy.apply", "policy"},
		{"PolicyService/ApplyPolicy", `{"document":"rules: [{name: a, effect: allow}]"}`, "policy.apply", "policy"},
		{"PolicyService/RollbackPolicy", `{"version":1}`, "policy.rollback", "policy"},
		{"DenialService/AddDenial", `{"kind":"user","name":"ana","reason":"review"}`, "denial.add", "user/ana"},
		{"DenialService/RemoveDenial", `{"kind":"user","name":"ana"}`, "denial.remove", "user/ana"},
		{"AlertService/CloseAlert", `{"id":"{alert}"}`, "alert.close", "s/a"},

		{"IssuerService/AddIssuer", `{"issuer":` + jsonOf(t, issuer) + `}`, "issuer.add", "corp"},
		{"IssuerService/UpdateIssuer", `{"issuer":` + jsonOf(t, issuer) + `}`, "issuer.update", "corp"},
		{"IssuerService/RemoveIssuer", `{"name":"corp"}`, "issuer.remove", "corp"},
		{"ProviderService/AddProvider", `{"provider":` + jsonOf(t, provider) + `,"clientSecret":"CANARY-3"}`, "provider.add", "corp"},
		{"ProviderService/UpdateProvider", `{"provider":` + jsonOf(t, provider) + `}`, "provider.update", "corp"},
		{"ProviderService/LinkUser", `{"provider":"corp","user":"ana","subject":"s-1"}`, "provider.link", "corp"},
		{"ProviderService/RemoveProvider", `{"name":"corp"}`, "provider.remove", "corp"},

		{"EnrollmentService/CreateJoinToken", `{"kind":"node","name":"edge"}`, "join-token.create", "{join}"},
		{"EnrollmentService/RevokeJoinToken", `{"id":"{join}"}`, "join-token.revoke", "{join}"},
		{"EnrollmentService/RotateAuthority", `{}`, "authority.create", "[0-9a-f]{64}"},
		{"NodeService/RevokeNode", `{"name":"edge"}`, "node.revoke", "edge"},
		{"NodeService/RemoveNode", `{"name":"edge"}`, "node.remove", "edge"},
		{"AgentService/RevokeAgent", `{"name":"laptop"}`, "agent.revoke", "laptop"},
		{"AgentService/RemoveAgent", `{"name":"laptop"}`, "agent.remove", "laptop"},
		{"SealKeyService/RotateSealKeys", `{"now":true}`, "seal-key.create", "[0-9a-f]{16}"},
		{"SecretService/RewrapSecrets", `{}`, "secret.rewrap", "[0-9a-f]+"},
		{"UserService/RemoveUser", `{"name":"ana"}`, "user.remove", "ana"},
		{"RoleService/RemoveRole", `{"name":"deployer"}`, "role.remove", "deployer"},
		{"ServerService/RemoveServer", `{"name":"s"}`, "server.remove", "s"},
		{"LoginService/RevokeSession", `{"user":"vic"}`, "login.revoke_sessions", "vic"},
	}
}

func jsonOf(t *testing.T, message proto.Message) string {
	t.Helper()
	encoded, err := protojson.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

// post calls a method with JSON and returns status and answer.
func post(t *testing.T, c *client, procedure, body string) (status int, answer []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+"/warder.admin.v1."+procedure, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer
}

// Every method that changes something leaves a row of who did what to what, when:
// which methods there are say the descriptors, so that a new one fails here until it
// is called. Whoever may not call it changes nothing and leaves none: what was
// refused is in the log. No row has a secret.
func TestEveryMutatingMethodLeavesAnAuditRow(t *testing.T) {
	r := newRig(t)
	otto, known, called := r.stranger(t), map[string]string{}, map[string]bool{}
	var vic *client
	for _, m := range r.mutations(t) {
		body, target := m.body, m.target
		for name, value := range known {
			body, target = strings.ReplaceAll(body, "{"+name+"}", value), strings.ReplaceAll(target, "{"+name+"}", value)
		}
		switch m.procedure {
		case "AlertService/CloseAlert":
			known["alert"] = r.openAlert(t)
			body = strings.ReplaceAll(body, "{alert}", known["alert"])
		case "SecretService/RewrapSecrets":
			r.followKey(t)
		case "NodeService/RevokeNode":
			r.joined(t)
		}
		called[m.procedure] = true
		if vic != nil && m.procedure != "LoginService/RevokeSession" { // That he may, of his own.
			r.refuseQuietly(t, vic, m.procedure, body)
		}
		before := len(r.actions(t))
		began := time.Now().Add(-time.Second)
		status, answer := post(t, otto, m.procedure, body)
		if status != http.StatusOK {
			t.Fatalf("%s %s: %d %s", m.procedure, body, status, answer)
		}
		for name, value := range r.learn(t, m.procedure, answer) {
			known[name] = value
			target = strings.ReplaceAll(target, "{"+name+"}", value)
		}
		changes := ask(t, r.local.audit.ListChanges, &adminv1.ListChangesRequest{PageSize: 1000}).or(t).GetChanges()
		changes = changes[:len(changes)-before]
		whole := regexp.MustCompile("^" + target + "$")
		if !slices.ContainsFunc(changes, func(c *adminv1.Change) bool {
			at := c.GetAt().AsTime()
			return c.GetActor() == "otto" && c.GetAction() == m.action && whole.MatchString(c.GetTarget()) &&
				at.After(began) && at.Before(time.Now().Add(time.Second)) && json.Valid([]byte(c.GetDetail()))
		}) {
			t.Errorf("%s left %v; want %s %s by otto", m.procedure, changes, m.action, target)
		}
		if m.procedure == "LoginService/SignIn" {
			vic = r.person(t, "vic", "viewer")
		}
	}
	for _, procedure := range procedures(t) {
		name := strings.TrimPrefix(procedure, "/warder.admin.v1.")
		if reads(name) == called[name] {
			t.Errorf("%s: it changes something and is not called here, or it is called and only reads", name)
		}
	}
	all := ask(t, r.local.audit.ListChanges, &adminv1.ListChangesRequest{PageSize: 1000}).or(t)
	for _, c := range all.GetChanges() {
		if strings.Contains(c.String(), "CANARY") || strings.Contains(c.String(), password) || strings.Contains(c.String(), r.token) {
			t.Errorf("a secret is in %v", c)
		}
	}
}

// refuseQuietly calls a method as somebody who may not, and expects that it leaves
// nothing in the audit of changes.
func (r *rig) refuseQuietly(t *testing.T, c *client, procedure, body string) {
	t.Helper()
	before := len(r.actions(t))
	if status, answer := post(t, c, procedure, body); status != http.StatusForbidden {
		t.Errorf("%s by a viewer: %d %s", procedure, status, answer)
	}
	if after := r.actions(t); len(after) != before {
		t.Errorf("%s by a viewer left %q", procedure, after[0])
	}
}

// reads reports whether a method, by its name, changes nothing.
func reads(method string) bool {
	_, verb, _ := strings.Cut(method, "/")
	return regexp.MustCompile("^(List|Get|Tail|Explain|Check|Simulate|WhoAmI)").MatchString(verb)
}

// learn returns what later calls need of an answer.
func (r *rig) learn(t *testing.T, procedure string, answer []byte) map[string]string {
	t.Helper()
	var got struct {
		Details   struct{ ID string }
		JoinToken struct{ ID string }
	}
	if procedure == "EnrollmentService/CreateJoinToken" {
		if err := json.Unmarshal(answer, &got); err != nil || got.JoinToken.ID == "" {
			t.Fatalf("%s: %v %s", procedure, err, answer)
		}
		return map[string]string{"join": got.JoinToken.ID}
	}
	if procedure != "KeyService/CreateKey" && procedure != "KeyService/RotateKey" {
		return nil
	}
	if err := json.Unmarshal(answer, &got); err != nil || got.Details.ID == "" {
		t.Fatalf("%s: %v %s", procedure, err, answer)
	}
	if procedure == "KeyService/RotateKey" {
		return map[string]string{"successor": got.Details.ID}
	}
	return map[string]string{"id": got.Details.ID}
}

// openAlert makes an alert and returns its id.
func (r *rig) openAlert(t *testing.T) string {
	t.Helper()
	var id int64
	err := r.Store.Pool().QueryRow(t.Context(), "INSERT INTO alert (kind, target, text) VALUES ('changed', 's/a', 'x') RETURNING id").Scan(&id)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(id)
}

// followKey gives the replica a further key-encryption key, which seals from now on.
func (r *rig) followKey(t *testing.T) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kek")
	if _, err := seal.LoadVault(path); err != nil {
		t.Fatal(err)
	}
	newer, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	older, err := os.ReadFile(r.kek)
	if err != nil {
		t.Fatal(err)
	}
	if r.Keys, err = seal.ParseVault(string(bytes.Join([][]byte{newer, older}, []byte("\n")))); err != nil {
		t.Fatal(err)
	}
}

// joined lets a node and an agent in.
func (r *rig) joined(t *testing.T) {
	t.Helper()
	if _, err := r.Store.JoinNode(t.Context(), db.JoinNodeParams{Name: "edge"}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Store.JoinAgent(t.Context(), db.JoinAgentParams{Name: "laptop"}); err != nil {
		t.Fatal(err)
	}
}

// A secret is renewed together with its audit row, or not at all.
func TestNoSecretIsRenewedUnrecorded(t *testing.T) {
	r := newRig(t)
	ask(t, r.local.sealKeys.RotateSealKeys, &adminv1.RotateSealKeysRequest{Now: true}).or(t)
	r.followKey(t)
	nobody := login.WithCaller(t.Context(), login.Caller{Name: "a\x00"}) // No row can hold it, so that the audit fails.
	if _, err := (secrets{r.API}).RewrapSecrets(nobody, connect.NewRequest(&adminv1.RewrapSecretsRequest{})); err == nil {
		t.Fatal("it was not recorded, and says nothing")
	}
	count := func() (newer, older int64) {
		keys := ask(t, r.local.secrets.ListKeyEncryptionKeys, &adminv1.ListKeyEncryptionKeysRequest{}).or(t).GetKeys()
		return keys[0].GetSecrets(), keys[1].GetSecrets()
	}
	if newer, older := count(); newer != 0 || older == 0 {
		t.Errorf("%d renewed, %d not", newer, older)
	}
	ask(t, r.local.secrets.RewrapSecrets, &adminv1.RewrapSecretsRequest{}).or(t)
	if newer, older := count(); newer == 0 || older != 0 {
		t.Errorf("%d renewed, %d not", newer, older)
	}
}
