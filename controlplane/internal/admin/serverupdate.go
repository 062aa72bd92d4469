package admin

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"time"

	"connectrpc.com/connect"

	"github.com/warder-gateway/warder/controlplane/internal/catalog"
	"github.com/warder-gateway/warder/controlplane/internal/environment"
	"github.com/warder-gateway/warder/controlplane/internal/header"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/egress"
	"github.com/warder-gateway/warder/internal/fault"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// UpdateServer changes how a server is spoken to. Where that may change what it
// offers, it is discovered as it will be, and the change is written together with
// what was found: nodes learn of both at once. A server that does not answer is
// changed all the same, with the reason; one whose new URL is wrong is not.
func (s servers) UpdateServer(ctx context.Context, r *connect.Request[adminv1.UpdateServerRequest]) (*connect.Response[adminv1.UpdateServerResponse], error) {
	row, err := s.Store.GetServer(ctx, r.Msg.GetName())
	if fault.Is(err, fault.NotFound) {
		return nil, noServer(r.Msg.GetName())
	}
	if err != nil {
		return nil, err
	}
	edit, err := s.edit(row, r.Msg)
	if err != nil {
		return nil, err
	}
	var found *catalog.Discovery
	var trouble error
	if edit.rediscover {
		found, trouble = s.discover(ctx, edit.target)
		if trouble != nil && (fault.Is(trouble, fault.Invalid) || ctx.Err() != nil) {
			return nil, trouble
		}
	}
	report, err := s.saveEdit(ctx, row, edit, found, trouble)
	if err != nil {
		return nil, err
	}
	if edit.restarts { // The agent hears of it now.
		report, trouble = s.refresh(ctx, row.Name, false)
	}
	response := new(adminv1.UpdateServerResponse)
	if (edit.rediscover || edit.restarts) && trouble == nil {
		response.Discovery = reportMessage(report)
	}
	if response.Server, _, _, err = s.read(ctx, row.Name); err != nil {
		return nil, err
	}
	return reply(response), nil
}

// serverEdit is a change of a server that has been looked at.
type serverEdit struct {
	params db.UpdateServerParams
	// target is the server as it will be; it is read only if rediscover is set.
	target     catalog.Target
	rediscover bool
	// restarts says that the agent runs the server anew, and it is to be discovered
	// when it has.
	restarts bool
	// moved says how the server came to another place, for an alert; empty: it did not.
	moved  string
	detail map[string]any // for the audit
}

// edit reads a request against the server as it is.
func (s servers) edit(row db.GetServerRow, m *adminv1.UpdateServerRequest) (serverEdit, error) {
	e := serverEdit{detail: make(map[string]any), params: db.UpdateServerParams{
		ID: row.ID, URL: row.URL, Private: row.Private, HeadersSealed: row.HeadersSealed, HeaderNames: row.HeaderNames,
		CaCertificates: row.CaCertificates, CallTimeoutMs: row.CallTimeoutMs, MaxInFlight: row.MaxInFlight,
		EnvironmentSealed: row.EnvironmentSealed, EnvironmentNames: row.EnvironmentNames, Agent: given(row.Agent),
		Command: row.Command, Directory: row.Directory, Shared: row.Shared,
	}}
	if m.CallTimeout != nil {
		e.params.CallTimeoutMs = m.GetCallTimeout().AsDuration().Milliseconds()
		e.detail["call_timeout_ms"] = e.params.CallTimeoutMs
	}
	if m.MaxInFlight != nil {
		e.params.MaxInFlight = m.GetMaxInFlight()
		e.detail["max_in_flight"] = m.GetMaxInFlight()
	}
	respoken, err := s.editPlace(&e, row, m)
	if err != nil {
		return e, err
	}
	if len(e.detail) == 0 {
		return e, fault.New(fault.Invalid, "say what to change: the URL, whether it is private, headers, the authorities, "+
			"the agent, what that runs and where, with which environment, how long a call may take, or how many there may be at a time")
	}
	if respoken {
		e.rediscover, e.restarts = e.params.Agent == nil, e.params.Agent != nil
	}
	return e, nil
}

