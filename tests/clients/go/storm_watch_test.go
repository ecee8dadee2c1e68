package clients

import (
	"context"
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

type seenEvent struct {
	revision int64
	kind     string
	key      string
}

func stormWatches(t *testing.T, s *storm) {
	prefix := prefixOf(t)
	clients := s.clients(t, 2, 3)
	first := int64(0)
	stubbornly(t, "the first write", func(ctx context.Context) error {
		response, err := clients[0].Put(ctx, prefix+"first", "")
		if err == nil {
			first = response.Header.Revision
		}
		return err
	})
	stop, cancel := context.WithCancel(context.Background())
	defer cancel()
	// One that the client library resumes by itself, and one that asks to be told when there is no leader, each on
	// every client.
	logs := make(chan []seenEvent)
	last := make(chan int64, 2*len(clients)+1)
	for _, client := range clients {
		for _, ctx := range []context.Context{stop, clientv3.WithRequireLeader(stop)} {
			go func() { logs <- follow(ctx, client, prefix, first, last) }()
		}
	}
	write := func(key string, op clientv3.Op) (revision int64) {
		stubbornly(t, "a write", func(ctx context.Context) error {
			response, err := clients[0].Do(ctx, op)
			switch {
			case err != nil:
				return err
			case op.IsPut():
				revision = response.Put().Header.Revision
			case op.IsDelete():
				revision = response.Del().Header.Revision
			default:
				revision = response.Txn().Header.Revision
			}
			return nil
		})
		return revision
	}
	written := 0
	for s.rages() {
		key := fmt.Sprintf("%s%06d", prefix, written)
		switch written % 3 {
		case 0:
			write(key, clientv3.OpPut(key, "value"))
		case 1:
			write(key, clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut(key+"x", ""), clientv3.OpPut(key+"y", "")}, nil))
		case 2:
			write(key, clientv3.OpDelete(fmt.Sprintf("%s%06d", prefix, written-2)))
		}
		written++
		time.Sleep(2 * time.Millisecond)
	}
	end := write("", clientv3.OpPut(prefix+"last", ""))
	for range 2 * len(clients) {
		last <- end
	}
	// What happened is what a fresh watch reads from history.
	truth := make(chan []seenEvent)
	last <- end
	fresh := clientOf(t, s.cluster)
	go func() { truth <- follow(stop, fresh, prefix, first, last) }()
	time.AfterFunc(60*time.Second, cancel)
	want := <-truth
	if len(want) < written {
		t.Errorf("%d events of %d writes", len(want), written)
	}
	for range 2 * len(clients) {
		got := <-logs
		for i := 0; i < len(want) || i < len(got); i++ {
			if i >= len(want) || i >= len(got) || want[i] != got[i] {
				t.Errorf("a watch saw %d events, history has %d; the first difference is at %d: %v and %v",
					len(got), len(want), i, at(got, i), at(want, i))
				break
			}
		}
	}
	t.Logf("%d events to %d watches", len(want), 2*len(clients))
}

func at(events []seenEvent, i int) any {
	if i < len(events) {
		return events[i]
	}
	return "nothing"
}

// Watches from a revision until the one that `last` gives has been seen, or the context ends. A watch that ends is
// begun again behind the last event, as an application does it.
func follow(ctx context.Context, client *clientv3.Client, prefix string, from int64, last <-chan int64) []seenEvent {
	var seen []seenEvent
	next, end := from, int64(0)
	for ctx.Err() == nil {
		attempt, cancel := context.WithCancel(ctx)
		watch := client.Watch(attempt, prefix, clientv3.WithPrefix(), clientv3.WithRev(next))
		for open := true; open; {
			if end != 0 && next > end {
				cancel()
				return seen
			}
			var answer clientv3.WatchResponse
			select {
			case end = <-last:
				last = nil // the others' turn
				continue
			case answer, open = <-watch:
			}
			for _, event := range answer.Events {
				seen = append(seen, seenEvent{event.Kv.ModRevision, event.Type.String(), string(event.Kv.Key)})
				next = event.Kv.ModRevision + 1
			}
		}
		cancel()
		time.Sleep(20 * time.Millisecond)
	}
	return seen
}
