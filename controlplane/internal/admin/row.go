package admin

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/internal/fault"
)

// errUnchanged ends a mutation that found everything as it should be: nothing is
// written, and it is no failure.
var errUnchanged = errors.New("nothing to change")

// changed is change for mutations that may find nothing to do.
func (a *API) changed(ctx context.Context, fn func(*store.Tx) error) error {
	_, err := a.change(ctx, fn)
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}

// timestamp returns nil for an absent time.
func timestamp(t *time.Time) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return timestamppb.New(*t)
}

// optional returns "" for an absent text.
func optional(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// defaultPage is the size of a page that the request leaves open.
const defaultPage = 50

func pageSize(asked int32) int32 {
	if asked == 0 {
		return defaultPage
	}
	return asked
}

func errPageToken() error {
	return fault.New(fault.Invalid, "the page token is not one that this API gave; leave it out to begin again")
}

// callToken names the last call of a page: its time in microseconds, then its
// id.
func callToken(at time.Time, id []byte) string {
	raw := binary.BigEndian.AppendUint64(nil, uint64(at.UnixMicro()))
	return base64.RawURLEncoding.EncodeToString(append(raw, id...))
}

const callIDSize = 16

func readCallToken(token string) (*time.Time, []byte, error) {
	if token == "" {
		return nil, nil, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != 8+callIDSize {
		return nil, nil, errPageToken()
	}
	at := time.UnixMicro(int64(binary.BigEndian.Uint64(raw))).UTC()
	return &at, raw[8:], nil
}

// rowToken names the last row of a page by its id.
func rowToken(id int64) string { return strconv.FormatInt(id, 36) }

func readRowToken(token string) (*int64, error) {
	if token == "" {
		return nil, nil
	}
	id, err := strconv.ParseInt(token, 36, 64)
	if err != nil || id <= 0 {
		return nil, errPageToken()
	}
	return &id, nil
}
