package identity

import (
	"os"
	"regexp"
	"strings"

	"github.com/warder-gateway/warder/internal/fault"
)

// Token is a join token, as its holder has it: "wdj_<id>_<secret>_<fingerprint>".
type Token struct {
	// ID names it: 16 hexadecimal digits.
	ID string
	// Secret is 64 hexadecimal digits.
	Secret string
	// Fingerprint is that of the authority by which to know the control plane.
	Fingerprint string
}

var tokenForm = regexp.MustCompile(`^wdj_([0-9a-f]{16})_([0-9a-f]{64})_([0-9a-f]{64})$`)

// GivenToken returns the text of the join token that a process was given: the content
// of a file, or the text itself where no file is named. Where the file cannot be read it
// fails with fault.Precondition.
func GivenToken(text, file string) (string, error) {
	if file == "" {
		return text, nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return "", fault.Wrap(fault.Precondition, "the join token cannot be read: "+err.Error(), err)
	}
	return strings.TrimSpace(string(content)), nil
}

// ParseToken reads a token. What is none is fault.Invalid, and not repeated in the
// error.
func ParseToken(text string) (Token, error) {
	m := tokenForm.FindStringSubmatch(text)
	if m == nil {
		return Token{}, fault.New(fault.Invalid, "this is no join token: one begins with wdj_ and is as 'warder join-token create' shows it, whole")
	}
	return Token{ID: m[1], Secret: m[2], Fingerprint: m[3]}, nil
}

// Reveal returns the token as ParseToken reads it. Secret.
func (t Token) Reveal() string { return "wdj_" + t.ID + "_" + t.Secret + "_" + t.Fingerprint }

// String names the token without its secret, so that a log of it is harmless.
func (t Token) String() string { return "join token " + t.ID }

// authorityName is the server name by which a joining peer says which authority it
// knows: during a rotation the control plane has a certificate of each.
func authorityName(fingerprint string) string { return fingerprint[:32] + "." + ServerName }

// NamesAuthority reports whether a server name of a handshake asks for a certificate
// of the authority with this fingerprint.
func NamesAuthority(serverName, fingerprint string) bool {
	return serverName == authorityName(fingerprint)
}
