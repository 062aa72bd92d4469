package egress

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
)

// authority makes a certificate that lives this long from now, as PEM.
func authority(t *testing.T, life time.Duration) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "corp\x1b[31m"},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(life), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestParseAuthorities(t *testing.T) {
	good := authority(t, time.Hour)
	for name, c := range map[string]struct{ text, says string }{
		"nothing":        {"", ""},
		"one":            {good, ""},
		"with remarks":   {"# our authority\n" + good + good, ""},
		"no PEM":         {"hello", "holds no certificate"},
		"another block":  {"-----BEGIN X509 CRL-----\nAA==\n-----END X509 CRL-----\n", "holds no certificate"},
		"garbage inside": {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"},
		"a private key":  {good + "-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n", "private key"},
		"expired":        {authority(t, -time.Hour), "expired on"},
	} {
		pool, err := ParseAuthorities(c.text, time.Now())
		if (err == nil) != (c.says == "") || !strings.Contains(fault.Text(err), c.says) || (pool != nil) != (c.says == "" && c.text != "") {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && (!fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "\x1b")) {
			t.Errorf("%s: %v %q", name, fault.KindOf(err), err)
		}
	}
}
