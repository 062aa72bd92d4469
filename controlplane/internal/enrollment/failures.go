package enrollment

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	// maxFailures is how many joins from one address may fail in a row, and forgiven
	// in what time one of them is forgotten. Secrets are too long to be guessed: this
	// keeps the database and the log for others.
	maxFailures = 30
	forgiven    = 2 * time.Second
	// places bounds what is remembered: addresses that share a place share its bound.
	places = 1024
)

// failures counts joins that failed, by address. It is safe for concurrent use.
type failures struct {
	seed maphash.Seed

	mu    sync.Mutex
	place [places]struct {
		count float64
		at    time.Time
	}
}

func newFailures() *failures { return &failures{seed: maphash.MakeSeed()} }

// wait returns how long until an address may try again; 0: now.
func (f *failures) wait(address string, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	over := f.fade(address, now) - (maxFailures - 1)
	return max(0, time.Duration(over*float64(forgiven)))
}

// count remembers a failure.
func (f *failures) count(address string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	count := f.fade(address, now)
	f.place[f.of(address)].count = min(count+1, maxFailures)
}

// fade forgets what is forgiven by now, and returns what is left.
func (f *failures) fade(address string, now time.Time) float64 {
	p := &f.place[f.of(address)]
	if passed := now.Sub(p.at); passed > 0 {
		p.count, p.at = max(0, p.count-float64(passed)/float64(forgiven)), now
	}
	return p.count
}

func (f *failures) of(address string) uint64 { return maphash.String(f.seed, address) % places }