// editPlace reads where the server is to be, what runs there, and which secrets it
// gets. It reports whether any of that was said: it may change what is offered.
func (s servers) editPlace(e *serverEdit, row db.GetServerRow, m *adminv1.UpdateServerRequest) (respoken bool, err error) {
	before, known := placeOf(e.params), len(e.detail)
	if err := e.move(m); err != nil {
		return false, err
	}
	after := placeOf(e.params)
	e.target = catalog.Target{
		Name: row.Name, URL: e.params.URL, Private: e.params.Private, CACertificates: e.params.CaCertificates, Headers: make(http.Header),
	}
	if after.agent == "" && after.url != "" {
		if err := catalog.CheckURL(e.target); err != nil {
			return false, err
		}
	}
	headers, err := s.editHeaders(e, row, m, before, after)
	if err != nil {
		return false, err
	}
	if err := s.editEnvironment(e, row, m, before, after); err != nil {
		return false, err
	}
	respoken = len(e.detail) > known
	if !respoken {
		return false, nil
	}
	if err := checkPlace(after.request(row.Name, e.params, m)); err != nil {
		return false, err
	}
	if !before.same(after) || e.params.URL != row.URL {
		e.params.Moved, e.moved = true, before.String()+" to "+after.String()
	}
	// What nobody has looked at there is offered by no node: see catalog.Record. One that
	// nodes reach is discovered before the change is written.
	e.params.Unproven = !before.same(after) && after.agent != ""
	for _, h := range headers {
		e.target.Headers.Add(h.GetName(), h.GetValue())
	}
	return true, nil
}

// move reads where the server is to be and what runs there. A URL takes the place of
// a command, and a command that of a URL; what belongs to one of them goes with it.
func (e *serverEdit) move(m *adminv1.UpdateServerRequest) error {
	p := &e.params
	if m.Url != nil && len(m.GetCommand()) > 0 {
		return fault.New(fault.Invalid, "a server has a URL or a command, not both: give --url, or the command behind --")
	}
	if m.Agent != nil {
		if (p.Agent == nil) != (m.GetAgent() == "") { // Who reaches it decides what these mean.
			p.Private, p.CaCertificates = false, ""
		}
		p.Agent, e.detail["agent"] = given(m.GetAgent()), m.GetAgent()
	}
	if m.Url != nil {
		p.URL, p.Command, p.Directory, p.Shared = m.GetUrl(), nil, "", false
		e.detail["url"] = withoutQuery(m.GetUrl())
	}
	if len(m.GetCommand()) > 0 {
		p.URL, p.Command = "", m.GetCommand()
		e.detail["command"] = m.GetCommand()
	}
	if m.Directory != nil {
		p.Directory, e.detail["directory"] = m.GetDirectory(), m.GetDirectory()
	}
	if m.Shared != nil {
		p.Shared, e.detail["shared"] = m.GetShared(), m.GetShared()
	}
	if m.Private != nil {
		p.Private, e.detail["private"] = m.GetPrivate(), m.GetPrivate()
	}
	if m.CaCertificates != nil {
		if _, err := egress.ParseAuthorities(m.GetCaCertificates(), time.Now()); err != nil {
			return err
		}
		p.CaCertificates, e.detail["ca_certificates"] = m.GetCaCertificates(), m.GetCaCertificates() != ""
	}
	return nil
}

