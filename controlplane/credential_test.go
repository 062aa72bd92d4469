package controlplane

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/warder-gateway/warder/controlplane/internal/login"
	"github.com/warder-gateway/warder/internal/identity"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	"github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"
)

// methodsOf returns every method of a package, from the descriptors.
func methodsOf(t *testing.T, name protoreflect.FullName) (paths []string) {
	t.Helper()
	protoregistry.GlobalFiles.RangeFilesByPackage(name, func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			methods := f.Services().Get(i).Methods()
			for j := range methods.Len() {
				paths = append(paths, fmt.Sprintf("/%s/%s", f.Services().Get(i).FullName(), methods.Get(j).Name()))
			}
		}
		return true
	})
	if len(paths) == 0 {
		t.Fatalf("%s has no methods", name)
	}
	return paths
}

// nodeTLS is what a node that was admitted presents.
func (r *running) nodeTLS(t *testing.T, name string) *tls.Config {
	t.Helper()
	who, err := r.Admit(t.Context(), identity.Config{Kind: identity.Node, ControlPlane: r.nodes, Log: slog.New(slog.DiscardHandler)}, name)
	if err != nil {
		t.Fatal(err)
	}
	return who.Client(identity.ControlPlane, "")
}

// T-25: a node's certificate is nobody to the administration.
func TestT25_ACertificateOfANodeIsWorthNothingAtTheAdminPort(t *testing.T) {
	r := start(t, testConfig(t))
	presented := 0
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		presented += len(request.TLS.PeerCertificates)
		r.AdminHandler().ServeHTTP(w, request)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	node := r.nodeTLS(t, "edge")
	client := server.Client()
	client.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = node.GetClientCertificate
	all := methodsOf(t, "warder.admin.v1")
	for _, path := range all {
		if need, _ := login.Needed(path); need == login.Anyone {
			continue
		}
		contentType, body := "application/json", "{}"
		if strings.HasSuffix(path, "/TailCalls") {
			contentType, body = "application/connect+json", "\x00\x00\x00\x00\x02{}"
		}
		response, err := client.Post(server.URL+path, contentType, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 300)
		n, _ := response.Body.Read(answer)
		_ = response.Body.Close()
		if !strings.Contains(string(answer[:n]), `"unauthenticated"`) {
			t.Errorf("%s: status %d: %s", path, response.StatusCode, answer[:n])
		}
	}
	if presented == 0 {
		t.Error("no certificate was presented; this proves nothing")
	}
}

// T-25: what opens the administration opens nothing at the port of nodes, where
// only certificates count; and a node does not reach the administration there.
func TestT25_PeopleAndKeysReachNothingAtThePortOfNodes(t *testing.T) {
	r := start(t, testConfig(t))
	users := adminv1connect.NewUserServiceClient(http.DefaultClient, r.local.URL)
	keys := adminv1connect.NewKeyServiceClient(http.DefaultClient, r.local.URL)
	const password = "correct horse battery"
	_, err := users.CreateUser(t.Context(), connect.NewRequest(&adminv1.CreateUserRequest{Name: "otto", Roles: []string{"owner"}, Password: password}))
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.CreateKey(t.Context(), connect.NewRequest(&adminv1.CreateKeyRequest{User: "otto", Application: "a"}))
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(r.AdminHandler())
	t.Cleanup(web.Close)
	signIn := adminv1connect.NewLoginServiceClient(http.DefaultClient, web.URL)
	session, err := signIn.SignIn(t.Context(), connect.NewRequest(&adminv1.SignInRequest{Name: "otto", Password: password}))
	if err != nil {
		t.Fatal(err)
	}
	cookie, _, _ := strings.Cut(session.Header().Get("Set-Cookie"), ";")
	node := r.nodeTLS(t, "edge")
	nobody := node.Clone() // It trusts the control plane, and has nothing to show.
	nobody.GetClientCertificate = nil
	for kind, presented := range map[string]metadata.MD{
		"nothing": {}, "session": {"cookie": {cookie}}, "key": {"authorization": {"Bearer " + key.Msg.GetKey()}},
		"session as a bearer": {"authorization": {"Bearer " + strings.TrimPrefix(cookie, "warder=")}},
		"setup token":         {"authorization": {"Bearer " + r.SetupToken()}},
	} {
		for _, path := range append(methodsOf(t, "warder.sync.v1"), methodsOf(t, "warder.audit.v1")...) {
			if code := r.ask(t, nobody, path, presented); code != codes.Unauthenticated {
				t.Errorf("%s at %s: %v", kind, path, code)
			}
		}
	}
	for _, path := range methodsOf(t, "warder.admin.v1") {
		if code := r.ask(t, node, path, metadata.MD{"cookie": {cookie}}); code != codes.Unimplemented {
			t.Errorf("a node at %s: %v", path, code)
		}
	}
}

// ask opens a stream of a method at the port of nodes and returns how it ends.
func (r *running) ask(t *testing.T, config *tls.Config, path string, presented metadata.MD) codes.Code {
	t.Helper()
	conn, err := grpc.NewClient(r.nodes, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(metadata.NewOutgoingContext(t.Context(), presented), 10*time.Second)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, path)
	if err == nil {
		_ = stream.SendMsg(&emptypb.Empty{})
		err = stream.RecvMsg(&emptypb.Empty{})
	}
	return status.Code(err)
}
