// Package dashboard carries the administrators' web application in the binary.
//
// The application is a React program in this directory. Its build puts files
// into dist, which is embedded as it stands when Go compiles:
//
//	make dashboard ─▶ dist/index.html, dist/assets/* ─▶ go:embed ─▶ Handler
//	(without Node) ─▶ dist/placeholder.html          ─▶ go:embed ─▶ Handler
//
// The application holds no authority: it speaks Connect to the origin that
// served it, with the cookie of the person signed in. Handler therefore gives
// out nothing secret and asks for no credential. It promises that what it serves
// can run no script but its own, whatever text the pages show.
package dashboard

import (
	"embed"
	"io/fs"
	"net/http"
)

//go:embed all:dist
var dist embed.FS

// Handler serves the embedded application, or a page that says how to build it
// when the binary was compiled without. It answers GET and HEAD for every path;
// mount the API before it. Safe for concurrent use.
func Handler() http.Handler {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic("dashboard: embedded directory: " + err.Error()) // The path is a constant of this file.
	}
	return newHandler(files)
}
