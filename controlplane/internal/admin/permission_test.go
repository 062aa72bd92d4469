package admin

import (
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/warder-gateway/warder/controlplane/internal/login"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	"github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"
)

// least is which role a procedure needs, by what its name says: a second opinion
// beside the map of package login.
func least(procedure string) string {
	service, method, _ := strings.Cut(strings.TrimPrefix(procedure, "/warder.admin.v1."), "/")
	switch {
	case service == "HealthService", method == "SignIn", method == "SetUp":
		return "anyone"
	case service == "LoginService":
		return "nobody in particular"
	case strings.HasPrefix(method, "List"), strings.HasPrefix(method, "Get"), method == "TailCalls", method == "ExplainDecision":
		return "viewer"
	case service == "UserService", service == "RoleService", service == "NodeService", service == "SealKeyService":
		return "owner"
	}
	return "operator"
}

// rank orders callers; each may do what those below may.
var rank = []string{"anyone", "nobody in particular", "viewer", "operator", "owner"}

func atLeast(role, need string) bool {
	for _, r := range rank {
		if r == need {
			return true
		}
		if r == role {
			return false
		}
	}
	return false
}

func TestPermissionMatrix(t *testing.T) {
	r := newRig(t)
	callers := map[string]*client{
		"anyone":               r.stranger(t),
		"nobody in particular": r.person(t, "nora"),
		"viewer":               r.person(t, "vic", "viewer"),
		"operator":             r.person(t, "olga", "operator"),
		"owner":                r.person(t, "otto", "owner"),
	}
	names := map[string]string{"nobody in particular": "nora", "viewer": "vic", "operator": "olga", "owner": "otto"}
	for _, procedure := range login.Procedures() {
		for role, c := range callers {
			if strings.HasSuffix(procedure, "/SignOut") && role != "anyone" {
				c = r.signIn(t, names[role]) // a session to lose
			}
			allowed := atLeast(role, least(procedure))
			code := call(t, c, procedure)
			denied := code == connect.CodePermissionDenied || code == connect.CodeUnauthenticated
			// SignIn and SetUp are open to all, and refuse who has no credential.
			if least(procedure) == "anyone" {
				denied = code == connect.CodePermissionDenied
			}
			if allowed == denied {
				t.Errorf("%s at %s: %v; allowed should be %t", role, procedure, code, allowed)
			}
			if !allowed && (role == "anyone") != (code == connect.CodeUnauthenticated) {
				t.Errorf("%s at %s: %v", role, procedure, code)
			}
		}
	}
}

// call sends an empty request and returns the code of its error; 0 for none.
func call(t *testing.T, c *client, procedure string) connect.Code {
	t.Helper()
	if procedure == adminv1connect.AuditServiceTailCallsProcedure {
		stream, err := c.audit.TailCalls(t.Context(), connect.NewRequest(&adminv1.TailCallsRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		if stream.Receive() {
			return 0
		}
		return connect.CodeOf(stream.Err())
	}
	client := connect.NewClient[adminv1.GetHealthRequest, adminv1.GetHealthResponse](c.http, c.url+procedure)
	_, err := client.CallUnary(t.Context(), connect.NewRequest(&adminv1.GetHealthRequest{}))
	if err == nil {
		return 0
	}
	return connect.CodeOf(err)
}

func TestUnknownProceduresAreClosed(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/", "/warder.admin.v1.ServerService/Nothing", "/warder.admin.v1.ServerService/ListServers/", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"} {
		if status, _ := raw(t, http.DefaultClient, r.local.url+path, []byte("{}"), nil); status != http.StatusNotFound {
			t.Errorf("%s: status %d", path, status)
		}
	}
}

func TestP16_NobodyGivesWhatHeDoesNotHold(t *testing.T) {
	r := newRig(t)
	r.person(t, "otto", "owner")
	r.person(t, "vic", "viewer")
	olga := r.person(t, "olga", "operator")
	must(r.local.roles.CreateRole(t.Context(), connect.NewRequest(&adminv1.CreateRoleRequest{Name: "deployer"}))).or(t)
	r.person(t, "dora", "deployer")
	for user, allowed := range map[string]bool{"vic": true, "olga": true, "otto": false, "dora": false} {
		made := must(olga.keys.CreateKey(t.Context(), connect.NewRequest(&adminv1.CreateKeyRequest{User: user, Application: "a"})))
		if allowed {
			made.or(t)
		} else {
			made.refused(t, connect.CodePermissionDenied, "you do not hold the role")
		}
	}
	must(olga.users.CreateUser(t.Context(), connect.NewRequest(&adminv1.CreateUserRequest{Name: "eve", Roles: []string{"owner"}}))).
		refused(t, connect.CodePermissionDenied, "needs the permission users:write")
}
