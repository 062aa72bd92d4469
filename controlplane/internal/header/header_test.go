package header_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/warder-gateway/warder/controlplane/internal/header"
	"github.com/warder-gateway/warder/internal/seal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// P-14: the row alone reveals no credential, and is worth nothing elsewhere.
func TestHeadersOpenOnlyForTheirServer(t *testing.T) {
	keys, err := seal.NewVault(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	headers := []*snapshotv1.Header{{Name: "Authorization", Value: "Bearer canary"}, {Name: "X-Team", Value: "a"}}
	sealed, err := header.Seal(keys, "github", headers)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("canary")) {
		t.Error("the value is readable")
	}
	got, err := header.Open(keys, "github", sealed)
	if diff := cmp.Diff(headers, got, protocmp.Transform()); err != nil || diff != "" {
		t.Errorf("opened: %v %s", err, diff)
	}
	if _, err := header.Open(keys, "evil", sealed); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("opened for another server: %v", err)
	}
}

func TestNoHeadersAreNothing(t *testing.T) {
	if sealed, err := header.Seal(nil, "github", nil); sealed != nil || err != nil {
		t.Errorf("sealed: %x, %v", sealed, err)
	}
	if headers, err := header.Open(nil, "github", nil); headers != nil || err != nil {
		t.Errorf("opened: %v, %v", headers, err)
	}
}
