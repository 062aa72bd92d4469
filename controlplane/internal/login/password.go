package login

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/warder-gateway/warder/internal/fault"
)

// MinPassword and MaxPassword bound a new password, in bytes.
const (
	MinPassword = 12
	MaxPassword = 1024
)

// params are the costs of argon2id. A hash with other ones is made anew when its
// owner signs in.
type params struct {
	memory  uint32 // KiB
	time    uint32
	threads uint8
}

// current follows OWASP's minimum for argon2id (security.md P-15).
var current = params{memory: 19 * 1024, time: 2, threads: 1}

// Bounds on what a stored hash may ask for, so that a damaged row cannot take
// the memory of the process.
const (
	maxMemory = 256 * 1024 // KiB
	maxTime   = 16
	saltSize  = 16
	sumSize   = 32
)

const (
	hashSlots = 2
	hashWait  = 3 * time.Second
)

// Hasher hashes and checks passwords. Few hashings run at once, because each
// takes memory and a core; who waits longer than a few seconds for a turn gets
// fault.Exhausted. It is safe for concurrent use.
type Hasher struct {
	params params
	slots  chan struct{}
	wait   time.Duration
	decoy  string
}

// NewHasher returns a Hasher with the current costs.
func NewHasher() *Hasher { return newHasher(current) }

func newHasher(p params) *Hasher {
	h := &Hasher{params: p, slots: make(chan struct{}, hashSlots), wait: hashWait}
	h.decoy = encode(p, random(saltSize), random(sumSize))
	return h
}

// Hash returns the password's hash as a PHC string. A password that is too short
// or too long is fault.Invalid.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if len(password) < MinPassword || len(password) > MaxPassword {
		return "", fault.Newf(fault.Invalid, "a password has %d to %d bytes; this one has %d", MinPassword, MaxPassword, len(password))
	}
	salt := random(saltSize)
	sum, err := h.derive(ctx, password, salt, h.params)
	if err != nil {
		return "", err
	}
	return encode(h.params, salt, sum), nil
}

// Verify reports whether the password belongs to the hash, and whether the hash
// should be made anew because its costs are not today's. An empty hash matches
// nothing and takes as long as a real one; so does a damaged one, which is an
// error besides.
func (h *Hasher) Verify(ctx context.Context, hash, password string) (ok, stale bool, err error) {
	known := hash != ""
	if !known {
		hash = h.decoy
	}
	p, salt, want, parseErr := decode(hash)
	if parseErr != nil {
		p, salt, want, _ = decode(h.decoy)
	}
	got, err := h.derive(ctx, password, salt, p)
	if err != nil {
		return false, false, err
	}
	if parseErr != nil {
		return false, false, fmt.Errorf("read password hash: %w", parseErr)
	}
	same := subtle.ConstantTimeCompare(got, want) == 1
	return same && known, p != h.params, nil
}

func (h *Hasher) derive(ctx context.Context, password string, salt []byte, p params) ([]byte, error) {
	timer := time.NewTimer(h.wait)
	defer timer.Stop()
	select {
	case h.slots <- struct{}{}:
	case <-timer.C:
		return nil, fault.New(fault.Exhausted, "too many people are signing in at this moment; try again in a few seconds")
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a turn to hash: %w", ctx.Err())
	}
	defer func() { <-h.slots }()
	return argon2.IDKey([]byte(password), salt, p.time, p.memory, p.threads, sumSize), nil
}

// encode writes the PHC string.
func encode(p params, salt, sum []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, p.memory, p.time, p.threads, b64.EncodeToString(salt), b64.EncodeToString(sum))
}

// decode reads a PHC string that encode wrote, with any costs within the bounds.
func decode(phc string) (p params, salt, sum []byte, err error) {
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return params{}, nil, nil, fmt.Errorf("not an argon2id hash")
	}
	if parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return params{}, nil, nil, fmt.Errorf("argon2 version %q is not known", parts[2])
	}
	if p, err = decodeCosts(parts[3]); err != nil {
		return params{}, nil, nil, err
	}
	if salt, err = base64.RawStdEncoding.Strict().DecodeString(parts[4]); err != nil {
		return params{}, nil, nil, fmt.Errorf("decode salt: %w", err)
	}
	if sum, err = base64.RawStdEncoding.Strict().DecodeString(parts[5]); err != nil {
		return params{}, nil, nil, fmt.Errorf("decode sum: %w", err)
	}
	if len(salt) < 8 || len(sum) != sumSize {
		return params{}, nil, nil, fmt.Errorf("salt of %d and sum of %d bytes", len(salt), len(sum))
	}
	return p, salt, sum, nil
}

func decodeCosts(s string) (params, error) {
	fields := strings.Split(s, ",")
	if len(fields) != 3 {
		return params{}, fmt.Errorf("costs %q have not three parts", s)
	}
	var n [3]uint64
	for i, name := range []string{"m=", "t=", "p="} {
		digits, found := strings.CutPrefix(fields[i], name)
		value, err := strconv.ParseUint(digits, 10, 32)
		if !found || err != nil {
			return params{}, fmt.Errorf("cost %q is not %sNUMBER", fields[i], name)
		}
		n[i] = value
	}
	if n[0] < 8 || n[0] > maxMemory || n[1] < 1 || n[1] > maxTime || n[2] < 1 || n[2] > 16 {
		return params{}, fmt.Errorf("costs %q are out of bounds", s)
	}
	return params{memory: uint32(n[0]), time: uint32(n[1]), threads: uint8(n[2])}, nil
}

// random returns n bytes of crypto/rand, which ends the process rather than fail.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}
