package mcp

// RewriteCall is RewriteRequest for callers that have not moved yet.
func RewriteCall(dst, body []byte, req *Request, id []byte, name string, meta MetaRewrite) []byte {
	return RewriteRequest(dst, body, req, &Hop{ID: id, Name: name, Meta: meta})
}

// RewriteResult is RewriteResponse for callers that have not moved yet.
func RewriteResult(dst, body []byte, resp *Response, id []byte, from, to Era) []byte {
	return RewriteResponse(dst, body, resp, &Reply{ID: id, From: from, To: to})
}
