package clients

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// The next `count` events of a watch, each as "PUT key value" or "DELETE key", keys without the prefix. Fails the
// test when the watch ends before, or is silent for 15 s.
func nextEvents(t *testing.T, watch clientv3.WatchChan, prefix string, count int) []string {
	t.Helper()
	var lines []string
	for _, event := range nextRawEvents(t, watch, count) {
		line := event.Type.String() + " " + strings.TrimPrefix(string(event.Kv.Key), prefix)
		if event.Type == clientv3.EventTypePut {
			line += " " + string(event.Kv.Value)
		}
		lines = append(lines, line)
	}
	return lines
}

func nextRawEvents(t *testing.T, watch clientv3.WatchChan, count int) []*clientv3.Event {
	t.Helper()
	var events []*clientv3.Event
	for len(events) < count {
		events = append(events, nextResponse(t, watch).Events...)
	}
	if len(events) > count {
		t.Fatalf("%d events, wanted %d", len(events), count)
	}
	return events
}

func nextResponse(t *testing.T, watch clientv3.WatchChan) clientv3.WatchResponse {
	t.Helper()
	select {
	case response, open := <-watch:
		if !open {
			t.Fatal("the watch has ended")
		}
		if err := response.Err(); err != nil {
			t.Fatalf("the watch has failed: %v", err)
		}
		return response
	case <-time.After(15 * time.Second):
		t.Fatal("no answer of the watch within 15 s")
		panic("unreachable")
	}
}

// A watch that the server has taken note of before this returns.
func watching(t *testing.T, ctx context.Context, watcher clientv3.Watcher, key string, options ...clientv3.OpOption) clientv3.WatchChan {
	t.Helper()
	watch := watcher.Watch(ctx, key, append(options, clientv3.WithCreatedNotify())...)
	if created := nextResponse(t, watch); !created.Created {
		t.Fatalf("the first answer is %+v, wanted the creation", created)
	}
	return watch
}

func TestWatch_sees_each_change_under_its_prefix_in_order(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	watch := watching(t, ctx, client, prefix, clientv3.WithPrefix())
	first := put(t, ctx, client, prefix+"a", "1")
	put(t, ctx, client, prefix+"b", "2")
	put(t, ctx, client, prefix+"a", "3")
	if _, err := client.Delete(ctx, prefix+"a"); err != nil {
		t.Fatal(err)
	}
	put(t, ctx, client, strings.TrimSuffix(prefix, "/")+"0", "a neighbour")
	put(t, ctx, client, prefix+"c", "4")
	events := nextRawEvents(t, watch, 5)
	want := []struct {
		key, value                 string
		created, modified, version int64
	}{
		{"a", "1", first, first, 1}, {"b", "2", first + 1, first + 1, 1}, {"a", "3", first, first + 2, 2},
		{"a", "", 0, first + 3, 0}, {"c", "4", first + 5, first + 5, 1},
	}
	for i, w := range want {
		kv := events[i].Kv
		equal(t, "key", string(kv.Key), prefix+w.key)
		equal(t, "value", string(kv.Value), w.value)
		equal(t, "create revision", kv.CreateRevision, w.created)
		equal(t, "mod revision", kv.ModRevision, w.modified)
		equal(t, "version", kv.Version, w.version)
		equal(t, "is a creation", events[i].IsCreate(), w.version == 1)
		equal(t, "is a delete", events[i].Type == clientv3.EventTypeDelete, w.version == 0)
	}
}

func TestWatch_begins_in_the_past(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	first := put(t, ctx, client, prefix+"a", "1")
	put(t, ctx, client, prefix+"b", "2")
	if _, err := client.Delete(ctx, prefix, clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	for member := range 3 {
		client := connect(t, member)
		watch := client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(first))
		equal(t, "events", fmt.Sprint(nextEvents(t, watch, prefix, 4)), "[PUT a 1 PUT b 2 DELETE a DELETE b]")
		watch = client.Watch(ctx, prefix+"b", clientv3.WithRev(first+2))
		equal(t, "events of one key", fmt.Sprint(nextEvents(t, watch, prefix, 1)), "[DELETE b]")
	}
}

