package login

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
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
// fault.Exhausted. One turn more is kept for known devices, so that strangers who
// guess do not keep out those who work here. It is safe for concurrent use.
type Hasher struct {
	params params
	slots  chan struct{}
	kept   chan struct{}
	wait   time.Duration
	decoy  string
	// done counts hashings: what a sign-in costs, and so what its time tells.
	done atomic.Int64
}

// NewHasher returns a Hasher with the current costs.
func NewHasher() *Hasher { return newHasher(current) }

func newHasher(p params) *Hasher {
	h := &Hasher{params: p, slots: make(chan struct{}, hashSlots), kept: make(chan struct{}, 1), wait: hashWait}
	h.decoy = encode(p, random(saltSize), random(sumSize))
	return h
}

// Hash returns the password's hash as a PHC string. A password that is too short
// or too long, or that everybody guesses first, is fault.Invalid.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if len(password) < MinPassword || len(password) > MaxPassword {
		return "", fault.Newf(fault.Invalid, "a password has %d to %d bytes; this one has %d", MinPassword, MaxPassword, len(password))
	}
	if guessable(password) {
		return "", fault.New(fault.Invalid, "this password is among the first that are guessed; take another, for example a few words that nobody puts together")
	}
	return h.renew(ctx, password)
}

// renew is Hash for a password that is in use already.
func (h *Hasher) renew(ctx context.Context, password string) (string, error) {
	salt := random(saltSize)
	sum, err := h.derive(ctx, password, salt, h.params, false)
	if err != nil {
		return "", err
	}
	return encode(h.params, salt, sum), nil
}

// Verify reports whether the password belongs to the hash, and whether the hash
// should be made anew because its costs are not today's. An empty hash matches
// nothing and takes as long as a real one; so does a damaged one, which is an
// error besides.
func (h *Hasher) Verify(ctx context.Context, hash, password string, knownDevice bool) (ok, stale bool, err error) {
	known := hash != ""
	if !known {
		hash = h.decoy
	}
	p, salt, want, parseErr := decode(hash)
	if parseErr != nil {
		p, salt, want, _ = decode(h.decoy)
	}
	got, err := h.derive(ctx, password, salt, p, knownDevice)
	if err != nil {
		return false, false, err
	}
	if parseErr != nil {
		return false, false, fmt.Errorf("read password hash: %w", parseErr)
	}
	same := subtle.ConstantTimeCompare(got, want) == 1
	return same && known, p != h.params, nil
}

func (h *Hasher) derive(ctx context.Context, password string, salt []byte, p params, knownDevice bool) ([]byte, error) {
	timer := time.NewTimer(h.wait)
	defer timer.Stop()
	var kept chan struct{} // Nobody's turn comes on a nil channel.
	if knownDevice {
		kept = h.kept
	}
	turn := h.slots
	select {
	case h.slots <- struct{}{}:
	case kept <- struct{}{}:
		turn = kept
	case <-timer.C:
		return nil, fault.New(fault.Exhausted, "too many people are signing in at this moment; try again in a few seconds")
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a turn to hash: %w", ctx.Err())
	}
	defer func() { <-turn }()
	h.done.Add(1)
	return argon2.IDKey([]byte(password), salt, p.time, p.memory, p.threads, sumSize), nil
}

// minDistinct is how many different bytes a password has at least.
const minDistinct = 5

// guessed is what lists of leaked passwords begin with, of those that can be long
// enough: in lower case, with letters for what stands for them, and without the
// digits at the end, so that nothing is left of a row of digits.
var guessed = []string{
	"", "administrator", "changemechangeme", "iloveyouiloveyou", "letmeinletmein", "passwordpassword", "qwertyqwerty", "qwertyuiop",
	"qwertyuiopasdfghjkl", "asdfghjkl", "zxcvbnm", "welcomewelcome", "trustno1trustno", "adminadminadmin", "password", "warderwarder",
	"warder", "correcthorsebatterystaple", "abcdefghijkl", "abcdefghijklmnop", "qazwsxedcrfv", "qwerasdfzxcv",
}

// guessable reports whether the password is one of the first that are tried.
func guessable(password string) bool {
	distinct := make(map[byte]bool)
	for i := range len(password) {
		distinct[password[i]] = true
	}
	if len(distinct) < minDistinct {
		return true
	}
	word := strings.TrimRight(strings.ToLower(password), "0123456789!?.*#")
	word = strings.NewReplacer("0", "o", "3", "e", "4", "a", "@", "a", "$", "s", " ", "", "-", "", "_", "").Replace(word)
	return slices.Contains(guessed, word)
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
