// Package signon lets people sign in to the administration by a provider of
// OpenID Connect: authorization code with PKCE.
//
//	browser ─▶ GET /login/oidc/NAME ───────▶ way (state, nonce, verifier) sealed into a cookie
//	   │◀────── 303 to the provider ────────┘
//	   └─▶ provider ─▶ GET /login/oidc/NAME/callback?code&state&iss
//	           cookie opens, state is its own and unspent, iss is right     (way.go)
//	           code ─▶ token endpoint ─▶ id token: signature, iss, aud, …   (peer.go, token.go)
//	           subject ─▶ user; groups ─▶ roles                             (admission.go)
//	           session of package login ─▶ 303 to where the person was
//
// It promises:
//   - A way is walked by the browser that began it, once, and within wayLife,
//     whichever replica it comes back to: what is known of it lies sealed in the
//     browser's cookie, and that it was walked in the database. A session that
//     somebody signs in with is always new.
//   - A user is whom the provider's subject stands for. A name in a token makes a
//     user at the first sign-in and never takes over one that exists.
//   - Users of a provider hold exactly the roles that their groups give them, since
//     their last sign-in. Who gets none is refused, and loses what he had.
//   - Requests to a provider go through package egress, take no longer than
//     requestTimeout, and read no more than maxBody. A token that names an unknown
//     key makes it no more work than keyFetches allows (security.md T-16).
//   - Redirects lead to the provider, or to a path of the configured public URL.
//     The Host header decides about neither.
//   - Nothing that a provider says is shown to people but names, escaped.
package signon
