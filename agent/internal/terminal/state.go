package terminal

import (
	"time"

	"github.com/warder-gateway/warder/agent/internal/calls"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

// Uplink is how an agent is connected.
type Uplink struct {
	// Connected says that the control plane is there, Since since when it is or is not, and Why it is not.
	Connected bool
	Since     time.Time
	Why       string
	Nodes     []Node // in the order in which they are shown
}

// Node is a node of the orders.
type Node struct {
	Name, Region, Address string
	// State is a word for its tunnel, and Since since when it is right; Up says that calls can come by it.
	State string
	Since time.Time
	Up    bool
	// RoundTrip is zero where it was not measured.
	RoundTrip time.Duration
	// Calls is how many run by its tunnel.
	Calls int
	// Why is what is wrong with the tunnel; empty if nothing is.
	Why string
}

// Facts do not change while the agent runs.
type Facts struct {
	Agent, Region, ControlPlane, Version string
	Started                              time.Time
}

// State is all that is shown at one time. A message to the model, which changes nothing of it.
type State struct {
	Now    time.Time
	Uplink Uplink
	// File is why the agent's file cannot be used, with its name and the line; empty if it can.
	File    string
	Servers []*enrollv1.ServerReport // by name
	Calls   []calls.Call             // the oldest first
	Logs    []Line                   // the oldest first
	// Dropped is how many lines came before these.
	Dropped uint64
}

// Source is where states come from. Its functions are called from one goroutine, a few times a second, and must not wait.
type Source struct {
	Facts   Facts
	Uplink  func() Uplink
	File    func() string
	Servers func() []*enrollv1.ServerReport
	Calls   *calls.Log
	Journal *Journal
}

// looker makes states of a source. It belongs to one goroutine at a time.
type looker struct {
	source             Source
	state              State
	callMark, lineMark uint64
}

// look returns the state as of now.
func (l *looker) look() State {
	l.state.Now = time.Now()
	l.state.Uplink, l.state.Servers = l.source.Uplink(), l.source.Servers()
	l.state.File = l.source.File()
	if made, mark := l.source.Calls.Calls(l.callMark); made != nil {
		l.state.Calls, l.callMark = made, mark
	}
	if lines, dropped, mark := l.source.Journal.Lines(l.lineMark); lines != nil {
		l.state.Logs, l.state.Dropped, l.lineMark = lines, dropped, mark
	}
	return l.state
}
