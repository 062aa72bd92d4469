package admin

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/catalog"
	"github.com/warder-gateway/warder/controlplane/internal/header"
	"github.com/warder-gateway/warder/controlplane/internal/login"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

type servers struct{ *API }

// AddServer discovers a server and saves it. One that does not answer is saved
// too, with the reason; one whose URL is wrong is not. To approve at once what it
// offers is to approve: who may only add servers may not.
func (s servers) AddServer(ctx context.Context, r *connect.Request[adminv1.AddServerRequest]) (*connect.Response[adminv1.AddServerResponse], error) {
	m := r.Msg
	if m.GetApprove() && !login.From(ctx).Holds(login.ApproveTools) {
		return nil, fault.Newf(fault.Denied, "to approve what the server offers needs the permission %s, which none of your roles holds; "+
			"add it without approving, and have somebody look at it", login.ApproveTools)
	}
	target := catalog.Target{Name: m.GetName(), URL: m.GetUrl(), Private: m.GetPrivate(), CACertificates: m.GetCaCertificates()}
	var err error
	if target.Headers, err = requestHeaders(m.GetHeaders()); err != nil {
		return nil, err
	}
	if _, err := s.Store.GetServer(ctx, m.GetName()); err == nil {
		return nil, serverExists(m.GetName())
	} else if !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	found, trouble := s.discover(ctx, target)
	if trouble != nil && (fault.Is(trouble, fault.Invalid) || ctx.Err() != nil) {
		return nil, trouble
	}
	report, err := s.save(ctx, m, found, trouble)
	if err != nil {
		return nil, err
	}
	response := &adminv1.AddServerResponse{Discovery: reportMessage(report)}
	response.Server, response.Tools, response.Others, err = s.read(ctx, m.GetName())
	if err != nil {
		return nil, err
	}
	return reply(response), nil
}

// discover asks a server what it offers, and logs what is not for the caller.
func (s servers) discover(ctx context.Context, target catalog.Target) (*catalog.Discovery, error) {
	found, err := s.Refresher.Discoverer.Discover(ctx, target)
	if err != nil {
		s.Log.InfoContext(ctx, "discovery failed", "server", target.Name, "error", err)
	}
	return found, err
}

// save writes a new server with what its discovery found, in one transaction.
func (s servers) save(ctx context.Context, m *adminv1.AddServerRequest, found *catalog.Discovery, trouble error) (catalog.Report, error) {
	names, headers := headersOf(m.GetHeaders())
	sealed, err := header.Seal(s.Keys, m.GetName(), headers)
	if err != nil {
		return catalog.Report{}, err
	}
	var report catalog.Report
	_, err = s.change(ctx, func(tx *store.Tx) error {
		_, err := tx.InsertServer(ctx, db.InsertServerParams{
			Name: m.GetName(), URL: m.GetUrl(), Private: m.GetPrivate(), HeadersSealed: sealed, HeaderNames: names,
			CaCertificates: m.GetCaCertificates(), CallTimeoutMs: m.GetCallTimeout().AsDuration().Milliseconds(),
			MaxInFlight: m.GetMaxInFlight(),
		})
		if fault.Is(err, fault.Exists) {
			return serverExists(m.GetName())
		}
		if err != nil {
			return err
		}
		tx.Record("server.add", m.GetName(), map[string]any{
			"url": withoutQuery(m.GetUrl()), "private": m.GetPrivate(), "headers": names, "approve": m.GetApprove(),
			"ca_certificates": m.GetCaCertificates() != "",
		})
		if trouble != nil {
			return catalog.Fail(ctx, tx, m.GetName(), fault.Text(trouble))
		}
		if report, err = catalog.Record(ctx, tx, m.GetName(), found); err != nil || !m.GetApprove() {
			return err
		}
		_, err = decide(ctx, tx, approval{reason: "approved when the server was added"}, selection{kinds: catalog.Kinds(), all: true, server: m.GetName()})
		return err
	})
	return report, err
}

func serverExists(name string) error {
	return fault.Newf(fault.Exists, "a server named %q exists already; choose another name, or remove that one first: warder server remove %s", name, name)
}

// ListServers returns all, by name.
func (s servers) ListServers(ctx context.Context, _ *connect.Request[adminv1.ListServersRequest]) (*connect.Response[adminv1.ListServersResponse], error) {
	rows, err := s.Store.ListServers(ctx)
	if err != nil {
		return nil, err
	}
	response := new(adminv1.ListServersResponse)
	for _, row := range rows {
		response.Servers = append(response.Servers, serverMessage(db.GetServerRow{
			ID: row.ID, Name: row.Name, URL: row.URL, Private: row.Private, HeaderNames: row.HeaderNames,
			ProtocolVersion: row.ProtocolVersion, LastError: row.LastError, Partial: row.Partial, CreatedAt: row.CreatedAt,
			DiscoveredAt: row.DiscoveredAt, CheckedAt: row.CheckedAt, FailingSince: row.FailingSince, Capabilities: row.Capabilities, CaCertificates: row.CaCertificates,
			CallTimeoutMs: row.CallTimeoutMs, MaxInFlight: row.MaxInFlight, ClaimedName: row.ClaimedName, Tools: row.Tools,
			ToolsPending: row.ToolsPending, ToolsChanged: row.ToolsChanged, Prompts: row.Prompts,
			Resources: row.Resources, Templates: row.Templates, Waiting: row.Waiting,
		}))
	}
	return reply(response), nil
}

