package gate

import (
	"iter"
	"maps"
)

// Lists is how many lists the protocol has.
const Lists = int(lists)

// List returns which list the entry is in; of a resource that a template names,
// that of the templates.
func (e *Entry) List() ListKind { return e.what }

// Approved returns what people approved of one of the server's lists, in no
// particular order.
func (s *Server) Approved(list ListKind) iter.Seq[*Entry] { return maps.Values(s.listed[list]) }
