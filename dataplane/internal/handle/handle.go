package handle

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/warder-gateway/warder/internal/principal"
	"github.com/warder-gateway/warder/internal/seal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// How long what is sealed may live, from the moment it is sealed.
const (
	SessionLife      = 7 * 24 * time.Hour
	RequestStateLife = 15 * time.Minute
	// MaxLife bounds all of them, with a day to spare for clocks that differ. The
	// control plane keeps a key at least as long after it sealed its last.
	MaxLife = 8 * 24 * time.Hour
)

const (
	// prefix tells people and tools what they look at, and the version of the form.
	prefix = "w1."
	// maxSession is the length of the longest session id, in bytes: it travels in a header of each request.
	maxSession = 1536
	// maxToken is that of everything else, which travels in bodies: servers may put much into their request states.
	maxToken = 1 << 20
	// maxScratch is the largest buffer that is kept for the next use, in bytes.
	maxScratch = 16 << 10
)

// ErrOpen is the answer to everything that does not open. It does not say why.
var ErrOpen = errors.New("this handle does not open")

// kind is what a handle is. It is part of what a handle is bound to, so that none passes for another.
type kind string

const (
	kindSession       kind = "warder/handle/session/v1"
	kindCursor        kind = "warder/handle/cursor/v1"
	kindRequestState  kind = "warder/handle/request-state/v1"
	kindServerRequest kind = "warder/handle/server-request/v1"
	kindEvent         kind = "warder/handle/event/v1"
)

// encoding refuses padding bits that are set, which would be a second form of the same bytes.
var encoding = base64.RawURLEncoding.Strict()

// Owner is who a handle belongs to.
type Owner [16]byte

// OwnerOf returns the owner that a caller is: the user and the application. It is a hash, so it can be kept and compared
// where names should not be.
func OwnerOf(p *principal.Principal) Owner {
	var room [256]byte
	name := append(room[:0], "warder/handle/owner/v1"...)
	name = binary.BigEndian.AppendUint64(name, uint64(len(p.User)))
	name = append(name, p.User...)
	name = append(name, p.Application...)
	sum := sha256.Sum256(name)
	return Owner(sum[:16])
}

// Sealer seals and opens with the keys of one snapshot. It is immutable and safe for concurrent use.
type Sealer struct {
	// turns are in the order of their time. There is at least one.
	turns   []turn
	scratch sync.Pool // of *scratch
}

// turn is a key's time to seal. All rings open what any seals.
type turn struct {
	from time.Time
	ring *seal.Keyring
}

// New returns a sealer of these keys, in any order. None, or one that is not 32 bytes long or there twice, is an error.
func New(keys []*snapshotv1.SealKey) (*Sealer, error) {
	keys = slices.SortedFunc(slices.Values(keys), func(a, b *snapshotv1.SealKey) int {
		return cmp.Or(a.GetSealsFrom().AsTime().Compare(b.GetSealsFrom().AsTime()), bytes.Compare(a.GetKey(), b.GetKey()))
	})
	secrets := make([][]byte, len(keys))
	for i, key := range keys {
		secrets[i] = key.GetKey()
	}
	ring, err := seal.NewKeyring(secrets...)
	if err != nil {
		return nil, fmt.Errorf("make sealer: %w", err)
	}
	s := &Sealer{turns: make([]turn, len(keys))}
	for i, key := range keys {
		s.turns[i] = turn{key.GetSealsFrom().AsTime(), ring.Led(i)}
	}
	s.scratch.New = func() any { return new(scratch) }
	return s, nil
}

// at returns the ring whose turn it is: of those whose time has come the latest. Before the time of all of them it is the
// first: a node whose clock is behind serves all the same.
func (s *Sealer) at(now time.Time) *seal.Keyring {
	for i := len(s.turns) - 1; i > 0; i-- {
		if !s.turns[i].from.After(now) {
			return s.turns[i].ring
		}
	}
	return s.turns[0].ring
}

// scratch is memory for one sealing or opening.
type scratch struct {
	context             seal.Context
	text, sealed, plain []byte
	unpacked            []byte
	servers             []serverSpans
}

func (s *Sealer) borrow() *scratch { return s.scratch.Get().(*scratch) }

// giveBack takes scratch back, unless it has grown too large to be kept. The plaintext is not wiped: it is worth no more
// than the keys, which are in memory too.
func (s *Sealer) giveBack(b *scratch) {
	if cap(b.text)+cap(b.sealed)+cap(b.plain)+cap(b.unpacked) <= maxScratch {
		s.scratch.Put(b)
	}
}

// seal returns the token of b.plain.
func (s *Sealer) seal(b *scratch, kind kind, owner Owner, now time.Time) (string, error) {
	b.context.Set(string(kind), string(owner[:]))
	var err error
	if b.sealed, err = s.at(now).SealTo(b.sealed[:0], b.plain, &b.context); err != nil {
		return "", err
	}
	b.text = encoding.AppendEncode(append(b.text[:0], prefix...), b.sealed)
	return string(b.text), nil
}

// open returns what seal was given, in b's memory. The error is ErrOpen or nil.
func (s *Sealer) open(b *scratch, kind kind, token string, owner Owner) ([]byte, error) {
	text, ours := strings.CutPrefix(token, prefix)
	if !ours {
		return nil, ErrOpen
	}
	b.text = append(b.text[:0], text...)
	var err error
	b.sealed, err = encoding.AppendDecode(b.sealed[:0], b.text)
	// The decoder skips line breaks, which would be a second form.
	if err != nil || encoding.EncodedLen(len(b.sealed)) != len(text) {
		return nil, ErrOpen
	}
	b.context.Set(string(kind), string(owner[:]))
	if b.plain, err = s.turns[0].ring.OpenTo(b.plain[:0], b.sealed, &b.context); err != nil {
		return nil, ErrOpen
	}
	return b.plain, nil
}

// sealed seals what pack writes. It serves every kind but sessions, which have a bound of their own.
func (s *Sealer) sealed(kind kind, owner Owner, now, expires time.Time, pack func(*packer)) (string, error) {
	if err := checkLife(now, expires); err != nil {
		return "", err
	}
	b := s.borrow()
	defer s.giveBack(b)
	p := begin(b.plain, expires)
	pack(&p)
	b.plain = p.out
	if tokenLen(len(b.plain)) > maxToken {
		return "", fmt.Errorf("seal %s: %d bytes are too many", kind, len(b.plain))
	}
	return s.seal(b, kind, owner, now)
}

// opened gives what sealed packed to unpack, which may keep nothing of the unpacker's memory. It returns when it expires.
func (s *Sealer) opened(kind kind, token string, owner Owner, now time.Time, unpack func(*unpacker)) (time.Time, error) {
	if len(token) > maxToken {
		return time.Time{}, ErrOpen
	}
	b := s.borrow()
	defer s.giveBack(b)
	plain, err := s.open(b, kind, token, owner)
	if err != nil {
		return time.Time{}, err
	}
	u, expires := resume(plain)
	if !now.Before(expires) {
		return time.Time{}, ErrOpen
	}
	unpack(&u)
	return expires, u.end()
}

// checkLife refuses what could outlive the key that seals it.
func checkLife(now, expires time.Time) error {
	if expires.Sub(now) > MaxLife {
		return fmt.Errorf("seal handle: it would live for %s, more than %s", expires.Sub(now), MaxLife)
	}
	return nil
}

// tokenLen returns the length of the token of so many bytes.
func tokenLen(plain int) int { return len(prefix) + encoding.EncodedLen(plain+seal.Overhead) }