// GetServer returns a server with what it offers.
func (s servers) GetServer(ctx context.Context, r *connect.Request[adminv1.GetServerRequest]) (*connect.Response[adminv1.GetServerResponse], error) {
	server, tools, others, err := s.read(ctx, r.Msg.GetName())
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.GetServerResponse{Server: server, Tools: tools, Others: others}), nil
}

// RemoveServer forgets a server and what it offers.
func (s servers) RemoveServer(ctx context.Context, r *connect.Request[adminv1.RemoveServerRequest]) (*connect.Response[adminv1.RemoveServerResponse], error) {
	_, err := s.change(ctx, func(tx *store.Tx) error {
		n, err := tx.DeleteServer(ctx, r.Msg.GetName())
		if err != nil {
			return err
		}
		if n == 0 {
			return noServer(r.Msg.GetName())
		}
		tx.Record("server.remove", r.Msg.GetName(), nil)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.RemoveServerResponse{}), nil
}

// RefreshServer discovers again. A discovery that fails is written down with the
// server and is the answer; what was known stays in force.
func (s servers) RefreshServer(ctx context.Context, r *connect.Request[adminv1.RefreshServerRequest]) (*connect.Response[adminv1.RefreshServerResponse], error) {
	report, err := s.refresh(ctx, r.Msg.GetName())
	if err != nil {
		return nil, err
	}
	server, _, _, err := s.read(ctx, r.Msg.GetName())
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.RefreshServerResponse{Server: server, Discovery: reportMessage(report)}), nil
}

// refresh discovers a saved server and writes down what came of it.
func (s servers) refresh(ctx context.Context, name string) (report catalog.Report, err error) {
	target, err := s.Refresher.Target(ctx, name)
	if fault.Is(err, fault.NotFound) {
		return report, noServer(name)
	}
	if err != nil {
		return report, err
	}
	found, trouble := s.discover(ctx, target)
	if trouble != nil {
		return report, s.failed(ctx, target, trouble)
	}
	_, err = s.change(ctx, func(tx *store.Tx) (err error) {
		if err := s.Refresher.Unmoved(ctx, tx, target); err != nil {
			return err
		}
		report, err = catalog.Record(ctx, tx, name, found)
		return err
	})
	return report, err
}

// failed writes a failed discovery down and returns it, unless nobody waits for
// it any more.
func (s servers) failed(ctx context.Context, target catalog.Target, trouble error) error {
	if ctx.Err() != nil {
		return trouble
	}
	err := s.act(ctx, func(tx *store.Tx) error {
		if err := s.Refresher.Unmoved(ctx, tx, target); err != nil {
			return err
		}
		return catalog.Fail(ctx, tx, target.Name, fault.Text(trouble))
	})
	if err != nil {
		return err
	}
	return trouble
}

// read returns a server, its tools, and what else it offers; its instructions
// with their definition, which is what there is to see of them.
func (s servers) read(ctx context.Context, name string) (server *adminv1.Server, tools, others []*adminv1.Tool, err error) {
	row, err := s.Store.GetServer(ctx, name)
	if fault.Is(err, fault.NotFound) {
		return nil, nil, nil, noServer(name)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	rows, err := s.Store.ListEntries(ctx, db.ListEntriesParams{Kinds: kindNames(catalog.Kinds()), Server: name})
	if err != nil {
		return nil, nil, nil, err
	}
	for _, row := range rows {
		m := toolMessage(row)
		switch catalog.Kind(row.Kind) {
		case catalog.Tool:
			tools = append(tools, m)
			continue
		case catalog.Instructions:
			m.Definition = string(row.Definition)
		}
		others = append(others, m)
	}
	return serverMessage(row), tools, others, nil
}

func noServer(name string) error {
	return fault.Newf(fault.NotFound, "there is no server %q; 'warder server list' shows the servers", name)
}

func serverMessage(row db.GetServerRow) *adminv1.Server {
	m := &adminv1.Server{
		Name: row.Name, Url: row.URL, Private: row.Private, HeaderNames: row.HeaderNames,
		ProtocolVersion: row.ProtocolVersion, LastError: row.LastError,
		CreatedAt: timestamppb.New(row.CreatedAt), DiscoveredAt: timestamp(row.DiscoveredAt),
		CheckedAt: timestamppb.New(row.CheckedAt), FailingSince: timestamp(row.FailingSince),
		Tools: int32(row.Tools), ToolsPending: int32(row.ToolsPending), ToolsChanged: int32(row.ToolsChanged),
		Prompts: int32(row.Prompts), Resources: int32(row.Resources), Templates: int32(row.Templates),
		Waiting: int32(row.Waiting), Capabilities: string(row.Capabilities), CaCertificates: row.CaCertificates,
		MaxInFlight: row.MaxInFlight, ClaimedName: row.ClaimedName,
	}
	if row.CallTimeoutMs > 0 {
		m.CallTimeout = durationpb.New(time.Duration(row.CallTimeoutMs) * time.Millisecond)
	}
	switch {
	case row.Partial:
		m.State = adminv1.ServerState_SERVER_STATE_PARTIAL
	case row.LastError != "":
		m.State = adminv1.ServerState_SERVER_STATE_FAILED
	case row.DiscoveredAt != nil:
		m.State = adminv1.ServerState_SERVER_STATE_READY
	}
	return m
}

func reportMessage(r catalog.Report) *adminv1.DiscoveryReport {
	return &adminv1.DiscoveryReport{
		Added: r.Added, Changed: r.Changed, Missing: r.Missing, Unchanged: int32(r.Unchanged), Refused: r.Refused,
		Failed: r.Failed,
	}
}

// withoutQuery returns a URL as it may stand in the audit: people put tokens
// into queries.
func withoutQuery(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s://%s%s", u.Scheme, u.Host, u.EscapedPath())
}
