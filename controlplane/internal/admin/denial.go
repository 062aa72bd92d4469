package admin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// Causes of an entry of the deny overlay. What a person denied is lifted by
// itself; the others go with what they come from.
const (
	causeDenial   = "denial"
	causeRevoked  = "revoked"
	causeDisabled = "disabled"
)

type denials struct{ *API }

// ListDenials returns the whole overlay, for whatever cause.
func (d denials) ListDenials(ctx context.Context, _ *connect.Request[adminv1.ListDenialsRequest]) (*connect.Response[adminv1.ListDenialsResponse], error) {
	rows, err := d.Store.ListDenies(ctx)
	if err != nil {
		return nil, err
	}
	response := new(adminv1.ListDenialsResponse)
	for _, row := range rows {
		response.Denials = append(response.Denials, denialMessage(row))
	}
	return reply(response), nil
}

// AddDenial denies at once and everywhere. Denying the same again renews it.
func (d denials) AddDenial(ctx context.Context, r *connect.Request[adminv1.AddDenialRequest]) (*connect.Response[adminv1.AddDenialResponse], error) {
	m := r.Msg
	if err := wellNamed(m.GetKind(), m.GetName()); err != nil {
		return nil, err
	}
	var expires *time.Time
	if m.GetExpiresIn() != nil {
		expires = new(time.Now().Add(m.GetExpiresIn().AsDuration()))
	}
	var row db.Deny
	revision, err := d.change(ctx, func(tx *store.Tx) (err error) {
		if err := exists(ctx, tx, m.GetKind(), m.GetName()); err != nil {
			return err
		}
		err = tx.InsertDeny(ctx, db.InsertDenyParams{
			Kind: m.GetKind(), Name: m.GetName(), Reason: m.GetReason(), CreatedBy: tx.Actor(), ExpiresAt: expires, Cause: causeDenial,
		})
		if err != nil {
			return err
		}
		tx.Record("denial.add", denied(m.GetKind(), m.GetName()), map[string]any{
			"reason": m.GetReason(), "expires_in": m.GetExpiresIn().AsDuration().String(),
		})
		row, err = tx.GetDeny(ctx, db.GetDenyParams{Kind: m.GetKind(), Name: m.GetName(), Cause: causeDenial})
		return err
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.AddDenialResponse{Denial: denialMessage(row), Revision: revision}), nil
}

// RemoveDenial lifts what a person denied.
func (d denials) RemoveDenial(ctx context.Context, r *connect.Request[adminv1.RemoveDenialRequest]) (*connect.Response[adminv1.RemoveDenialResponse], error) {
	kind, name := r.Msg.GetKind(), r.Msg.GetName()
	_, err := d.change(ctx, func(tx *store.Tx) error {
		n, err := tx.DeleteDeny(ctx, db.DeleteDenyParams{Kind: kind, Name: name, Cause: causeDenial})
		if err != nil {
			return err
		}
		if n == 0 {
			return notLifted(ctx, tx, kind, name)
		}
		tx.Record("denial.remove", denied(kind, name), nil)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.RemoveDenialResponse{}), nil
}

// notLifted says why there was no denial of a person, and what to do.
func notLifted(ctx context.Context, tx *store.Tx, kind, name string) error {
	causes, err := tx.GetDenyCauses(ctx, db.GetDenyCausesParams{Kind: kind, Name: name})
	switch {
	case err != nil:
		return err
	case len(causes) == 0:
		return fault.Newf(fault.NotFound, "there is no denial of %s; 'warder deny list' shows what is denied", denied(kind, name))
	case kind == "agent" || kind == "node":
		return fault.Newf(fault.Precondition, "the certificates of the %s %s are revoked, which is final; 'warder join-token create --kind %s --name %s' lets it in again", kind, name, kind, name)
	case causes[0] == causeRevoked:
		return fault.Newf(fault.Precondition, "the key %s is revoked, which is final; make a new one with 'warder key create'", name)
	}
	command := map[string]string{"user": "user", "application": "app"}[kind]
	return fault.Newf(fault.Precondition, "the %s %s is disabled; 'warder %s enable %s' lifts that", kind, name, command, name)
}

// wellNamed refuses a denial that would deny nothing, since its name is not of its
// kind.
func wellNamed(kind, name string) error {
	first, second, cut := strings.Cut(name, "/")
	switch {
	case kind == "all" && name != "":
		return fault.New(fault.Invalid, "a denial of all takes no name")
	case kind != "all" && name == "":
		return fault.Newf(fault.Invalid, "name the %s to deny", kind)
	case kind == "tool" && (!cut || first == "" || second == ""):
		return fault.New(fault.Invalid, "a tool is named SERVER/TOOL")
	case kind == "token" && (!cut || first == "" || second == ""):
		return fault.New(fault.Invalid, "a token is named ISSUER/JTI: the name of its issuer, and its claim jti")
	}
	return nil
}

// exists refuses to deny a server or a tool that there is not: in a hurry, a slip
// must not look like success. Users and applications may be known to an issuer of
// tokens alone.
func exists(ctx context.Context, tx *store.Tx, kind, name string) error {
	server, tool, _ := strings.Cut(name, "/")
	if kind != "server" && kind != "tool" {
		return nil
	}
	if _, err := tx.GetServer(ctx, server); fault.Is(err, fault.NotFound) {
		return noServer(server)
	} else if err != nil || kind == "server" {
		return err
	}
	rows, err := tx.ListEntries(ctx, db.ListEntriesParams{Kinds: []string{"tool"}, Server: server})
	if err != nil {
		return err
	}
	for _, row := range rows {
		if row.Name == tool {
			return nil
		}
	}
	return fault.Newf(fault.NotFound, "the server %s has no tool %q; 'warder tool list' shows its tools", server, tool)
}

// denied names what is denied, for people and for the audit.
func denied(kind, name string) string {
	if name == "" {
		return kind
	}
	return fmt.Sprintf("%s/%s", kind, name)
}

func denialMessage(row db.Deny) *adminv1.Denial {
	return &adminv1.Denial{
		Kind: row.Kind, Name: row.Name, Reason: row.Reason, CreatedBy: row.CreatedBy, Cause: row.Cause,
		CreatedAt: timestamppb.New(row.CreatedAt), ExpiresAt: timestamp(row.ExpiresAt),
	}
}
