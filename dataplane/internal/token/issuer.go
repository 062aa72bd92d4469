package token

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"google.golang.org/protobuf/proto"

	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Issuer is who may sign tokens, as one snapshot has it. It is immutable.
type Issuer struct {
	// Item must not be changed.
	Item *snapshotv1.Issuer
	// print tells issuers apart that differ in anything.
	print      [sha256.Size]byte
	algorithms map[string]algorithm
	from       origin
}

// origin is where keys are fetched, and how. Issuers with equal origins share a
// source.
type origin struct {
	url         string
	private     bool
	authorities string // PEM
}

// NewIssuer returns the issuer of an item. An error says what about the item cannot
// be, in words for people.
func NewIssuer(item *snapshotv1.Issuer) (*Issuer, error) {
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(item)
	if err != nil {
		return nil, fmt.Errorf("encode issuer: %w", err)
	}
	i := &Issuer{
		Item: item, print: sha256.Sum256(encoded), algorithms: make(map[string]algorithm, len(item.GetAlgorithms())),
		from: origin{url: item.GetJwksUrl(), private: item.GetPrivate(), authorities: string(item.GetCaCertificates())},
	}
	for _, name := range item.GetAlgorithms() {
		known, ok := algorithms[name]
		if !ok {
			return nil, errors.New("an algorithm of it is not known to this node")
		}
		i.algorithms[name] = known
	}
	keys, err := url.Parse(item.GetJwksUrl())
	switch {
	case item.GetUrl() == "" || item.GetUserClaim() == "":
		return nil, errors.New("it has no URL, or no claim that names the user")
	case len(i.algorithms) == 0:
		return nil, errors.New("it has no algorithm")
	case err != nil || keys.Host == "" || keys.Scheme != "https" && (keys.Scheme != "http" || !item.GetPrivate()):
		return nil, errors.New("the URL of its keys is not an absolute https URL")
	case i.from.authorities != "" && !x509.NewCertPool().AppendCertsFromPEM(item.GetCaCertificates()):
		return nil, errors.New("its authorities are no certificates in PEM")
	}
	return i, nil
}

// Name returns the name that people gave it.
func (i *Issuer) Name() string { return i.Item.GetName() }

// Issuers are those of one snapshot. They are immutable; nil has none.
type Issuers struct {
	byURL  map[string]*Issuer
	byName map[string]*Issuer
}

// NewIssuers returns a table. Two issuers with one URL or one name are an error:
// which of them a token is of could not be told.
func NewIssuers(issuers []*Issuer) (*Issuers, error) {
	all := &Issuers{byURL: make(map[string]*Issuer), byName: make(map[string]*Issuer)}
	for _, i := range issuers {
		if all.byURL[i.Item.GetUrl()] != nil || all.byName[i.Name()] != nil {
			return nil, fmt.Errorf("issuer %s occurs twice", i.Name())
		}
		all.byURL[i.Item.GetUrl()], all.byName[i.Name()] = i, i
	}
	return all, nil
}

// Len returns the number of issuers.
func (all *Issuers) Len() int {
	if all == nil {
		return 0
	}
	return len(all.byName)
}

// Sorted returns the issuers by name.
func (all *Issuers) Sorted() []*Issuer {
	if all == nil {
		return nil
	}
	list := make([]*Issuer, 0, len(all.byName))
	for _, i := range all.byName {
		list = append(list, i)
	}
	slices.SortFunc(list, func(a, b *Issuer) int { return bytes.Compare([]byte(a.Name()), []byte(b.Name())) })
	return list
}

// same returns the issuer that a token was verified by, if it is in the table
// exactly as it was then, else nil.
func (all *Issuers) same(t *Token) *Issuer {
	if all == nil {
		return nil
	}
	if i := all.byName[t.Issuer]; i != nil && i.print == t.issuer {
		return i
	}
	return nil
}
