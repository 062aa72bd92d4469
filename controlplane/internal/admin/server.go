package admin

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/catalog"
	"github.com/warder-gateway/warder/controlplane/internal/environment"
	"github.com/warder-gateway/warder/controlplane/internal/header"
	"github.com/warder-gateway/warder/controlplane/internal/login"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/launch"
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
	if err := checkPlace(m); err != nil {
		return nil, err
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
	var report catalog.Report
	if m.GetAgent() != "" {
		report, err = s.addToAgent(ctx, m)
	} else {
		found, trouble := s.discover(ctx, target)
		if trouble != nil && (fault.Is(trouble, fault.Invalid) || ctx.Err() != nil) {
			return nil, trouble
		}
		report, err = s.save(ctx, m, found, trouble)
	}
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

// addToAgent saves a server of an agent, and then discovers it: the agent hears of it
// when it is there. What fails then is said of the server.
func (s servers) addToAgent(ctx context.Context, m *adminv1.AddServerRequest) (catalog.Report, error) {
	if report, err := s.save(ctx, m, nil, nil); err != nil {
		return report, err
	}
	report, trouble := s.refresh(ctx, m.GetName(), m.GetApprove())
	if trouble == nil {
		return report, nil
	}
	if errors.Is(trouble, catalog.ErrAway) {
		return catalog.Report{}, nil // What there is to say stands in the row, or comes from another replica.
	}
	if row, err := s.Store.GetServer(ctx, m.GetName()); err != nil || row.LastError == "" {
		return report, trouble
	}
	return catalog.Report{}, nil
}

// save writes a new server with what its discovery found, in one transaction; neither
// found nor trouble: it was not discovered yet.
func (s servers) save(ctx context.Context, m *adminv1.AddServerRequest, found *catalog.Discovery, trouble error) (catalog.Report, error) {
	names, headers := headersOf(m.GetHeaders())
	sealed, err := header.Seal(s.Keys, m.GetName(), headers)
	if err != nil {
		return catalog.Report{}, err
	}
	variables, err := editEnvironment(m.GetName(), nil, m.GetEnvironment(), nil)
	if err != nil {
		return catalog.Report{}, err
	}
	environmentSealed, err := environment.Seal(s.Keys, m.GetName(), variables)
	if err != nil {
		return catalog.Report{}, err
	}
	var report catalog.Report
	_, err = s.change(ctx, func(tx *store.Tx) error {
		if err := lockAgent(ctx, tx, m.GetAgent()); err != nil {
			return err
		}
		_, err := tx.InsertServer(ctx, db.InsertServerParams{
			Name: m.GetName(), URL: m.GetUrl(), Private: m.GetPrivate(), HeadersSealed: sealed, HeaderNames: names,
			CaCertificates: m.GetCaCertificates(), CallTimeoutMs: m.GetCallTimeout().AsDuration().Milliseconds(),
			MaxInFlight: m.GetMaxInFlight(), Agent: given(m.GetAgent()), Command: m.GetCommand(),
			EnvironmentSealed: environmentSealed, EnvironmentNames: environmentNames(variables),
			Directory: m.GetDirectory(), Shared: m.GetShared(),
		})
		if fault.Is(err, fault.Exists) {
			return serverExists(m.GetName())
		}
		if err != nil {
			return err
		}
		tx.Record("server.add", m.GetName(), addition(m))
		if found == nil && trouble == nil {
			return nil
		}
		if trouble != nil {
			return catalog.Fail(ctx, tx, m.GetName(), fault.Text(trouble))
		}
		report, err = record(ctx, tx, m.GetName(), found, m.GetApprove())
		return err
	})
	return report, err
}

// record writes down what was found, and approves it where a server is added so.
func record(ctx context.Context, tx *store.Tx, server string, found *catalog.Discovery, approve bool) (catalog.Report, error) {
	report, err := catalog.Record(ctx, tx, server, found)
	if err != nil || !approve {
		return report, err
	}
	_, err = decide(ctx, tx, approval{reason: "approved when the server was added"}, selection{kinds: catalog.Kinds(), all: true, server: server})
	return report, err
}

// addition is what the audit says of a new server.
func addition(m *adminv1.AddServerRequest) map[string]any {
	names, _ := headersOf(m.GetHeaders())
	detail := map[string]any{"approve": m.GetApprove()}
	if m.GetAgent() == "" || m.GetUrl() != "" {
		detail["url"] = withoutQuery(m.GetUrl())
	}
	if m.GetAgent() == "" {
		detail["private"], detail["headers"], detail["ca_certificates"] = m.GetPrivate(), names, m.GetCaCertificates() != ""
		return detail
	}
	detail["agent"] = m.GetAgent()
	if len(m.GetCommand()) > 0 {
		var variables []string
		for _, v := range m.GetEnvironment() {
			variables = append(variables, v.GetName())
		}
		detail["command"], detail["directory"], detail["shared"], detail["environment"] = m.GetCommand(), m.GetDirectory(), m.GetShared(), variables
	}
	return detail
}

// given is nil for nothing.
func given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// elsewhere is the answer for a server that another replica discovers.
func elsewhere(target catalog.Target) error {
	return fault.Wrap(fault.Unavailable, fmt.Sprintf(
		"the agent %s of server %q is attached to another replica of the control plane, which discovers the server within seconds", target.Agent, target.Name), catalog.ErrAway)
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
			Resources: row.Resources, Templates: row.Templates, Waiting: row.Waiting, Agent: row.Agent,
			Command: row.Command, EnvironmentNames: row.EnvironmentNames, Directory: row.Directory, Shared: row.Shared,
		}))
	}
	return reply(response), s.tellProcesses(ctx, response.GetServers()...)
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
	report, err := s.refresh(ctx, r.Msg.GetName(), false)
	if err != nil {
		return nil, err
	}
	server, _, _, err := s.read(ctx, r.Msg.GetName())
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.RefreshServerResponse{Server: server, Discovery: reportMessage(report)}), nil
}

