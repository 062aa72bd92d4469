package admin

import (
	"bytes"
	"context"
	"net/http"
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
	detail   map[string]any // for the audit
}

// edit reads a request against the server as it is.
func (s servers) edit(row db.GetServerRow, m *adminv1.UpdateServerRequest) (serverEdit, error) {
	e := serverEdit{detail: make(map[string]any), params: db.UpdateServerParams{
		ID: row.ID, URL: row.URL, Private: row.Private, HeadersSealed: row.HeadersSealed, HeaderNames: row.HeaderNames,
		CaCertificates: row.CaCertificates, CallTimeoutMs: row.CallTimeoutMs, MaxInFlight: row.MaxInFlight,
		EnvironmentSealed: row.EnvironmentSealed, EnvironmentNames: row.EnvironmentNames,
	}}
	if m.CallTimeout != nil {
		e.params.CallTimeoutMs = m.GetCallTimeout().AsDuration().Milliseconds()
		e.detail["call_timeout_ms"] = e.params.CallTimeoutMs
	}
	if m.MaxInFlight != nil {
		e.params.MaxInFlight = m.GetMaxInFlight()
		e.detail["max_in_flight"] = m.GetMaxInFlight()
	}
	editPlace := s.editAddress
	if row.Agent != "" {
		editPlace = s.editProcess
	}
	if err := editPlace(&e, row, m); err != nil {
		return e, err
	}
	if len(e.detail) == 0 {
		return e, fault.New(fault.Invalid, "say what to change: the URL, whether it is private, headers, the authorities, "+
			"how long a call may take, how many there may be at a time, or the environment of its process")
	}
	return e, nil
}

// editProcess reads what an agent is to run the server with. Who has the server, and
// what is run, stays: that would be another server.
func (s servers) editProcess(e *serverEdit, row db.GetServerRow, m *adminv1.UpdateServerRequest) error {
	if m.Url != nil || m.Private != nil || m.CaCertificates != nil || len(m.GetHeaders())+len(m.GetRemoveHeaders()) > 0 {
		return fault.Newf(fault.Invalid, "server %s is one of the agent %s, where its address and headers stand; to have another one, remove it and add that", row.Name, row.Agent)
	}
	if len(m.GetEnvironment())+len(m.GetRemoveEnvironment()) == 0 {
		return nil
	}
	if len(row.Command) == 0 {
		return fault.Newf(fault.Invalid, "the agent %s runs no command for %s that has an environment", row.Agent, row.Name)
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
	e.params.EnvironmentNames, e.restarts = environmentNames(variables), true
	e.detail["environment"] = e.params.EnvironmentNames
	return nil
}

// editAddress reads what decides who is spoken to, and with which secrets. All of
// it may change what is offered.
func (s servers) editAddress(e *serverEdit, row db.GetServerRow, m *adminv1.UpdateServerRequest) error {
	if len(m.GetEnvironment())+len(m.GetRemoveEnvironment()) > 0 {
		return fault.Newf(fault.Invalid, "no agent runs %s, so there is no environment to set", row.Name)
	}
	old, err := header.Open(s.Keys, row.Name, row.HeadersSealed)
	if err != nil {
		return err
	}
	if m.Url != nil {
		e.params.URL, e.rediscover = m.GetUrl(), true
		e.detail["url"] = withoutQuery(m.GetUrl())
	}
	if m.Private != nil {
		e.params.Private, e.rediscover = m.GetPrivate(), true
		e.detail["private"] = m.GetPrivate()
	}
	if m.CaCertificates != nil {
		if _, err := egress.ParseAuthorities(m.GetCaCertificates(), time.Now()); err != nil {
			return err
		}
		e.params.CaCertificates, e.rediscover = m.GetCaCertificates(), true
		e.detail["ca_certificates"] = m.GetCaCertificates() != ""
	}
	headers, err := editHeaders(row.Name, old, m.GetHeaders(), m.GetRemoveHeaders())
	if err != nil {
		return err
	}
	if len(m.GetHeaders())+len(m.GetRemoveHeaders()) > 0 {
		if e.params.HeadersSealed, err = header.Seal(s.Keys, row.Name, headers); err != nil {
			return err
		}
		e.params.HeaderNames, e.rediscover = namesOf(headers), true
		e.detail["headers"] = e.params.HeaderNames
	}
	e.target = catalog.Target{
		Name: row.Name, URL: e.params.URL, Private: e.params.Private, CACertificates: e.params.CaCertificates, Headers: make(http.Header),
	}
	for _, h := range headers {
		e.target.Headers.Add(h.GetName(), h.GetValue())
	}
	if !e.rediscover {
		return nil
	}
	if err := catalog.CheckURL(e.target); err != nil {
		return err
	}
	return keepHeadersHome(row.URL, e.params.URL, old, m.GetHeaders(), m.GetRemoveHeaders())
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
		if err := tx.UpdateServer(ctx, e.params); err != nil {
			return err
		}
		if e.params.URL != before.URL {
			text := "Its URL was changed from " + withoutQuery(before.URL) + " to " + withoutQuery(e.params.URL) + " by " + tx.Actor() + "."
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
		bytes.Equal(a.EnvironmentSealed, b.EnvironmentSealed)
}
