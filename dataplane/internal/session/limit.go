package session

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/limit"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// Limits has what calls may still take. *limit.Buckets is one.
type Limits interface {
	// Take charges a call to all of the limits, or to none and says which is in the way.
	Take(limits []*policy.Limit, p *principal.Principal, t policy.Target, now time.Time) (limit.Refusal, bool)
}

// charge takes what an allowed call costs of the limits that are about it. What is
// denied costs nothing.
func (x *exchange) charge(decision policy.Decision) (limit.Refusal, bool) {
	if !decision.Allowed() {
		return limit.Refusal{}, true
	}
	limits := x.in.Index.Limits(x.in.Caller, x.entry)
	if len(limits) == 0 || x.buckets == nil {
		return limit.Refusal{}, true
	}
	return x.buckets.Take(limits, x.in.Caller.Principal, x.entry.Counted(), x.now())
}

// limited refuses a call that ran into a limit, and says when to come back.
func (x *exchange) limited(event *auditv1.Event, over limit.Refusal) Answer {
	event.Rule = policy.RuleLimitPrefix + over.Limit.Name
	event.Reason = "the limit of " + plural(over.Limit) + " is used up"
	x.countDecision(effectDeny, "limit", x.entry.Server.Name())
	x.metrics.limits.get(over.Limit.Name).Inc()
	x.recordRefusal(kindLimited, event)
	over.Wait = wholeMilliseconds(over.Wait)
	answer := reply(http.StatusOK, overLimit(over, event.GetReason(), x.record.callID[:]).Append(nil, x.id()))
	answer.ComeBack = over.Wait
	return answer
}

// plural says what a limit gives: "60 calls per user each 1m (per-user)".
func plural(l *policy.Limit) string {
	noun := "calls"
	if l.Calls == 1 {
		noun = "call"
	}
	per := ""
	if name := policy.PerName(l.Per); name != "all" {
		per = " per " + name
	}
	return fmt.Sprintf("%d %s%s each %s (%s)", l.Calls, noun, per, policy.Span(l.Window), l.Name)
}

// wholeMilliseconds rounds up: who comes back sooner is refused again.
func wholeMilliseconds(wait time.Duration) time.Duration {
	return (wait + time.Millisecond - 1).Truncate(time.Millisecond)
}

// wholeSeconds rounds up, as Retry-After does.
func wholeSeconds(wait time.Duration) int64 {
	return int64((wait + time.Second - 1) / time.Second)
}

// overLimit puts a refusal into an error.
func overLimit(over limit.Refusal, reason string, callID []byte) *mcp.Error {
	data := append([]byte(nil), `{"limit":`...)
	data = mcp.AppendString(data, over.Limit.Name)
	data = append(data, `,"retryAfterMs":`...)
	data = strconv.AppendInt(data, over.Wait.Milliseconds(), 10)
	data = append(data, `,"callId":"`...)
	data = hex.AppendEncode(data, callID)
	return &mcp.Error{
		Code: mcp.CodeRateLimited, Offset: -1, Data: append(data, `"}`...),
		Text: fmt.Sprintf("Too many calls: %s. Come back in %d s.", reason, wholeSeconds(over.Wait)),
	}
}