// editHeaders reads the headers that the server is to be sent, and returns all of them.
func (s servers) editHeaders(e *serverEdit, row db.GetServerRow, m *adminv1.UpdateServerRequest, before, after place) ([]*snapshotv1.Header, error) {
	old, err := header.Open(s.Keys, row.Name, row.HeadersSealed)
	if err != nil {
		return nil, err
	}
	headers, err := editHeaders(row.Name, old, m.GetHeaders(), m.GetRemoveHeaders())
	if err != nil {
		return nil, err
	}
	if err := keepHeadersHome(before, after, old, m.GetHeaders(), m.GetRemoveHeaders()); err != nil {
		return nil, err
	}
	if len(m.GetHeaders())+len(m.GetRemoveHeaders()) == 0 {
		return headers, nil
	}
	if e.params.HeadersSealed, err = header.Seal(s.Keys, row.Name, headers); err != nil {
		return nil, err
	}
	e.params.HeaderNames = namesOf(headers)
	e.detail["headers"] = e.params.HeaderNames
	return headers, nil
}

// editEnvironment reads the variables that the server's process is to have.
func (s servers) editEnvironment(e *serverEdit, row db.GetServerRow, m *adminv1.UpdateServerRequest, before, after place) error {
	if err := keepVariablesHome(before, after, row.EnvironmentNames, m); err != nil {
		return err
	}
	if len(m.GetEnvironment())+len(m.GetRemoveEnvironment()) == 0 {
		return nil
	}
	old, err := environment.Open(s.Keys, row.Name, row.EnvironmentSealed)
	if err != nil {
		return err
	}
	variables, err := editEnvironment(row.Name, old, m.GetEnvironment(), m.GetRemoveEnvironment())
	if err != nil {
		return err
	}
	if e.params.EnvironmentSealed, err = environment.Seal(s.Keys, row.Name, variables); err != nil {
		return err
	}
	e.params.EnvironmentNames = environmentNames(variables)
	e.detail["environment"] = e.params.EnvironmentNames
	return nil
}

func namesOf(headers []*snapshotv1.Header) (names []string) {
	for _, h := range headers {
		names = append(names, h.GetName())
	}
	return names
}

// saveEdit writes a change with what its discovery found, in one transaction. before
// is what the change was read against: if the server is another by now, nothing is
// written.
func (s servers) saveEdit(ctx context.Context, before db.GetServerRow, e serverEdit, found *catalog.Discovery, trouble error) (report catalog.Report, err error) {
	_, err = s.change(ctx, func(tx *store.Tx) error {
		if _, err := tx.LockServer(ctx, before.Name); err != nil {
			return store.Missing(err, "server "+before.Name)
		}
		now, err := tx.GetServer(ctx, before.Name)
		if err != nil {
			return err
		}
		if !sameSettings(before, now) {
			return fault.Newf(fault.Conflict, "server %q was changed at the same time; look at it (warder server show %s), then change it again", now.Name, now.Name)
		}
		if agent := e.params.Agent; agent != nil && *agent != before.Agent {
			if err := lockAgent(ctx, tx, *agent); err != nil {
				return err
			}
		}
		if err := tx.UpdateServer(ctx, e.params); err != nil {
			return err
		}
		if e.moved != "" {
			text := "It was moved from " + e.moved + " by " + tx.Actor() + "."
			if err := catalog.Raise(ctx, tx, catalog.AlertAddress, now.Name, text); err != nil {
				return err
			}
		}
		tx.Record("server.update", now.Name, e.detail)
		switch {
		case !e.rediscover:
			return nil
		case trouble != nil:
			return catalog.Fail(ctx, tx, now.Name, fault.Text(trouble))
		}
		report, err = catalog.Record(ctx, tx, now.Name, found)
		return err
	})
	return report, err
}

// sameSettings reports whether all that an edit decides on is as it was.
func sameSettings(a, b db.GetServerRow) bool {
	return a.ID == b.ID && a.URL == b.URL && a.Private == b.Private && bytes.Equal(a.HeadersSealed, b.HeadersSealed) &&
		a.CaCertificates == b.CaCertificates && a.CallTimeoutMs == b.CallTimeoutMs && a.MaxInFlight == b.MaxInFlight &&
		bytes.Equal(a.EnvironmentSealed, b.EnvironmentSealed) && a.Agent == b.Agent && slices.Equal(a.Command, b.Command) &&
		a.Directory == b.Directory && a.Shared == b.Shared
}
