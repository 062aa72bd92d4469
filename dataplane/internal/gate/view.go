package gate

import "crypto/sha256"

// View is a digest of each list that a profile sees in a scope, by ListKind. It
// is of the content: two views of different revisions are equal exactly if
// clients would see the same.
type View [lists][sha256.Size]byte

// view is a View, and which of its lists differ between the eras.
type view struct {
	digests View
	eras    kindSet
}

// View returns the view of the endpoint of one server, or of the aggregate if
// server is nil.
func (p *Profile) View(server *Server) View { return p.view(server).digests }

func (p *Profile) view(server *Server) *view {
	p.mu.Lock()
	seen := p.views[server]
	p.mu.Unlock()
	if seen != nil {
		return seen
	}
	seen = p.look(server)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.views == nil {
		p.views = make(map[*Server]*view)
	}
	p.views[server] = seen
	return seen
}

// look works a view out.
func (p *Profile) look(server *Server) *view {
	v := &view{}
	h := sha256.New()
	for what := range lists {
		h.Reset()
		for e := range p.visible(what, server) {
			h.Write(e.digest[:])
			if e.legacy != nil {
				v.eras |= 1 << what
			}
		}
		h.Sum(v.digests[what][:0])
	}
	return v
}
