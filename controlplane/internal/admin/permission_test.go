package admin

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/warder-gateway/warder/controlplane/internal/login"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	"github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"
)

// least is what a procedure needs, by what its name says: a second opinion beside
// the map of package login. It knows every service, and fails for a new one.
func least(t *testing.T, procedure string) login.Permission {
	t.Helper()
	service, method, _ := strings.Cut(strings.TrimPrefix(procedure, "/warder.admin.v1."), "/")
	switch {
	case service == "HealthService", method == "SignIn", method == "SetUp", method == "ListSignOns":
		return "anyone"
	case service == "LoginService", method == "SetPassword":
		return "signed-in"
	case method == "RotateAuthority":
		return "authority:rotate"
	}
	for _, verb := range []string{"List", "Get", "Tail", "Explain", "Check", "Simulate"} {
		if strings.HasPrefix(method, verb) {
			return "read"
		}
	}
	writes, known := map[string]login.Permission{
		"AgentService": "peers:write", "EnrollmentService": "peers:write", "AlertService": "alerts:write", "ApplicationService": "applications:write", "DenialService": "denials:write",
		"IssuerService": "issuers:write", "KeyService": "keys:write", "NodeService": "peers:write", "PolicyService": "policy:write",
		"ProviderService": "providers:write", "RoleService": "roles:write", "SealKeyService": "seal-keys:rotate",
		"SecretService": "secrets:rewrap", "ServerService": "servers:write", "ToolService": "tools:approve", "UserService": "users:write",
	}[service]
	if !known {
		t.Errorf("%s: this test has no idea what it should need", procedure)
	}
	return writes
}

// carried is what the built-in roles carry, said once more.
var carried = map[string][]login.Permission{
	"":       {},
	"viewer": {"read"},
	"operator": {
		"read", "servers:write", "tools:approve", "keys:write", "applications:write", "denials:write", "alerts:write",
	},
	"owner": {
		"read", "servers:write", "tools:approve", "keys:write", "applications:write", "denials:write", "alerts:write", "policy:write",
		"users:write", "roles:write", "issuers:write", "providers:write", "peers:write", "authority:rotate", "seal-keys:rotate", "secrets:rewrap",
	},
}

// procedures returns every method of the API, from the descriptors.
func procedures(t *testing.T) (names []string) {
	t.Helper()
	protoregistry.GlobalFiles.RangeFilesByPackage("warder.admin.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			methods := f.Services().Get(i).Methods()
			for j := range methods.Len() {
				names = append(names, "/"+string(f.Services().Get(i).FullName())+"/"+string(methods.Get(j).Name()))
			}
		}
		return true
	})
	if len(names) < 70 {
		t.Fatalf("only %d methods", len(names))
	}
	slices.Sort(names)
	return names
}

// T-25, P-16: every method × every role: the built-in ones, none, and for each
// permission a role that carries it alone.
func TestP16_EveryMethodByEveryRole(t *testing.T) {
	r := newRig(t)
	allowed := maps.Clone(carried)
	for _, p := range carried["owner"] {
		name := "only-" + strings.ReplaceAll(string(p), ":", "-")
		must(r.local.roles.CreateRole(t.Context(), connect.NewRequest(&adminv1.CreateRoleRequest{Name: name, Permissions: []string{string(p)}}))).or(t)
		allowed[name] = []login.Permission{p}
	}
	all := procedures(t)
	var group sync.WaitGroup
	for role, permissions := range allowed {
		var roles []string
		if role != "" {
			roles = []string{role}
		}
		c := r.person(t, "u"+role, roles...)
		again := r.signIn(t, "u"+role) // has a session to lose
		group.Go(func() {
			for _, procedure := range all {
				c := c
				if strings.HasSuffix(procedure, "/SignOut") {
					c = again
				}
				need := least(t, procedure)
				want := need == "anyone" || need == "signed-in" || slices.Contains(permissions, need)
				code := call(t, c, procedure)
				if got := code != connect.CodePermissionDenied && code != connect.CodeUnauthenticated; got != want {
					t.Errorf("%q at %s: %v; allowed should be %t", role, procedure, code, want)
				}
			}
		})
	}
	group.Wait()
}

// The one declaration and the second opinion agree, and have the same methods.
func TestP16_DeclaredPermissionsAreWhatNamesSay(t *testing.T) {
	all := procedures(t)
	if diff := cmp.Diff(all, login.Procedures()); diff != "" {
		t.Errorf("methods (-) and permissions (+) differ:\n%s", diff)
	}
	for _, procedure := range all {
		if need, _ := login.Needed(procedure); need != least(t, procedure) {
			t.Errorf("%s needs %s; its name says %s", procedure, need, least(t, procedure))
		}
	}
	for role, want := range carried {
		got, _ := login.BuiltIn(role)
		slices.Sort(got)
		if diff := cmp.Diff(slices.Sorted(slices.Values(want)), got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", role, diff)
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
	r.person(t, "dora", "deployer") // who holds nothing
	must(r.local.roles.CreateRole(t.Context(), connect.NewRequest(&adminv1.CreateRoleRequest{Name: "destroyer", Grants: []*adminv1.Grant{{Risks: []string{"destructive"}}}}))).or(t)
	r.person(t, "tess", "destroyer")
	for user, allowed := range map[string]bool{"vic": true, "olga": true, "dora": true, "otto": false, "tess": false} {
		made := must(olga.keys.CreateKey(t.Context(), connect.NewRequest(&adminv1.CreateKeyRequest{User: user, Application: "a"})))
		if allowed {
			made.or(t)
		} else {
			made.refused(t, connect.CodePermissionDenied, "you do not hold")
		}
	}
	must(olga.users.CreateUser(t.Context(), connect.NewRequest(&adminv1.CreateUserRequest{Name: "eve", Roles: []string{"owner"}}))).
		refused(t, connect.CodePermissionDenied, "needs the permission users:write")
}
