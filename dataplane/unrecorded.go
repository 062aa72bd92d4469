//go:build unrecorded

package dataplane

import (
	"context"

	"github.com/warder-gateway/warder/dataplane/internal/session"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// recording has a node that is built with the tag record nothing. 'make bench' builds one to compare with: no other
// build has this file, and there is no setting that does the same.
func (p *Plane) recording(session.Recorder) session.Recorder {
	p.log.Error("this build records no call; it is for the benchmark alone")
	return nothing{}
}

// nothing is a recorder that forgets what it is given.
type nothing struct{}

func (nothing) Intent(*auditv1.Event) (session.Ticket, error) { return nothing{}, nil }
func (nothing) Sync(context.Context, snapshotv1.Risk) error   { return nil }
func (nothing) Refusal(*auditv1.Event) error                  { return nil }
func (nothing) Result(*auditv1.Event)                         {}
