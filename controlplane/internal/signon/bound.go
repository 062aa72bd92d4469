package signon

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// errTooLarge ends an answer that is longer than maxBody.
var errTooLarge = errors.New("answer is too large")

// capped bounds the bodies of answers, for readers that do not.
type capped struct{ next http.RoundTripper }

// RoundTrip is http.RoundTripper's.
func (c capped) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if response.ContentLength > maxBody {
		return nil, errors.Join(errTooLarge, response.Body.Close())
	}
	response.Body = &cappedBody{response.Body, maxBody}
	return response, nil
}

type cappedBody struct {
	io.ReadCloser
	left int
}

// Read reads, and fails with the first byte that is too many.
func (b *cappedBody) Read(p []byte) (int, error) {
	if len(p) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if n > b.left {
		return 0, errTooLarge
	}
	b.left -= n
	return n, err
}

// Keys are fetched when a token names one that is not known. So that tokens with
// keys that nobody has do not become a flood at the provider, keyFetches may be
// had at once, and then one every keyPace.
const (
	keyFetches = 2
	keyPace    = time.Minute
)

// errPaced is the answer to a fetch that comes too soon.
var errPaced = errors.New("the keys of the provider were fetched a moment ago")

// paced lets requests through at the pace above and refuses the others at once,
// without asking the provider. Whoever holds keys goes on by them.
type paced struct {
	next http.RoundTripper
	now  func() time.Time

	mu    sync.Mutex
	spent []time.Time // of the fetches that count still; at most keyFetches
}

func newPaced(next http.RoundTripper, now func() time.Time) *paced {
	return &paced{next: next, now: now}
}

// RoundTrip is http.RoundTripper's.
func (p *paced) RoundTrip(r *http.Request) (*http.Response, error) {
	if !p.take() {
		return nil, errPaced
	}
	return p.next.RoundTrip(r)
}

// take counts a fetch, unless there were too many.
func (p *paced) take() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	for len(p.spent) > 0 && now.Sub(p.spent[0]) >= keyPace {
		p.spent = p.spent[1:]
	}
	if len(p.spent) >= keyFetches {
		return false
	}
	p.spent = append(p.spent, now)
	return true
}
