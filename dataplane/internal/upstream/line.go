package upstream

import "context"

// line carries the messages of one session with a server of 2024-11-05 (HTTP+SSE), where a POST has no answer of its own:
// all that the server says in the session comes in one stream, which the line reads. It is made by endpoint.dialLine(ctx), where ctx bounds no more than opening the stream.
//
//	ask ──POST──▶ server        stream ──▶ line ──by id, by progress token──▶ inbox of that ask
//	tell ──POST──▶                          └── all else: an inbox that is open
//
// Errors are those of the transport, or failures; who gets them explains them. All methods may be used from many
// goroutines at once.
type line interface {
	// ask posts a request with this raw id and returns where its response will come, and the progress that has its id for a
	// token. What the server says that concerns no request (its own requests, log messages, changes) goes to one of the
	// inboxes: that of hear for notifications, if there is one, else that of the latest ask.
	ask(ctx context.Context, id, message []byte) (inbox, error)
	// tell posts a message that gets no answer: a notification, or the answer to a request of the server.
	tell(ctx context.Context, message []byte) error
	// hear returns where the notifications come that concern no request. One at a time; a later one takes the place of
	// the former, which ends with io.EOF.
	hear() inbox
	// ended is closed when the stream has ended: the session is lost then.
	ended() <-chan struct{}
	// close ends the stream, and with it every inbox.
	close()
}

// inbox is where the messages of a line arrive. It is bounded: a reader that does not read holds the line's stream, but
// for a time only; then the inbox ends with an error. It belongs to one goroutine.
type inbox interface {
	// next waits for the next message, which is valid until the next call. At the end of the line it returns io.EOF, at the
	// end of ctx its cause.
	next(ctx context.Context) (message []byte, err error)
	close()
}