func TestWatch_on_a_revision_to_come_waits_for_it(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	now := put(t, ctx, client, prefix+"a", "0")
	watch := watching(t, ctx, client, prefix, clientv3.WithPrefix(), clientv3.WithRev(now+3))
	for i := 1; i <= 4; i++ {
		put(t, ctx, client, prefix+"a", strconv.Itoa(i))
	}
	equal(t, "events", fmt.Sprint(nextEvents(t, watch, prefix, 2)), "[PUT a 3 PUT a 4]")
}

func TestWatch_shows_the_previous_value(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	live := watching(t, ctx, client, prefix, clientv3.WithPrefix(), clientv3.WithPrevKV())
	first := put(t, ctx, client, prefix+"a", "1")
	put(t, ctx, client, prefix+"a", "2")
	if _, err := client.Delete(ctx, prefix+"a"); err != nil {
		t.Fatal(err)
	}
	past := client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithRev(first))
	for _, watch := range []clientv3.WatchChan{live, past} {
		events := nextRawEvents(t, watch, 3)
		if events[0].PrevKv != nil {
			t.Errorf("a new key has a previous value: %v", events[0].PrevKv)
		}
		for i, value := range []string{"1", "2"} {
			previous := events[i+1].PrevKv
			if previous == nil {
				t.Fatalf("event %d has no previous value", i+1)
			}
			equal(t, "previous value", string(previous.Value), value)
			equal(t, "previous mod revision", previous.ModRevision, first+int64(i))
		}
	}
	bare := client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(first))
	if events := nextRawEvents(t, bare, 3); events[1].PrevKv != nil {
		t.Error("a previous value that was not asked for")
	}
}

func TestWatch_filters(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	puts := watching(t, ctx, client, prefix, clientv3.WithPrefix(), clientv3.WithFilterDelete())
	deletes := watching(t, ctx, client, prefix, clientv3.WithPrefix(), clientv3.WithFilterPut())
	first := put(t, ctx, client, prefix+"a", "1")
	if _, err := client.Delete(ctx, prefix+"a"); err != nil {
		t.Fatal(err)
	}
	put(t, ctx, client, prefix+"b", "2")
	if _, err := client.Delete(ctx, prefix+"b"); err != nil {
		t.Fatal(err)
	}
	equal(t, "puts", fmt.Sprint(nextEvents(t, puts, prefix, 2)), "[PUT a 1 PUT b 2]")
	equal(t, "deletes", fmt.Sprint(nextEvents(t, deletes, prefix, 2)), "[DELETE a DELETE b]")
	past := client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithFilterPut(), clientv3.WithRev(first))
	equal(t, "deletes of the past", fmt.Sprint(nextEvents(t, past, prefix, 2)), "[DELETE a DELETE b]")
}

func TestWatch_shows_a_transaction_at_once(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	live := watching(t, ctx, client, prefix, clientv3.WithPrefix())
	put(t, ctx, client, prefix+"old", "")
	response, err := client.Txn(ctx).Then(clientv3.OpPut(prefix+"z", "1"), clientv3.OpPut(prefix+"a", "2"),
		clientv3.OpDelete(prefix+"old")).Commit()
	if err != nil {
		t.Fatal(err)
	}
	revision := response.Header.Revision
	past := client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(revision))
	equal(t, "the event before", fmt.Sprint(nextEvents(t, live, prefix, 1)), "[PUT old ]")
	for _, watch := range []clientv3.WatchChan{live, past} {
		answer := nextResponse(t, watch)
		var events []string
		for _, event := range answer.Events {
			equal(t, "revision", event.Kv.ModRevision, revision)
			events = append(events, fmt.Sprintf("%v %s", event.Type, strings.TrimPrefix(string(event.Kv.Key), prefix)))
		}
		// In the order of the operations, not of the keys.
		equal(t, "events", fmt.Sprint(events), "[PUT z PUT a DELETE old]")
	}
}

