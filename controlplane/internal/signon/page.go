package signon

import (
	"bytes"
	"html/template"
	"net/http"

	"github.com/warder-gateway/warder/internal/fault"
)

// page says why somebody is not signed in. It works without scripts, and its
// policy allows none.
var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Not signed in - Warder</title>
<h1>You are not signed in</h1>
<p>{{.}}</p>
<p><a href="/login">Back to the sign-in page</a></p>
</html>
`))

// statuses are the HTTP statuses of failures; of all others it is 500.
var statuses = map[fault.Kind]int{
	fault.Invalid: http.StatusBadRequest, fault.NotFound: http.StatusNotFound, fault.Conflict: http.StatusConflict,
	fault.Exists: http.StatusConflict, fault.Denied: http.StatusForbidden, fault.Unauthenticated: http.StatusForbidden,
	fault.Precondition: http.StatusConflict, fault.Exhausted: http.StatusTooManyRequests, fault.Unavailable: http.StatusServiceUnavailable,
}

// servePage answers with the text of a failure, and nothing of its cause.
func servePage(w http.ResponseWriter, err error) {
	status, known := statuses[fault.KindOf(err)]
	if !known {
		status = http.StatusInternalServerError
	}
	var body bytes.Buffer
	if err := page.Execute(&body, fault.Text(err)); err != nil {
		http.Error(w, "you are not signed in", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // The browser left; nobody is there to tell.
}
