package handle

import "time"

// Cursor is a place in a list.
type Cursor struct {
	// List is which one; the caller's numbers.
	List byte
	// Route is the slug of the server; empty: the aggregate.
	Route string
	// Digest is that of the list that the cursor was made for.
	Digest [8]byte
	// Page is the next page of that list. It is not negative.
	Page int
	// Last is the last entry before it, to go on from in a list with another digest.
	Last    string
	Expires time.Time
}

// SealCursor returns the cursor to give to a client.
func (s *Sealer) SealCursor(v *Cursor, owner Owner, now time.Time) (string, error) {
	return s.sealed(kindCursor, owner, now, v.Expires, func(p *packer) {
		p.raw([]byte{v.List})
		p.text(v.Route)
		p.raw(v.Digest[:])
		p.uint(uint64(v.Page))
		p.text(v.Last)
	})
}

// OpenCursor opens what SealCursor returned into v. Any failure is ErrOpen, and v is worth nothing then.
func (s *Sealer) OpenCursor(token string, owner Owner, now time.Time, v *Cursor) (err error) {
	v.Expires, err = s.opened(kindCursor, token, owner, now, func(u *unpacker) {
		if list := u.raw(1); list != nil {
			v.List = list[0]
		}
		v.Route = u.text()
		copy(v.Digest[:], u.raw(uint64(len(v.Digest))))
		v.Page = int(u.uint() & (1<<31 - 1))
		v.Last = u.text()
	})
	return err
}

// RequestState is what a modern client brings back when it answers an input_required.
type RequestState struct {
	// Server is the slug; Method and Name (or URI) are those of the request.
	Server, Method, Name string
	// Arguments is the digest of the request's arguments.
	Arguments [32]byte
	// Inner is the server's own state, as raw JSON; nil: it gave none.
	Inner []byte
	// Parked names the stream that waits on Node; empty: none does.
	Parked, Node string
	Expires      time.Time
}

// SealRequestState returns the requestState to give to a client.
func (s *Sealer) SealRequestState(v *RequestState, owner Owner, now time.Time) (string, error) {
	return s.sealed(kindRequestState, owner, now, v.Expires, func(p *packer) {
		p.text(v.Server)
		p.text(v.Method)
		p.text(v.Name)
		p.raw(v.Arguments[:])
		p.bytes(v.Inner)
		p.text(v.Parked)
		p.text(v.Node)
	})
}

// OpenRequestState opens what SealRequestState returned into v. Any failure is ErrOpen, and v is worth nothing then. That
// the request is the same as then, the caller compares.
func (s *Sealer) OpenRequestState(token string, owner Owner, now time.Time, v *RequestState) (err error) {
	v.Expires, err = s.opened(kindRequestState, token, owner, now, func(u *unpacker) {
		v.Server, v.Method, v.Name = u.text(), u.text(), u.text()
		copy(v.Arguments[:], u.raw(uint64(len(v.Arguments))))
		v.Inner = u.bytes()
		v.Parked, v.Node = u.text(), u.text()
	})
	return err
}

// ServerRequest is a request that a server, or this gateway for it, made of a legacy client. The client's answer comes
// back with its handle as id, to any node.
type ServerRequest struct {
	// Server, SessionID and Version say where the answer goes: the slug and the server's session.
	Server, SessionID, Version string
	// ID is the server's own id, as raw JSON; nil where a node waits instead.
	ID []byte
	// Pending names the wait on Node.
	Pending, Node string
	Method        string
	// Session is the client's.
	Session [16]byte
	Expires time.Time
}

// SealServerRequest returns the id under which the client gets the request: the content of a JSON string, which needs no
// escapes.
func (s *Sealer) SealServerRequest(v *ServerRequest, owner Owner, now time.Time) (string, error) {
	return s.sealed(kindServerRequest, owner, now, v.Expires, func(p *packer) {
		p.text(v.Server)
		p.id(v.SessionID)
		p.version(v.Version)
		p.bytes(v.ID)
		p.text(v.Pending)
		p.text(v.Node)
		p.text(v.Method)
		p.raw(v.Session[:])
	})
}

// OpenServerRequest opens what SealServerRequest returned into v. Any failure is ErrOpen, and v is worth nothing then.
func (s *Sealer) OpenServerRequest(token string, owner Owner, now time.Time, v *ServerRequest) (err error) {
	v.Expires, err = s.opened(kindServerRequest, token, owner, now, func(u *unpacker) {
		v.Server, v.SessionID, v.Version = u.text(), string(u.id(nil)), u.version()
		v.ID = u.bytes()
		v.Pending, v.Node, v.Method = u.text(), u.text(), u.text()
		copy(v.Session[:], u.raw(uint64(len(v.Session))))
	})
	return err
}

// Event is an event of a server's stream, from which a client may resume at any node.
type Event struct {
	// Server, SessionID, Version and EventID are what the server needs to resume.
	Server, SessionID, Version, EventID string
	// ClientID and ProgressToken are the client's own, as raw JSON; nil: the stream answers no request, or it has no token.
	ClientID, ProgressToken []byte
	Method                  string
	// CallID is that of the call in the audit.
	CallID [16]byte
	// Session is the client's.
	Session [16]byte
	Expires time.Time
}

// SealEvent returns the event id to give to a client.
func (s *Sealer) SealEvent(v *Event, owner Owner, now time.Time) (string, error) {
	return s.sealed(kindEvent, owner, now, v.Expires, func(p *packer) {
		p.text(v.Server)
		p.id(v.SessionID)
		p.version(v.Version)
		p.id(v.EventID)
		p.bytes(v.ClientID)
		p.bytes(v.ProgressToken)
		p.text(v.Method)
		p.raw(v.CallID[:])
		p.raw(v.Session[:])
	})
}

// OpenEvent opens what SealEvent returned into v. Any failure is ErrOpen, and v is worth nothing then.
func (s *Sealer) OpenEvent(token string, owner Owner, now time.Time, v *Event) (err error) {
	v.Expires, err = s.opened(kindEvent, token, owner, now, func(u *unpacker) {
		v.Server, v.SessionID, v.Version, v.EventID = u.text(), string(u.id(nil)), u.version(), string(u.id(nil))
		v.ClientID, v.ProgressToken = u.bytes(), u.bytes()
		v.Method = u.text()
		copy(v.CallID[:], u.raw(uint64(len(v.CallID))))
		copy(v.Session[:], u.raw(uint64(len(v.Session))))
	})
	return err
}
