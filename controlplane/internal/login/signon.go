package login

import "context"

// Secure reports whether the browser speaks HTTPS, and so how cookies of other
// packages must be named; fault.Precondition where one would travel in the clear.
func Secure(ctx context.Context) (bool, error) {
	name, err := originOf(ctx).cookieName()
	return name == secureCookie, err
}

// signOnAccount is the account under which attempts to come back from a provider
// count, an address apart: whoever it was is not known yet, and one address must
// not lock out the others.
const signOnAccount = "\x00sign-on:"

// Attempt counts an attempt to sign in by a provider as one with a password is
// counted; fault.Exhausted says how long to wait. Release gives it back: call it
// when the attempt succeeded.
func (d *Desk) Attempt(ctx context.Context) (release func(), err error) {
	address := originOf(ctx).address
	side := side{address: address, account: signOnAccount + address}
	if err := d.reserve(side); err != nil {
		return nil, err
	}
	return func() { d.attempts.give(side, d.now()) }, nil
}
