package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/ownfile"
)

// fileName is where an identity lies in its directory: key, certificate and
// authorities in one file, so that they are replaced together or not at all.
const fileName = "identity.pem"

// maxFile bounds what is read.
const maxFile = 1 << 20

// Headers of the certificate's block.
const (
	headerRegion = "Region"
	headerToken  = "Join-Token"
)

// write replaces the file. A process that dies meanwhile leaves the old one or the
// new one; when it has returned, the new one survives the machine: the old certificate
// is soon exchanged no more.
func write(dir string, h *held) error {
	encoded, err := encode(h)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return ownfile.Replace(filepath.Join(dir, fileName), encoded)
}

func encode(h *held) ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(h.certificate.PrivateKey)
	if err != nil {
		return nil, err
	}
	leaf := &pem.Block{Type: "CERTIFICATE", Bytes: h.certificate.Leaf.Raw, Headers: map[string]string{}}
	if h.region != "" {
		leaf.Headers[headerRegion] = h.region
	}
	if h.token != "" {
		leaf.Headers[headerToken] = h.token
	}
	blocks := []*pem.Block{{Type: "PRIVATE KEY", Bytes: key}, leaf}
	for _, authority := range h.authorities {
		blocks = append(blocks, &pem.Block{Type: "CERTIFICATE", Bytes: authority.Raw})
	}
	var out bytes.Buffer
	for _, block := range blocks {
		if err := pem.Encode(&out, block); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// read returns what lies in a directory, good or not. It fails with fs.ErrNotExist
// where there is nothing.
func read(dir string) (*held, error) {
	path := filepath.Join(dir, fileName)
	encoded, err := ownfile.Read(path, maxFile)
	if err != nil {
		return nil, err
	}
	h, err := decode(encoded)
	if err != nil {
		return nil, fault.Wrap(fault.Precondition, path+" holds no identity: "+err.Error()+"; remove it and join anew with a join token", err).Coded(CodeIdentity)
	}
	return h, nil
}

func decode(encoded []byte) (*held, error) {
	block, rest := pem.Decode(encoded)
	if block == nil {
		return nil, errors.New("nothing in PEM is there")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("the key is not of ECDSA")
	}
	var certificates []*x509.Certificate
	headers := map[string]string{}
	for block, rest = pem.Decode(rest); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parse certificate: %w", err)
		}
		if len(certificates) == 0 {
			headers = block.Headers
		}
		certificates = append(certificates, certificate)
	}
	if len(certificates) == 0 {
		return nil, errors.New("no certificate is there")
	}
	h, err := newHeld(key, certificates[0], certificates[1:])
	if err != nil {
		return nil, err
	}
	h.region, h.token = headers[headerRegion], headers[headerToken]
	return h, nil
}
