package publisher

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// awaiting starts AwaitNodes and returns what is closed when it returns.
func awaiting(ctx context.Context, p *Publisher, revision uint64) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.AwaitNodes(ctx, revision)
	}()
	return done
}

func returned(done <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-done:
		return true
	default:
		return false
	}
}

func TestAwaitNodesReturnsWhenEachConnectedNodeHasAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(t, nil)
		publish(t, p, 1)
		quick, quickDone := connect(t, p, "quick")
		picky, pickyDone := connect(t, p, "picky")
		for _, node := range []*pipe{quick, picky} {
			node.requests <- hello()
			node.requests <- ack((<-node.updates).GetUpdate().GetNonce())
		}
		if !returned(awaiting(t.Context(), p, 1)) {
			t.Error("it waits for what all nodes have applied")
		}

		done := awaiting(t.Context(), p, 2)
		if returned(done) {
			t.Fatal("it does not wait for a revision that is not compiled yet")
		}
		publish(t, p, 2)
		first, second := <-quick.updates, <-picky.updates
		quick.requests <- ack(first.GetUpdate().GetNonce())
		if returned(done) {
			t.Fatal("it does not wait for the second node")
		}
		picky.requests <- nack(second.GetUpdate().GetNonce(), "not to my taste")
		if !returned(done) {
			t.Error("a nack is no answer to it")
		}
		p.Stop()
		<-quickDone
		<-pickyDone
	})
}

func TestAwaitNodesDoesNotWaitForThoseThatLeaveNorForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(t, nil)
		publish(t, p, 1)
		if !returned(awaiting(t.Context(), p, 1)) {
			t.Error("it waits for nodes where there are none")
		}
		silent, silentDone := connect(t, p, "silent")
		silent.requests <- hello()
		<-silent.updates
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if done := awaiting(ctx, p, 1); returned(done) {
			t.Error("it does not wait for a node that has not answered")
		} else if <-done; ctx.Err() == nil {
			t.Error("it returned before its time")
		}
		done := awaiting(t.Context(), p, 1)
		p.Stop()
		<-silentDone
		if !returned(done) {
			t.Error("it waits for a node that left")
		}
	})
}
