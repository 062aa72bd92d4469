package login

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/warder-gateway/warder/internal/fault"
	_ "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// methods yields every method of the admin API, from the descriptors.
func methods(t *testing.T) map[string]protoreflect.MethodDescriptor {
	t.Helper()
	found := map[string]protoreflect.MethodDescriptor{}
	protoregistry.GlobalFiles.RangeFilesByPackage("warder.admin.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			service := f.Services().Get(i)
			for j := range service.Methods().Len() {
				m := service.Methods().Get(j)
				found["/"+string(service.FullName())+"/"+string(m.Name())] = m
			}
		}
		return true
	})
	if len(found) < 30 {
		t.Fatalf("only %d methods found", len(found))
	}
	return found
}

func TestT28_EveryMethodHasAPermissionAndNothingElseHas(t *testing.T) {
	var names []string
	for name := range methods(t) {
		names = append(names, name)
	}
	slices.Sort(names)
	if diff := cmp.Diff(names, Procedures()); diff != "" {
		t.Fatalf("methods (-) and permissions (+) differ:\n%s", diff)
	}
}

// A method that a browser may call by GET must not change anything, and what
// changes nothing needs no more than Read.
func TestT38_MethodsWithoutSideEffectsNeedRead(t *testing.T) {
	tail := "/warder.admin.v1.AuditService/TailCalls" // a stream; has no GET
	for name, m := range methods(t) {
		options, _ := m.Options().(*descriptorpb.MethodOptions)
		safe := options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
		need, _ := Needed(name)
		harmless := need == Read || need == Anyone || need == SignedIn
		if safe && !harmless || need == Read && !safe && name != tail {
			t.Errorf("%s needs %s, and its absence of side effects is %t", name, need, safe)
		}
	}
}

func TestRequireDeniesByDefault(t *testing.T) {
	for _, procedure := range []string{
		"", "/", "warder.admin.v1.ServerService/AddServer", "/warder.admin.v1.ServerService/AddServer/",
		"//warder.admin.v1.ServerService/AddServer", "/warder.admin.v1.serverservice/addserver", "/warder.admin.v1.NewService/New",
	} {
		if err := Require(LocalOwner(), procedure); !fault.Is(err, fault.Denied) {
			t.Errorf("Require(%q) = %v, want denied", procedure, err)
		}
	}
}

func TestRequireByRole(t *testing.T) {
	const (
		read   = "/warder.admin.v1.ServerService/ListServers"
		write  = "/warder.admin.v1.ServerService/AddServer"
		people = "/warder.admin.v1.UserService/CreateUser"
		whoami = "/warder.admin.v1.LoginService/WhoAmI"
		health = "/warder.admin.v1.HealthService/GetHealth"
	)
	as := func(roles ...string) Caller { return Caller{Name: "ana", Roles: roles} }
	for _, c := range []struct {
		name    string
		caller  Caller
		allowed []string
		refusal fault.Kind
	}{
		{"stranger", Caller{}, []string{health}, fault.Unauthenticated},
		{"stranger with a role", Caller{Roles: []string{RoleOwner}}, []string{health}, fault.Unauthenticated},
		{"no role", as(), []string{health, whoami}, fault.Denied},
		{"custom role", as("developer"), []string{health, whoami}, fault.Denied},
		{"viewer", as(RoleViewer), []string{health, whoami, read}, fault.Denied},
		{"operator", as(RoleOperator), []string{health, whoami, read, write}, fault.Denied},
		{"owner", as(RoleOwner), []string{health, whoami, read, write, people}, fault.Denied},
		{"local", LocalOwner(), []string{health, whoami, read, write, people}, fault.Denied},
	} {
		for _, procedure := range []string{read, write, people, whoami, health} {
			err := Require(c.caller, procedure)
			if slices.Contains(c.allowed, procedure) {
				if err != nil {
					t.Errorf("%s at %s: %v", c.name, procedure, err)
				}
			} else if !fault.Is(err, c.refusal) {
				t.Errorf("%s at %s: %v, want %v", c.name, procedure, err, c.refusal)
			}
		}
	}
}