func TestWatch_on_compacted_history_says_where_it_begins(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	first := put(t, ctx, client, prefix+"a", "1")
	put(t, ctx, client, prefix+"a", "2")
	third := put(t, ctx, client, prefix+"a", "3")
	if _, err := client.Compact(ctx, third); err != nil {
		t.Fatal(err)
	}
	for member := range 3 {
		client := connect(t, member)
		// Each member compacts when it applies the entry.
		eventually(t, "the member compacts", func() bool {
			_, err := client.Get(ctx, prefix+"a", clientv3.WithRev(first), clientv3.WithSerializable())
			return errors.Is(err, rpctypes.ErrCompacted)
		})
		watch := client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(first))
		answer, open := <-watch
		if !open {
			t.Fatal("the watch has ended without a word")
		}
		fails(t, "a watch from before", answer.Err(), rpctypes.ErrCompacted)
		equal(t, "compact revision", answer.CompactRevision, third)
		equal(t, "canceled", answer.Canceled, true)
		if _, open := <-watch; open {
			t.Error("the watch goes on")
		}
		watch = client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(answer.CompactRevision))
		equal(t, "events from there", fmt.Sprint(nextEvents(t, watch, prefix, 1)), "[PUT a 3]")
	}
}

func TestWatch_tells_its_progress(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	watch := watching(t, ctx, client, prefix, clientv3.WithPrefix())
	put(t, ctx, client, prefix+"a", "1")
	put(t, ctx, client, "elsewhere", "2")
	last := get(t, ctx, client, prefix).Header.Revision
	nextEvents(t, watch, prefix, 1)
	// The member that serves the watch may be behind the one that answered the read: asked until it is not.
	eventually(t, "progress to the last revision", func() bool {
		if err := client.RequestProgress(ctx); err != nil {
			t.Fatal(err)
		}
		answer := nextResponse(t, watch)
		if !answer.IsProgressNotify() {
			t.Fatalf("the answer is %+v, wanted a notification of progress", answer)
		}
		return answer.Header.Revision >= last
	})
}

func TestWatch_tells_its_progress_unasked(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	if !intervalIsSet {
		t.Skip("the server has no --" + progressFlag + ", and its interval of 10 minutes is too long to wait for")
	}
	watch := watching(t, ctx, client, prefix, clientv3.WithPrefix(), clientv3.WithProgressNotify())
	put(t, ctx, client, prefix+"a", "1")
	last := put(t, ctx, client, "elsewhere", "2")
	seen := int64(0)
	eventually(t, "progress to the last revision", func() bool {
		answer := nextResponse(t, watch)
		for _, event := range answer.Events {
			seen = event.Kv.ModRevision
		}
		if !answer.IsProgressNotify() {
			return false
		}
		// All before a notification's revision has been delivered.
		if answer.Header.Revision >= last-1 && seen != last-1 {
			t.Fatalf("progress to %d, but the event of %d was not seen", answer.Header.Revision, last-1)
		}
		return answer.Header.Revision >= last
	})
}

func TestWatch_fragments_what_is_too_large_for_a_message(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	first := int64(0)
	const keys = 12
	for i := range keys {
		revision := put(t, ctx, client, fmt.Sprintf("%s%02d", prefix, i), strings.Repeat("x", 1000*1000))
		if i == 0 {
			first = revision
		}
	}
	// Deleted in one revision, with their previous values: 12 MB of events that belong together.
	if _, err := client.Delete(ctx, prefix, clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	watch := client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(first), clientv3.WithPrevKV(),
		clientv3.WithFragment())
	events := nextRawEvents(t, watch, 2*keys)
	for i, event := range events {
		equal(t, "key", string(event.Kv.Key), fmt.Sprintf("%s%02d", prefix, i%keys))
		equal(t, "is a delete", event.Type == clientv3.EventTypeDelete, i >= keys)
		if i >= keys {
			equal(t, "revision", event.Kv.ModRevision, first+keys)
			equal(t, "length of the previous value", len(event.PrevKv.Value), 1000*1000)
		}
	}
}

