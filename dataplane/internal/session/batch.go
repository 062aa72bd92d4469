package session

import (
	"context"
	"net/http"

	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/mcp"
)

// batch answers an array of messages, which only protocol version 2025-03-26 has
// (mcp.md E6). Each message is scanned, decided on and recorded by itself, as if it
// had come alone; one after the other, so that a batch costs the node no more than
// any other request. The refusal is what other versions get.
func (x *exchange) batch(ctx context.Context, refusal *mcp.Error) Answer {
	if x.legacy.Version != mcp.Version20250326 {
		return x.refuse(kindMessage, refusal)
	}
	spans, err := mcp.ScanBatch(x.in.Body, x.limits)
	if err != nil {
		return x.refuse(kindMessage, asRefusal(err))
	}
	x.req.Method = methodBatch
	answers := []byte{'['}
	var of []*upstream.Answer
	for _, span := range spans {
		if ctx.Err() != nil {
			break // nobody is there: what has not begun does not begin
		}
		one := x.element(span.Of(x.in.Body))
		one.tooLate = len(answers) > maxBatchAnswers
		answer := one.inBatch(ctx)
		one.observe()
		if answer.Size() == 0 {
			continue
		}
		if len(answers) > 1 {
			answers = append(answers, ',')
		}
		answers = append(answers, answer.Message()...)
		if answer.of != nil {
			of = append(of, answer.of)
		}
	}
	if len(answers) == 1 {
		return Answer{Status: http.StatusAccepted}
	}
	whole := reply(http.StatusOK, append(answers, ']'))
	whole.also = of
	return whole
}

// maxBatchAnswers bounds what is held of a batch, in bytes: when its answers are as
// much, the rest of its requests is not made. One answer may be above it.
const maxBatchAnswers = 8 << 20

// methodBatch is what metrics call a batch.
const methodBatch = "batch"

// element makes an exchange of one message of a batch, in the same session.
func (x *exchange) element(body []byte) *exchange {
	in := *x.in
	in.Body, in.Room = body, nil
	one := &exchange{
		Session: x.Session, in: &in, client: x.client, era: x.era, version: x.version, server: x.server,
		owner: x.owner, legacy: x.legacy, sessionKey: x.sessionKey, attached: true, batched: true,
	}
	one.made = made{one.permit, one.sealState}
	return one
}

func (x *exchange) inBatch(ctx context.Context) Answer {
	if err := mcp.ScanRequest(x.in.Body, x.limits, &x.req); err != nil {
		return x.refuse(kindMessage, asRefusal(err))
	}
	if x.req.HasProtocolVersion || x.req.Method == mcp.MethodInitialize {
		return x.refuse(kindMessage, invalidRequest("this message cannot be part of a batch"))
	}
	if _, refusal := mcp.Classify(x.version, &x.req); refusal != nil {
		return x.refuse(kindMessage, refusal)
	}
	switch {
	case x.req.IsResponse():
		return x.withoutAnswer(x.response(ctx))
	case x.req.IsNotification():
		return x.withoutAnswer(x.notification(ctx))
	case x.tooLate:
		return x.refuse(kindMessage, &mcp.Error{
			Code: mcp.CodeUnavailable, Offset: -1,
			Text: "the answers to the messages before this one are as much as a batch may have; send this one by itself",
		})
	}
	return x.request(ctx)
}

// withoutAnswer drops an error to a message that no answer belongs to.
func (x *exchange) withoutAnswer(Answer) Answer { return Answer{} }
