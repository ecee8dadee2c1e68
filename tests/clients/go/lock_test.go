package clients

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

func session(t *testing.T, client *clientv3.Client, options ...concurrency.SessionOption) *concurrency.Session {
	t.Helper()
	s, err := concurrency.NewSession(client, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSession_ends_with_its_lease(t *testing.T) {
	client, ctx := connect(t), bounded(t)
	s := session(t, client, concurrency.WithTTL(6))
	select {
	case <-s.Done():
		t.Fatal("the session has ended at once")
	default:
	}
	if _, err := client.Revoke(ctx, s.Lease()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Done():
	case <-time.After(15 * time.Second): // its next keep-alive is 2 s away
		t.Fatal("the session goes on without its lease")
	}
	closed := session(t, client, concurrency.WithTTL(60))
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := client.TimeToLive(ctx, closed.Lease())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "TTL of a closed session's lease", left.TTL, -1)
}

func TestMutex_is_held_by_one_at_a_time_in_the_order_of_asking(t *testing.T) {
	ctx, prefix := bounded(t), prefixOf(t)
	const waiters = 5
	first := concurrency.NewMutex(session(t, connect(t)), prefix+"lock")
	if err := first.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	order := make(chan int, waiters)
	client := connect(t)
	var group sync.WaitGroup
	for i := range waiters {
		mutex := concurrency.NewMutex(session(t, connect(t, i%3)), prefix+"lock")
		group.Go(func() {
			if err := mutex.Lock(ctx); err != nil {
				t.Error(err)
				return
			}
			order <- i
			if err := mutex.Unlock(ctx); err != nil {
				t.Error(err)
			}
		})
		eventually(t, "the next stands in the queue", func() bool {
			return get(t, ctx, client, prefix+"lock/", clientv3.WithPrefix()).Count == int64(i)+2
		})
	}
	select {
	case i := <-order:
		t.Fatalf("waiter %d got a lock that is held", i)
	default:
	}
	if err := first.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	for want := range waiters {
		select {
		case next := <-order:
			equal(t, "next in turn", next, want)
		case <-ctx.Done():
			t.Fatal("nobody gets the lock that was given back")
		}
	}
	group.Wait()
}

func TestMutex_TryLock_and_its_errors(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	held := concurrency.NewMutex(session(t, client), prefix+"lock")
	other := concurrency.NewMutex(session(t, client), prefix+"lock")
	if err := held.TryLock(ctx); err != nil {
		t.Fatal(err)
	}
	fails(t, "TryLock of a held lock", other.TryLock(ctx), concurrency.ErrLocked)
	equal(t, "keys in the queue", get(t, ctx, client, prefix+"lock/", clientv3.WithPrefix()).Count, 1)

	impatient, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if err := other.Lock(impatient); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Lock until a deadline: %v", err)
	}
	equal(t, "keys in the queue after the deadline", get(t, ctx, client, prefix+"lock/", clientv3.WithPrefix()).Count, 1)
	owner := func(m *concurrency.Mutex) bool {
		t.Helper()
		// With an operation in it: etcd takes an empty transaction for a serializable read.
		response, err := client.Txn(ctx).If(m.IsOwner()).Then(clientv3.OpGet(m.Key())).Commit()
		if err != nil {
			t.Fatal(err)
		}
		return response.Succeeded
	}
	equal(t, "the holder is the owner", owner(held), true)
	if err := held.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	if err := other.TryLock(ctx); err != nil {
		t.Fatal(err)
	}
	equal(t, "the one before is the owner", owner(held), false)
	fails(t, "a second Unlock", held.Unlock(ctx), concurrency.ErrLockReleased)
}

func TestMutex_passes_on_when_its_session_dies(t *testing.T) {
	t.Parallel()
	ctx, prefix := bounded(t), prefixOf(t)
	dying := session(t, connect(t), concurrency.WithTTL(2))
	held := concurrency.NewMutex(dying, prefix+"lock")
	if err := held.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	dying.Orphan() // as if the process had died: nobody renews the lease
	next := concurrency.NewMutex(session(t, connect(t)), prefix+"lock")
	if err := next.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	// A holder who does not know that it has lost the lock is kept out by its revision (fencing).
	response, err := connect(t).Txn(ctx).If(held.IsOwner()).Then(clientv3.OpPut(prefix+"guarded", "late")).Commit()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "a write of the old holder", response.Succeeded, false)
}

func TestMutex_guards_a_counter_among_sessions(t *testing.T) {
	ctx, prefix := bounded(t), prefixOf(t)
	const workers, increments = 5, 10
	var group sync.WaitGroup
	for worker := range workers {
		client := connect(t, worker%3)
		mutex := concurrency.NewMutex(session(t, client), prefix+"lock")
		group.Go(func() {
			for range increments {
				if err := mutex.Lock(ctx); err != nil {
					t.Error(err)
					return
				}
				if err := increment(ctx, client, mutex, prefix+"counter"); err != nil {
					t.Error(err)
				}
				if err := mutex.Unlock(ctx); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	got := get(t, ctx, connect(t), prefix+"counter").Kvs[0]
	equal(t, "counter", string(got.Value), strconv.Itoa(workers*increments))
}

var errNotOwner = errors.New("the lock was lost before the write")

// Reads a counter and puts it one higher, which is only right while no other does the same. The put is fenced: it
// happens only while the lock is held. An error that says "two holders" is what must never be.
func increment(ctx context.Context, client *clientv3.Client, mutex *concurrency.Mutex, counter string) error {
	got, err := client.Get(ctx, counter)
	if err != nil {
		return err
	}
	count, revision := 0, int64(0)
	if len(got.Kvs) > 0 {
		count, _ = strconv.Atoi(string(got.Kvs[0].Value))
		revision = got.Kvs[0].ModRevision
	}
	response, err := client.Txn(ctx).If(mutex.IsOwner()).
		Then(clientv3.OpGet(counter), clientv3.OpPut(counter, strconv.Itoa(count+1))).Commit()
	if err != nil {
		return err
	}
	if !response.Succeeded {
		return errNotOwner
	}
	now := int64(0)
	if kvs := response.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		now = kvs[0].ModRevision
	}
	if now != revision {
		return fmt.Errorf("two holders: the counter of revision %d was changed at %d while the lock was held", revision, now)
	}
	return nil
}