func TestWatch_ends_with_its_context(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	canceled, cancel := context.WithCancel(ctx)
	ending := watching(t, canceled, client, prefix, clientv3.WithPrefix())
	other := watching(t, ctx, client, prefix, clientv3.WithPrefix())
	cancel()
	select {
	case answer, open := <-ending:
		if open {
			t.Errorf("an answer after the end: %+v", answer)
		}
	case <-time.After(15 * time.Second):
		t.Fatal("the channel is open still")
	}
	put(t, ctx, client, prefix+"a", "1")
	equal(t, "events of the other", fmt.Sprint(nextEvents(t, other, prefix, 1)), "[PUT a 1]")

	// All watches of a client end with it.
	client2 := connect(t)
	left := watching(t, ctx, client2, prefix, clientv3.WithPrefix())
	client2.Close()
	for range left {
	}
}

func TestWatch_many_share_a_stream(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	const watchers = 500
	var watches []clientv3.WatchChan
	for i := range watchers {
		watches = append(watches, client.Watch(ctx, fmt.Sprintf("%s%03d", prefix, i)))
	}
	// The answer to the last creation comes after those to the others: they share a stream.
	all := watching(t, ctx, client, prefix, clientv3.WithPrefix())
	for i := range watchers {
		put(t, ctx, client, fmt.Sprintf("%s%03d", prefix, i), strconv.Itoa(i))
	}
	for i, watch := range watches {
		equal(t, "events", fmt.Sprint(nextEvents(t, watch, prefix, 1)), fmt.Sprintf("[PUT %03d %d]", i, i))
	}
	nextRawEvents(t, all, watchers)
}

func TestWatch_goes_on_when_its_member_dies(t *testing.T) {
	c, ctx, prefix := ownCluster(t, 3), boundedBy(t, 90*time.Second), prefixOf(t)
	client := clientOf(t, c)
	var watches []clientv3.WatchChan
	for member := range 3 {
		// Each begins at a member of its own, and may go on at any.
		watcher := clientOf(t, c, member)
		watches = append(watches, watching(t, ctx, watcher, prefix, clientv3.WithPrefix()))
		watcher.SetEndpoints(c.Endpoints()...)
	}
	written := 0
	write := func() {
		t.Helper()
		eventually(t, "a write succeeds", func() bool {
			attempt, cancel := context.WithTimeout(ctx, 3*time.Second)
			defer cancel()
			// The same key and value again is another event, so it is written only when it isn't there.
			key := fmt.Sprintf("%s%03d", prefix, written)
			_, err := client.Txn(attempt).If(clientv3.Compare(clientv3.Version(key), "=", 0)).
				Then(clientv3.OpPut(key, strconv.Itoa(written))).Commit()
			return err == nil
		})
		written++
	}
	for member := range 3 {
		write()
		c.Kill(member)
		for range 5 {
			write()
		}
		if err := c.StartMember(member); err != nil {
			t.Fatal(err)
		}
		if err := c.WaitReady(30 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	write()
	for i, watch := range watches {
		for j, event := range nextEvents(t, watch, prefix, written) {
			equal(t, fmt.Sprintf("event %d of watch %d", j, i), event, fmt.Sprintf("PUT %03d %d", j, j))
		}
	}
}

func TestWatch_that_requires_a_leader_ends_without_one(t *testing.T) {
	c, ctx, prefix := ownCluster(t, 3), boundedBy(t, 60*time.Second), prefixOf(t)
	leader, err := c.Leader(15 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	follower := (leader + 1) % 3
	client := clientOf(t, c, follower)
	watch := watching(t, clientv3.WithRequireLeader(ctx), client, prefix, clientv3.WithPrefix())
	patient := watching(t, ctx, client, prefix, clientv3.WithPrefix())
	c.Kill(leader)
	c.Kill((leader + 2) % 3)
	select {
	case answer, open := <-watch:
		if open {
			fails(t, "the watch's last answer", answer.Err(), rpctypes.ErrNoLeader)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the watch goes on without a leader")
	}
	if err := c.StartMember(leader); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitReady(30 * time.Second); err != nil {
		t.Fatal(err)
	}
	put(t, ctx, client, prefix+"a", "1")
	equal(t, "events of the watch that does not mind", fmt.Sprint(nextEvents(t, patient, prefix, 1)), "[PUT a 1]")
}
