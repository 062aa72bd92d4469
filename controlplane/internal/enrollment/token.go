package enrollment

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
)

// MaxTokenLife bounds how long a join token is good for (security.md P-10).
const MaxTokenLife = 15 * time.Minute

// NewToken is what a join token is made for.
type NewToken struct {
	Peer   identity.Peer
	Region string
	// Life is how long it is good for; 0: MaxTokenLife.
	Life time.Duration
}

// CreateToken makes a join token as a part of a change. Nothing keeps its secret but
// its hash.
func (a *Authority) CreateToken(ctx context.Context, tx *store.Tx, n NewToken) (identity.Token, db.InsertJoinTokenRow, error) {
	if err := n.Peer.Check(); err != nil {
		return identity.Token{}, db.InsertJoinTokenRow{}, err
	}
	if n.Life == 0 {
		n.Life = MaxTokenLife
	}
	id, secret := make([]byte, 8), make([]byte, 32)
	for _, random := range [][]byte{id, secret} {
		if _, err := rand.Read(random); err != nil {
			return identity.Token{}, db.InsertJoinTokenRow{}, fmt.Errorf("make join token: %w", err)
		}
	}
	token := identity.Token{ID: hex.EncodeToString(id), Secret: hex.EncodeToString(secret), Fingerprint: a.Fingerprint()}
	row, err := tx.InsertJoinToken(ctx, db.InsertJoinTokenParams{
		ID: token.ID, Hash: hash(token), Kind: string(n.Peer.Kind), Name: n.Peer.Name, Region: n.Region,
		CreatedBy: tx.Actor(), LifeSeconds: n.Life.Seconds(),
	})
	if err != nil {
		return identity.Token{}, db.InsertJoinTokenRow{}, fmt.Errorf("keep join token: %w", err)
	}
	tx.Note("join-token.create", token.ID, map[string]any{
		"kind": string(n.Peer.Kind), "name": n.Peer.Name, "region": n.Region, "expires_at": row.ExpiresAt,
	})
	return token, row, nil
}

// hash is what is kept of a secret. It is random, so that one turn is enough.
func hash(t identity.Token) []byte {
	sum := sha256.Sum256([]byte(t.Secret))
	return sum[:]
}

// spend spends a token for a peer of a kind as a part of a change, or says why it is not
// good. Who does not have its secret learns nothing of it.
func spend(ctx context.Context, tx *store.Tx, token identity.Token, kind identity.Kind) (db.SpendJoinTokenRow, error) {
	row, err := tx.SpendJoinToken(ctx, db.SpendJoinTokenParams{ID: token.ID, Hash: hash(token), Kind: string(kind)})
	if fault.Is(err, fault.NotFound) {
		return db.SpendJoinTokenRow{}, whyNot(ctx, tx, token, kind)
	}
	return row, err
}

// whyNot says what is wrong with a token that could not be spent.
func whyNot(ctx context.Context, tx *store.Tx, token identity.Token, kind identity.Kind) error {
	const advice = "; make another with 'warder join-token create'"
	row, err := tx.GetJoinToken(ctx, token.ID)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return fmt.Errorf("look for join token: %w", err)
	}
	switch {
	case err != nil || subtle.ConstantTimeCompare(row.Hash, hash(token)) != 1:
		return fault.New(fault.Unauthenticated, "this join token is not known here"+advice)
	case row.UsedAt != nil:
		return fault.Newf(fault.Unauthenticated, "this join token was used already, at %s: each lets one peer in, once"+advice, row.UsedAt.UTC().Format(time.RFC3339))
	case row.RevokedAt != nil:
		return fault.New(fault.Unauthenticated, "this join token was revoked"+advice)
	}
	if !row.Expired && row.Kind != string(kind) {
		return otherKind(identity.Peer{Kind: identity.Kind(row.Kind), Name: row.Name}, kind)
	}
	return fault.Newf(fault.Unauthenticated, "this join token expired at %s"+advice, row.ExpiresAt.UTC().Format(time.RFC3339))
}

// commands are those that take a join token, by the kind that it is for.
var commands = map[identity.Kind]string{
	identity.Node:  "warder dataplane",
	identity.Agent: "warder agent run",
}

// otherKind refuses a peer of a kind that a token is not for, which is still good.
func otherKind(bound identity.Peer, kind identity.Kind) error {
	use := fmt.Sprintf("start that with '%s', which takes this token", commands[bound.Kind])
	if commands[kind] == "" {
		return fault.Newf(fault.Invalid, "this join token is for the %s %s, and who asks says that it is %q, neither a node nor an agent; it was not spent: %s", bound.Kind, bound.Name, kind, use)
	}
	return fault.Newf(fault.Precondition, "this join token is for the %[1]s %[2]s, and not for a %[3]s; it was not spent: %[4]s, or make one for a %[3]s with 'warder join-token create --kind %[3]s --name NAME'",
		bound.Kind, bound.Name, kind, use)
}
