package dashboard

import (
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

// contentTypes are of what a build may hold. They are listed here because the
// tables of the operating system differ from machine to machine.
var contentTypes = map[string]string{
	".css":   "text/css; charset=utf-8",
	".ico":   "image/x-icon",
	".js":    "text/javascript; charset=utf-8",
	".json":  "application/json",
	".png":   "image/png",
	".svg":   "image/svg+xml",
	".txt":   "text/plain; charset=utf-8",
	".woff2": "font/woff2",
}

// encodings are the forms a file may be stored in, the smallest first.
var encodings = []struct{ token, suffix string }{
	{"br", ".br"},
	{"gzip", ".gz"},
}

// serveFile answers with a built file, compressed beforehand if the client
// takes that. A missing file is 404, never the page: a browser that asks for a
// script of an older build must not be given HTML.
func (h *handler) serveFile(w http.ResponseWriter, r *http.Request, name string) {
	contentType, known := contentTypes[path.Ext(name)]
	if !known {
		http.NotFound(w, r)
		return
	}
	content, encoding, err := h.open(name, r.Header.Get("Accept-Encoding"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer content.Close()

	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Security-Policy", "default-src 'none'") // An image opened by itself runs nothing.
	w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
	w.Header().Set("Cache-Control", caching(name))
	w.Header().Set("Vary", "Accept-Encoding")
	if encoding != "" {
		w.Header().Set("Content-Encoding", encoding)
	}
	http.ServeContent(w, r, name, time.Time{}, content)
}

// caching lets a browser keep for ever what has the hash of its content in its
// name, and makes it ask again for anything else.
func caching(name string) string {
	if strings.HasPrefix(name, assetDir) {
		return "public, max-age=31536000, immutable"
	}
	return "no-cache"
}

// open finds the smallest stored form of a file that the client takes, and
// says how it is encoded. The caller closes it.
func (h *handler) open(name, acceptEncoding string) (content io.ReadSeekCloser, encoding string, err error) {
	for _, e := range encodings {
		if !accepts(acceptEncoding, e.token) {
			continue
		}
		if content, err := openSeekable(h.files, name+e.suffix); err == nil {
			return content, e.token, nil
		}
	}
	content, err = openSeekable(h.files, name)
	return content, "", err
}

// openSeekable opens a regular file for http.ServeContent. The caller closes it.
func openSeekable(files fs.FS, name string) (io.ReadSeekCloser, error) {
	file, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	content, ok := file.(io.ReadSeekCloser)
	if info, statErr := file.Stat(); !ok || statErr != nil || info.IsDir() {
		_ = file.Close() // Nothing was written to it.
		return nil, fs.ErrNotExist
	}
	return content, nil
}

// accepts reports whether an Accept-Encoding header names a coding and does not
// refuse it. A header that is hard to read costs compression, never the answer.
func accepts(header, token string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, parameters, _ := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(coding), token) {
			continue
		}
		weight := strings.ReplaceAll(parameters, " ", "")
		return strings.Trim(strings.TrimPrefix(weight, "q="), "0.") != "" || weight == ""
	}
	return false
}
