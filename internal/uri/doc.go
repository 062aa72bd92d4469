// Package uri reads the URIs of resources: what a template names, and whether a
// URI is spelled so that a decision about it means something.
//
//	template ──ParseTemplate──▶ *Template ──Matches(uri)──▶ is it one of those?
//	uri ──Canonical──▶ is there no other way to write the same?
//
// A server may have resources that it does not list. What is known of them is
// their URI alone: which template names them, if any, and which globs of the
// policy match them. Both look at the text, and a server that takes
// "file:///pub/../etc" for "file:///etc" does not. So a URI that is not listed
// must be canonical, or there is no such resource.
//
// The package is pure, and all of it is safe for concurrent use.
package uri
