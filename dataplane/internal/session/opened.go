package session

import (
	"strings"
	"sync"

	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/dataplane/internal/notice"
)

// openedSession is what a session id opened to. It is not changed.
type openedSession struct {
	owner   handle.Owner
	session handle.Session
	key     string // notice.SessionKey of it
}

// opened remembers what session ids opened to, since a busy client sends its own
// with each request. What is remembered is only what does not change: that these
// keys, for this owner, open this id to this session. Whether it has expired, was
// ended, or is of another route is for whoever asks to say, each time.
//
// It knows the ids of one sealer, which is that of one snapshot: no id opens by
// keys that are gone. Ids that do not open are not remembered, so that only those
// that were given out take room; when there are too many, those that were not used
// for longest go, half of all at a time.
type opened struct {
	mu         sync.RWMutex
	by         *handle.Sealer
	young, old map[string]*openedSession
}

// maxOpened bounds each half. A session takes 2 KiB, and 4 KiB at most.
const maxOpened = 1024

// find returns what an id opened to; nil: not known.
func (o *opened) find(sealer *handle.Sealer, token string, owner handle.Owner) *openedSession {
	o.mu.RLock()
	found, young := o.young[token], true
	if found == nil {
		found, young = o.old[token], false
	}
	if found != nil && (o.by != sealer || found.owner != owner) {
		found = nil
	}
	o.mu.RUnlock()
	if found != nil && !young {
		o.keep(sealer, token, found)
	}
	return found
}

// keep remembers what an id opened to.
func (o *opened) keep(sealer *handle.Sealer, token string, session *openedSession) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.by != sealer:
		o.by, o.young, o.old = sealer, make(map[string]*openedSession), nil
	case len(o.young) >= maxOpened:
		o.young, o.old = make(map[string]*openedSession), o.young
	}
	o.young[strings.Clone(token)] = session
}

// openSession opens a session id of this caller at this route. Nothing tells a
// foreign id from one that never was.
func (x *exchange) openSession(token string) bool {
	sealer := x.in.Index.Sealer()
	known := x.recent.find(sealer, token, x.owner)
	if known == nil {
		known = &openedSession{owner: x.owner}
		if err := sealer.OpenSession(token, x.owner, x.in.Received, &known.session); err != nil {
			return false
		}
		known.key = notice.SessionKey(known.session.ID)
		x.recent.keep(sealer, token, known)
	}
	x.legacy, x.sessionKey = known.session, known.key
	return x.in.Received.Before(x.legacy.Expires) && x.legacy.Route == x.in.Server && !x.board.Ended(x.legacy.ID)
}