func TestT37_GuardRefusesForeignHostsOriginsAndForms(t *testing.T) {
	guard := Guard{Hosts: []string{"warder.example.com"}}
	var reached bool
	h := guard.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	for _, c := range []struct {
		name   string
		host   string
		header http.Header
		status int
	}{
		{"command line", "127.0.0.1:7070", nil, 200},
		{"IPv6", "[::1]:7070", nil, 200},
		{"own name", "Warder.Example.com", nil, 200},
		{"own browser", "localhost:7070", http.Header{"Origin": {"http://localhost:7070"}, "Sec-Fetch-Site": {"same-origin"}}, 200},
		{"rebound name", "evil.example:7070", http.Header{"Origin": {"http://evil.example:7070"}, "Sec-Fetch-Site": {"same-origin"}}, 421},
		{"no name", "", nil, 421},
		{"other site", "localhost:7070", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}}, 403},
		{"other site, old browser", "localhost:7070", http.Header{"Origin": {"https://evil.example"}}, 403},
		{"other port", "localhost:7070", http.Header{"Sec-Fetch-Site": {"same-site"}, "Origin": {"http://localhost:8080"}}, 403},
		{"sandboxed frame", "localhost:7070", http.Header{"Origin": {"null"}}, 403},
		{"two origins", "localhost:7070", http.Header{"Origin": {"http://localhost:7070", "https://evil.example"}}, 403},
		{"form", "localhost:7070", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, 415},
		{"text", "localhost:7070", http.Header{"Content-Type": {"text/plain"}}, 415},
		{"two types", "localhost:7070", http.Header{"Content-Type": {"application/json", "text/plain"}}, 415},
		{"no type", "localhost:7070", http.Header{"Content-Type": {}}, 415},
		{"stream", "localhost:7070", http.Header{"Content-Type": {"application/connect+json"}}, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			reached = false
			r := httptest.NewRequest(http.MethodPost, "/warder.admin.v1.ServerService/AddServer", strings.NewReader("{}"))
			r.Host = c.host
			r.Header.Set("Content-Type", "application/json")
			for name, values := range c.header {
				r.Header[name] = values
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.status || reached != (c.status == 200) {
				t.Fatalf("status %d, reached %t; want %d", w.Code, reached, c.status)
			}
		})
	}
}

func TestRemoteGroupsIPv6BySubscriber(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1", "[::ffff:192.0.2.1]:80": "192.0.2.1",
		"[2001:db8:1:2:3::4]:80": "2001:db8:1:2::/64", "pipe": "pipe",
	} {
		if got := remote(in); got != want {
			t.Errorf("remote(%q) = %q, want %q", in, got, want)
		}
	}
}

// T-42: behind a proxy, attempts count for the address that the proxy saw; what a
// client writes itself counts nowhere.
func TestT42_GuardTakesTheAddressFromTheProxyAlone(t *testing.T) {
	for _, c := range []struct {
		name    string
		proxied bool
		forward []string
		want    string
	}{
		{"no proxy", false, []string{"203.0.113.9"}, "192.0.2.1"},
		{"proxy", true, []string{"203.0.113.9"}, "203.0.113.9"},
		{"forged before it", true, []string{"198.51.100.1, 203.0.113.9"}, "203.0.113.9"},
		{"forged line", true, []string{"198.51.100.1", "203.0.113.9"}, "203.0.113.9"},
		{"IPv6", true, []string{"2001:db8:1:2:3::4"}, "2001:db8:1:2::/64"},
		{"says nothing", true, nil, "192.0.2.1"},
		{"says nonsense", true, []string{"unknown"}, "192.0.2.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got string
			h := Guard{Secure: c.proxied}.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got = originOf(r.Context()).address
			}))
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Host, r.RemoteAddr = "localhost", "192.0.2.1:1234"
			r.Header["X-Forwarded-For"] = c.forward
			h.ServeHTTP(httptest.NewRecorder(), r)
			if got != c.want {
				t.Errorf("address %q, want %q", got, c.want)
			}
		})
	}
}

// The dashboard names permissions by itself; one that there is not would leave its
// buttons dead for everybody.
func TestDashboardNamesPermissionsThatThereAre(t *testing.T) {
	source, err := os.ReadFile("../../../dashboard/src/api/useLacks.ts")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\| "([^"]+)"`).FindAllSubmatch(source, -1)
	if len(named) == 0 {
		t.Fatal("no permission is named; is the test looking in the right place?")
	}
	for _, match := range named {
		if p := Permission(match[1]); !p.Known() {
			t.Errorf("useLacks.ts names %q", p)
		}
	}
}