// refresh discovers a saved server and writes down what came of it; approve: approves
// what is found, too.
func (s servers) refresh(ctx context.Context, name string, approve bool) (report catalog.Report, err error) {
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
		report, err = record(ctx, tx, name, found, approve)
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
	if errors.Is(trouble, catalog.ErrAway) {
		stream, err := s.Store.GetAgentStream(ctx, target.Agent)
		if err != nil {
			return err
		}
		if stream != "" {
			return errors.Join(elsewhere(target), s.Refresher.Hasten(ctx, target.Name))
		}
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
	server = serverMessage(row)
	return server, tools, others, s.tellProcesses(ctx, server)
}

// tellProcesses adds to servers of agents what these report of them.
func (s servers) tellProcesses(ctx context.Context, all ...*adminv1.Server) error {
	if !slices.ContainsFunc(all, func(m *adminv1.Server) bool { return m.GetAgent() != "" }) {
		return nil
	}
	rows, err := s.Store.ListAgents(ctx)
	if err != nil {
		return err
	}
	states, processes := make(map[string]string, len(rows)), make(map[[2]string]*adminv1.AgentServer)
	for _, row := range rows {
		agent, err := agentMessage(row, nil)
		if err != nil {
			return err
		}
		states[row.Name] = agentState(agent)
		for _, process := range agent.GetServers() {
			process.Known = true
			processes[[2]string{row.Name, process.GetName()}] = process
		}
	}
	for _, m := range all {
		if m.GetAgent() != "" {
			m.AgentState, m.Process = states[m.GetAgent()], processes[[2]string{m.GetAgent(), m.GetName()}]
		}
	}
	return nil
}

// agentState is a word for whether an agent is there.
func agentState(a *adminv1.Agent) string {
	switch {
	case a.GetRevoked():
		return "revoked"
	case a.GetConnected():
		return "connected"
	}
	return "away"
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
		Agent: row.Agent, Command: row.Command, EnvironmentNames: row.EnvironmentNames, Directory: row.Directory,
		Shared: row.Shared, Declared: row.Agent != "" && row.URL == "" && len(row.Command) == 0,
	}
	if warning := launch.Warning(row.Command); warning != "" {
		m.Warnings = []string{warning}
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
