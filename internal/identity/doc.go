// Package identity is who a process is among the planes and agents: a certificate of
// an hour, whose key was made here and never leaves, and the authorities to trust.
//
//	join token ─▶ Join ─▶ Identity ─┬ Client(kind, name) ─▶ tls.Config to dial with
//	                 file, 0600 ◀───┤ Server(kinds…)     ─▶ tls.Config to listen with
//	                                └ Run ─▶ Renew at half of the life, and again
//	                                       ─▶ Rejoin when it has expired: the machine slept
//
// The name of a peer is one URI SAN: spiffe://warder/node/NAME,
// spiffe://warder/agent/NAME or spiffe://warder/controlplane. Each side says whom it
// expects: a certificate of the same authority, but of another kind or name, is
// refused like one of a stranger (security.md P-10, T-43).
//
// Whatever Client and Server returned follows a renewal and a rotation of the
// authority by itself: each handshake uses what is held at that time.
//
// Admission is the other half, for who serves gRPC: which kind of peer may call
// which method, exactly, and nobody else (security.md T-28).
package identity
