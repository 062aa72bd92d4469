package identity

import (
	"errors"
	"strings"

	"google.golang.org/grpc/status"
)

// Reason is why a control plane or a node was not reached, or what it answered, for people: without what gRPC puts around it.
func Reason(err error) string {
	text := err.Error()
	var answer interface{ GRPCStatus() *status.Status }
	if errors.As(err, &answer) {
		text = answer.GRPCStatus().Message()
	}
	for _, wrapping := range []string{`connection error: desc = "`, "transport: "} {
		if _, inner, found := strings.Cut(text, wrapping); found {
			text = strings.TrimSuffix(inner, `"`)
		}
	}
	for _, wrapping := range []string{"Error while dialing: ", "authentication handshake failed: "} {
		text = strings.TrimPrefix(text, wrapping)
	}
	if strings.HasSuffix(text, "first record does not look like a TLS handshake") {
		text += "; what listens there is something else: the port of the control plane's --node-listen is meant"
	}
	return text
}

// SameReason reports whether two reasons say the same but for numbers, such as the port that a connection was made from.
func SameReason(a, b string) bool { return withoutDigits(a) == withoutDigits(b) }

func withoutDigits(text string) string {
	return strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' {
			return -1
		}
		return c
	}, text)
}
