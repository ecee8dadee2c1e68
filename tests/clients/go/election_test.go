package clients

import (
	"context"
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// The next value that an election's observer sees.
func observed(t *testing.T, observer <-chan clientv3.GetResponse) string {
	t.Helper()
	select {
	case response, open := <-observer:
		if !open {
			t.Fatal("the observer has ended")
		}
		return string(response.Kvs[0].Value)
	case <-time.After(15 * time.Second):
		t.Fatal("nothing observed within 15 s")
		panic("unreachable")
	}
}

func TestElection_campaign_proclaim_resign_observe(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	first := concurrency.NewElection(session(t, client), prefix+"post")
	second := concurrency.NewElection(session(t, connect(t)), prefix+"post")
	_, err := first.Leader(ctx)
	fails(t, "leader before there is one", err, concurrency.ErrElectionNoLeader)
	fails(t, "proclaim without being elected", first.Proclaim(ctx, "x"), concurrency.ErrElectionNotLeader)

	watching, cancel := context.WithCancel(ctx)
	observer := concurrency.NewElection(session(t, connect(t)), prefix+"post").Observe(watching)
	if err := first.Campaign(ctx, "first"); err != nil {
		t.Fatal(err)
	}
	equal(t, "observed", observed(t, observer), "first")
	if err := first.Proclaim(ctx, "first again"); err != nil {
		t.Fatal(err)
	}
	equal(t, "observed", observed(t, observer), "first again")

	won := make(chan error, 1)
	go func() { won <- second.Campaign(ctx, "second") }()
	eventually(t, "the second stands in the queue", func() bool {
		return get(t, ctx, client, prefix+"post/", clientv3.WithPrefix()).Count == 2
	})
	leader, err := second.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "leader", string(leader.Kvs[0].Value), "first again")
	equal(t, "leader's key", string(leader.Kvs[0].Key), first.Key())
	equal(t, "leader's revision", leader.Kvs[0].CreateRevision, first.Rev())
	select {
	case err := <-won:
		t.Fatalf("a second leader: %v", err)
	default:
	}

	// Whoever knows the key and its revision is the same leader after a restart of the program.
	resumed := concurrency.ResumeElection(session(t, client), prefix+"post", first.Key(), first.Rev())
	if err := resumed.Proclaim(ctx, "resumed"); err != nil {
		t.Fatal(err)
	}
	equal(t, "observed", observed(t, observer), "resumed")
	if err := resumed.Resign(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-won; err != nil {
		t.Fatal(err)
	}
	equal(t, "observed", observed(t, observer), "second")
	fails(t, "proclaim after another was elected", first.Proclaim(ctx, "x"), concurrency.ErrElectionNotLeader)
	cancel()
	for range observer {
	}
}

func TestElection_goes_to_the_next_when_the_leader_dies(t *testing.T) {
	t.Parallel()
	ctx, prefix := bounded(t), prefixOf(t)
	dying := session(t, connect(t), concurrency.WithTTL(2))
	first := concurrency.NewElection(dying, prefix+"post")
	if err := first.Campaign(ctx, "first"); err != nil {
		t.Fatal(err)
	}
	dying.Orphan()
	for i := range 3 {
		s := session(t, connect(t, i))
		next := concurrency.NewElection(s, prefix+"post")
		if err := next.Campaign(ctx, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		if next.Rev() <= first.Rev() {
			t.Errorf("the new leader's revision %d is not above %d", next.Rev(), first.Rev())
		}
		if err := s.Close(); err != nil { // which is as good as to resign
			t.Fatal(err)
		}
	}
}
