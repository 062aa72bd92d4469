package upstream

import (
	"context"
	"errors"
	"net/http"

	"github.com/warder-gateway/warder/dataplane/internal/transport"
	"github.com/warder-gateway/warder/internal/mcp"
)

// errOtherEra means that the server turned out to speak the other era than the one that it was spoken to in, and that it
// did not execute the call.
var errOtherEra = errors.New("the server speaks another protocol version")

// era returns which era the server speaks: as discovery recorded it, as detected at the first call, or as it has shown
// since.
func (e *endpoint) era(ctx context.Context) (mcp.Era, error) {
	if known := mcp.Era(e.spoken.Load()); known != 0 {
		return known, nil
	}
	era, err := e.detection.do(ctx, func() (mcp.Era, error) {
		era, err := e.detect(context.WithoutCancel(ctx))
		if err == nil {
			e.spoken.Store(uint32(era))
		}
		return era, err
	})
	if err != nil {
		return 0, e.explain(ctx, err)
	}
	return era, nil
}

// turns notes that the server has shown not to speak this era.
func (e *endpoint) turns(from mcp.Era) {
	to := mcp.Modern
	if from == mcp.Modern {
		to = mcp.Legacy
	}
	e.spoken.CompareAndSwap(uint32(from), uint32(to))
	e.changed()
}

// detect asks the way of the modern era. An answer that has nothing of it means legacy; no answer, or one about
// something else (credentials, overload, a broken server) means nothing and is an error.
func (e *endpoint) detect(ctx context.Context) (mcp.Era, error) {
	var w watch
	w.start(ctx, e.limits)
	defer w.close()
	c := conversation{endpoint: e, watch: &w}
	defer c.close()
	message, err := c.request([]transport.Field{
		{Name: mcp.HeaderVersion, Value: mcp.Version20260728},
		{Name: mcp.HeaderMethod, Value: mcp.MethodDiscover},
	}, mcp.MethodDiscover, e.pool.modernParams())
	switch {
	case err == nil && !c.scan.Result.Empty() && lists(rawMember(c.scan.Result.Of(message), "supportedVersions"), mcp.Version20260728):
		return mcp.Modern, nil
	case err == nil && c.scan.ErrorCode == mcp.CodeUnsupportedVersion && onlyModern(rawMember(c.scan.ErrorData.Of(message), "supported")):
		return 0, e.fail(mcp.CodeBadServerAnswer, nil, "server %q speaks no protocol version that Warder knows")
	case err == nil && modernError(c.scan.ErrorCode):
		return mcp.Modern, nil
	case err == nil:
		return mcp.Legacy, nil
	case w.Err() == nil && isLegacyRefusal(c.status):
		return mcp.Legacy, nil
	}
	return 0, err
}

// modernError reports whether only a modern server can answer discover with this error.
func modernError(code int) bool {
	return code == mcp.CodeHeaderMismatch || code == mcp.CodeMissingCapability
}

// modernParams are those of a modern request that has none of its own.
func (p *Pool) modernParams() []byte {
	params := append([]byte(nil), `{"_meta":{"io.modelcontextprotocol/protocolVersion":"`+mcp.Version20260728+
		`","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":`...)
	return append(append(params, p.clientInfo...), "}}"...)
}

// lists reports whether a raw array has a version in it.
func lists(array []byte, version string) bool {
	found := false
	eachVersion(array, func(v string) { found = found || v == version })
	return found
}

// onlyModern reports whether a raw array has versions in it, and none of the legacy era.
func onlyModern(array []byte) bool {
	modern, legacy := 0, 0
	eachVersion(array, func(v string) {
		if v < mcp.Version20260728 {
			legacy++
		} else {
			modern++
		}
	})
	return modern > 0 && legacy == 0
}

func eachVersion(array []byte, visit func(version string)) {
	mcp.Elements(array, func(element mcp.Span) error {
		if version, err := mcp.String(element.Of(array)); err == nil {
			visit(version)
		}
		return nil
	})
}

// isLegacyRefusal reports whether a status without a JSON-RPC error is what a legacy server may say to a method that it
// does not know, or to a request without a session.
func isLegacyRefusal(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable,
		http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusNotImplemented:
		return true
	}
	return false
}
