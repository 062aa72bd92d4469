package gate

import (
	"sync"
	"sync/atomic"

	"github.com/warder-gateway/warder/internal/policy"
)

// memo is what the policy said of one method, or of the main method of each entry,
// entry by entry as they were asked about.
type memo struct {
	once  sync.Once
	slots []atomic.Uint32 // by Entry.number: 1 + the number of the verdict, or 0
}

// on returns the verdict about an entry.
func (m *memo) on(p *Profile, e *Entry, method string) *policy.Verdict {
	m.once.Do(func() { m.slots = make([]atomic.Uint32, len(p.index.entries)) })
	if number := m.slots[e.number].Load(); number != 0 {
		return p.index.verdicts.at(number - 1)
	}
	verdict := p.work(e, method)
	if number, kept := p.index.verdicts.number(verdict); kept {
		m.slots[e.number].Store(number + 1)
	}
	return verdict
}

// verdicts are those of an index, each once, whoever and whatever they are about.
type verdicts struct {
	all atomic.Pointer[[]*policy.Verdict] // by number; only ever grows

	mu      sync.Mutex // of those who add
	numbers map[policy.VerdictKey]uint32
	size    int
	// last was asked for last, and mostly is again; lastNumber is its number.
	last       *policy.Verdict
	lastNumber uint32
}

// maxVerdicts bounds about how many bytes the verdicts of an index take. They are
// as many as policy has rules, or, with conditions, ways in which rules lie over one
// another. Those beyond are worked out each time.
const maxVerdicts = 32 << 20

func (s *verdicts) at(number uint32) *policy.Verdict { return (*s.all.Load())[number] }

// number returns the number of a verdict, and whether it has one.
func (s *verdicts) number(v *policy.Verdict) (number uint32, kept bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v == s.last {
		return s.lastNumber, true
	}
	key := v.Key()
	number, kept = s.numbers[key]
	if !kept {
		if number, kept = s.add(key, v); !kept {
			return 0, false
		}
	}
	s.last, s.lastNumber = v, number
	return number, true
}

// add makes the verdict seen before anything that points to it. The caller holds
// the lock.
func (s *verdicts) add(key policy.VerdictKey, v *policy.Verdict) (number uint32, kept bool) {
	size := 256 + 2*len(key.Open) + len(key.Decision.Reason)
	if s.size+size > maxVerdicts {
		return 0, false
	}
	s.size += size
	var all []*policy.Verdict
	if s.numbers == nil {
		s.numbers = make(map[policy.VerdictKey]uint32)
	} else {
		all = *s.all.Load()
	}
	number = uint32(len(all))
	all = append(all, v)
	s.all.Store(&all)
	s.numbers[key] = number
	return number, true
}
