package admin

import (
	"errors"
	"strings"
	"testing"
	"time"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// violation returns what the API says of a message that is not valid.
func violation(t *testing.T, m proto.Message) string {
	t.Helper()
	err := protovalidate.Validate(m)
	broken, ok := errors.AsType[*protovalidate.ValidationError](err)
	if !ok {
		t.Fatalf("%T %v is valid: %v", m, m, err)
	}
	return explainViolations(broken)
}

func TestWhatIsNotValidIsAnsweredWithTheFieldAndWhatItMayBe(t *testing.T) {
	for _, c := range []struct {
		message proto.Message
		want    string
	}{
		{&adminv1.UpdateServerRequest{Name: "s", CallTimeout: durationpb.New(-1)}, "call_timeout: it is a time of at least 0 and at most 1h"},
		{&adminv1.AddServerRequest{Name: "s", Url: "x", CallTimeout: durationpb.New(2 * time.Hour)}, "call_timeout: it is a time of more than 0 and at most 1h"},
		{&adminv1.UpdateServerRequest{Name: "s", MaxInFlight: new(int32(-1))}, "max_in_flight: it is a number from 0 to 100000"},
		{&adminv1.UpdateServerRequest{}, "name: it must not be empty"},
		{&adminv1.AddServerRequest{Name: "S", Url: "x"}, "name: a server's name is 1 to 20 characters of a-z, 0-9 and -, and begins with a letter"},
		{&adminv1.ListCallsRequest{Filter: &adminv1.CallFilter{Decision: "maybe"}}, "filter.decision: it is one of allow, deny"},
		{&adminv1.ListCallsRequest{Filter: &adminv1.CallFilter{Outcome: "bogus"}}, "filter.outcome: it is one of ok, tool_error, protocol_error, input_required, server_failed, cancelled, refused, running, unknown"},
		{&adminv1.ListCallsRequest{PageSize: 1001}, "page_size: it is a number from 0 to 1000"},
		{&adminv1.CreateKeyRequest{User: "u", Application: "a", ExpiresIn: durationpb.New(-1)}, "expires_in: it is a time of more than 0 and at most 3650 days"},
		{&adminv1.RejectToolsRequest{}, "names: there are 1 to 1000 of them"},
		{&adminv1.GrantRoleRequest{Name: "r"}, "grant: it must be given"},
		{&adminv1.GrantRoleRequest{Name: "r", Grant: &adminv1.Grant{Risks: []string{"odd"}}}, "grant.risks[0]: it is one of read, write, destructive, admin, execute, external, unclassified"},
		{&adminv1.GetToolRequest{Name: "x"}, "name: it has at least 3 characters"},
		{&adminv1.RevokeKeyRequest{Id: "x", Reason: strings.Repeat("x", 1001)}, "reason: it has at most 1000 characters"},
	} {
		if got := violation(t, c.message); got != c.want {
			t.Errorf("%T: %q, want %q", c.message, got, c.want)
		}
	}
}

// Every number and time that the API takes has both ends, since the sentence says
// them.
func TestEveryNumberOfTheAPIHasBothEnds(t *testing.T) {
	fields := 0
	for _, file := range []protoreflect.FileDescriptor{
		adminv1.File_warder_admin_v1_server_proto, adminv1.File_warder_admin_v1_audit_proto, adminv1.File_warder_admin_v1_key_proto,
		adminv1.File_warder_admin_v1_tool_proto, adminv1.File_warder_admin_v1_policy_proto, adminv1.File_warder_admin_v1_role_proto,
		adminv1.File_warder_admin_v1_user_proto, adminv1.File_warder_admin_v1_login_proto,
	} {
		for i := range file.Messages().Len() {
			message := file.Messages().Get(i)
			for j := range message.Fields().Len() {
				field := message.Fields().Get(j)
				rules, _ := proto.GetExtension(field.Options(), validate.E_Field).(*validate.FieldRules)
				if n := rules.GetInt32(); n != nil {
					if fields++; !n.HasGte() || !n.HasLte() {
						t.Errorf("%s has an open end", field.FullName())
					}
				}
				if d := rules.GetDuration(); d != nil {
					if fields++; !d.HasLte() || !d.HasGte() && !d.HasGt() {
						t.Errorf("%s has an open end", field.FullName())
					}
				}
			}
		}
	}
	if fields < 5 {
		t.Errorf("only %d fields were read: this holds vacuously", fields)
	}
}
