package egress

import (
	"crypto/x509"
	"encoding/pem"
	"strings"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
)

// maxShown bounds how much of a certificate's subject is shown.
const maxShown = 64

// ParseAuthorities reads the authorities that may sign for a server, in PEM.
// Empty text is nil: the authorities of the system. Anything that cannot work is
// fault.Invalid: no certificate at all, one that cannot be read or has expired,
// and a private key, which belongs nowhere but with the authority.
func ParseAuthorities(text string, now time.Time) (*x509.CertPool, error) {
	if text == "" {
		return nil, nil
	}
	pool, found := x509.NewCertPool(), false
	for rest := []byte(text); ; {
		block, after := pem.Decode(rest)
		if block == nil {
			break
		}
		rest = after
		if strings.Contains(block.Type, "PRIVATE KEY") {
			return nil, fault.New(fault.Invalid, "the file of authorities holds a private key; give the certificates alone")
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, "a certificate in the file of authorities cannot be read", err)
		}
		if now.After(certificate.NotAfter) {
			return nil, fault.Newf(fault.Invalid, "the certificate of the authority %s expired on %s",
				mcp.EscapeName(certificate.Subject.String(), maxShown), certificate.NotAfter.UTC().Format(time.DateOnly))
		}
		pool.AddCert(certificate)
		found = true
	}
	if !found {
		return nil, fault.New(fault.Invalid, "the file of authorities holds no certificate; it is PEM, with lines of -----BEGIN CERTIFICATE-----")
	}
	return pool, nil
}
