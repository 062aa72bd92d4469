// Package enrollment decides who may speak to the control plane over gRPC, and
// as whom.
//
//	Authority (P-256, key sealed in the database)
//	  ├─ IssueNode("edge-1") ─▶ certificate, SAN spiffe://warder/node/edge-1
//	  └─ ServerTLS()         ─▶ certificate, SAN spiffe://warder/controlplane, DNS warder-controlplane
//
//	connection ─▶ mutual TLS ─▶ interceptor: exact method ─▶ kind ─▶ handler: FromContext(ctx)
//
// Identity is the SAN of a certificate that the authority signed, never a field
// of a message. Which kind of peer may call a method stands in one exact map;
// what is not in it is denied (security.md T-28).
//
// A node's certificate lasts for Validity; join tokens and renewal, which make
// that an hour, come with a later issue.
package enrollment
