package clients

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func grant(t *testing.T, ctx context.Context, leases clientv3.Lease, seconds int64) clientv3.LeaseID {
	t.Helper()
	response, err := leases.Grant(ctx, seconds)
	if err != nil {
		t.Fatal(err)
	}
	if response.ID == 0 {
		t.Fatal("a lease without an id")
	}
	equal(t, "granted TTL", response.TTL, seconds)
	return response.ID
}

func TestLease_is_granted_listed_and_revoked(t *testing.T) {
	client, ctx := connect(t), bounded(t)
	lease := grant(t, ctx, client, 300)
	for member := range 3 {
		client := connect(t, member)
		// A list is of what the member has applied.
		eventually(t, "the lease is listed", func() bool {
			list, err := client.Leases(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range list.Leases {
				if l.ID == lease {
					return true
				}
			}
			return false
		})
		left, err := client.TimeToLive(ctx, lease)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "granted TTL", left.GrantedTTL, 300)
		if left.TTL < 250 || left.TTL > 300 {
			t.Errorf("remaining TTL: %d", left.TTL)
		}
		equal(t, "keys that were not asked for", len(left.Keys), 0)
	}
	if _, err := client.Revoke(ctx, lease); err != nil {
		t.Fatal(err)
	}
	gone, err := client.TimeToLive(ctx, lease)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "TTL of a lease that is gone", gone.TTL, -1)
	_, err = client.Revoke(ctx, lease)
	fails(t, "a second revocation", err, rpctypes.ErrLeaseNotFound)
	_, err = client.KeepAliveOnce(ctx, lease)
	fails(t, "a keep-alive of a lease that is gone", err, rpctypes.ErrLeaseNotFound)
	_, err = client.Put(ctx, prefixOf(t)+"key", "", clientv3.WithLease(lease))
	fails(t, "a put under a lease that is gone", err, rpctypes.ErrLeaseNotFound)
	_, err = client.Grant(ctx, 9_000_000_001)
	fails(t, "a TTL above the limit", err, rpctypes.ErrLeaseTTLTooLarge)
}

func TestLease_names_its_keys(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	one, other := grant(t, ctx, client, 300), grant(t, ctx, client, 300)
	keys := func(lease clientv3.LeaseID) string {
		t.Helper()
		left, err := client.TimeToLive(ctx, lease, clientv3.WithAttachedKeys())
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for _, key := range left.Keys {
			names[string(key)[len(prefix):]] = true
		}
		return fmt.Sprint(names) // sorted, as Go prints maps
	}
	for _, key := range []string{"a", "b", "c", "d"} {
		put(t, ctx, client, prefix+key, "1", clientv3.WithLease(one))
	}
	equal(t, "lease of a key", get(t, ctx, client, prefix+"a").Kvs[0].Lease, int64(one))
	equal(t, "keys", keys(one), "map[a:true b:true c:true d:true]")
	put(t, ctx, client, prefix+"a", "2", clientv3.WithLease(other)) // moves
	put(t, ctx, client, prefix+"b", "2")                            // leaves
	put(t, ctx, client, prefix+"c", "2", clientv3.WithIgnoreLease())
	if _, err := client.Delete(ctx, prefix+"d"); err != nil {
		t.Fatal(err)
	}
	equal(t, "keys after", keys(one), "map[c:true]")
	equal(t, "keys of the other", keys(other), "map[a:true]")

	watch := watching(t, ctx, client, prefix, clientv3.WithPrefix(), clientv3.WithPrevKV())
	put(t, ctx, client, prefix+"e", "1", clientv3.WithLease(one))
	nextRawEvents(t, watch, 1)
	before := get(t, ctx, client, prefix).Header.Revision
	response, err := client.Revoke(ctx, one)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "revision of the revocation", response.Header.Revision, before+1)
	answer := nextResponse(t, watch)
	equal(t, "events in one answer", len(answer.Events), 2)
	for i, key := range []string{"c", "e"} {
		event := answer.Events[i]
		equal(t, "deleted key", string(event.Kv.Key), prefix+key)
		equal(t, "is a delete", event.Type, clientv3.EventTypeDelete)
		equal(t, "revision", event.Kv.ModRevision, before+1)
		equal(t, "lease of the previous value", event.PrevKv.Lease, int64(one))
	}
	equal(t, "keys that are left", keysOf(get(t, ctx, client, prefix, clientv3.WithPrefix()), prefix), "a b")

	// A lease without keys goes without a revision.
	before = get(t, ctx, client, prefix).Header.Revision
	if _, err = client.Revoke(ctx, grant(t, ctx, client, 300)); err != nil {
		t.Fatal(err)
	}
	equal(t, "revision", get(t, ctx, client, prefix).Header.Revision, before)
}

func TestLease_within_a_transaction(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	lease := grant(t, ctx, client, 300)
	response, err := client.Txn(ctx).
		If(clientv3.Compare(clientv3.LeaseValue(prefix+"a"), "=", 0)).
		Then(clientv3.OpPut(prefix+"a", "", clientv3.WithLease(lease))).
		Else(clientv3.OpPut(prefix+"a", "", clientv3.WithLease(lease))).Commit()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the lease of a key that isn't there is 0", response.Succeeded, true)
	response, err = client.Txn(ctx).
		If(clientv3.Compare(clientv3.LeaseValue(prefix+"a"), "=", lease)).
		Then(clientv3.OpPut(prefix+"b", "", clientv3.WithLease(lease+1))).Commit()
	fails(t, "a lease that isn't there", err, rpctypes.ErrLeaseNotFound)
	if _, err := client.Revoke(ctx, lease); err != nil {
		t.Fatal(err)
	}
	equal(t, "keys that are left", get(t, ctx, client, prefix, clientv3.WithPrefix()).Count, 0)
}

func TestLease_expires_and_takes_its_keys(t *testing.T) {
	t.Parallel()
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	const seconds = 4
	watch := watching(t, ctx, client, prefix, clientv3.WithPrefix())
	lease := grant(t, ctx, client, seconds)
	for _, key := range []string{"a", "b"} {
		put(t, ctx, client, prefix+key, "", clientv3.WithLease(lease))
	}
	once := time.Now()
	if kept, err := client.KeepAliveOnce(ctx, lease); err != nil || kept.TTL != seconds {
		t.Fatalf("keep-alive: %v %v", kept, err)
	}
	equal(t, "events", fmt.Sprint(nextEvents(t, watch, prefix, 2)), "[PUT a  PUT b ]")
	answer := nextResponse(t, watch)
	if lived := time.Since(once); lived < seconds*time.Second {
		t.Errorf("the lease lived for %v only", lived)
	}
	equal(t, "events in one answer", len(answer.Events), 2)
	for _, event := range answer.Events {
		equal(t, "is a delete", event.Type, clientv3.EventTypeDelete)
		equal(t, "revision", event.Kv.ModRevision, answer.Events[0].Kv.ModRevision)
	}
	gone, err := client.TimeToLive(ctx, lease)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "TTL", gone.TTL, -1)
}

func TestLease_lives_as_long_as_it_is_kept(t *testing.T) {
	t.Parallel()
	ctx, prefix := bounded(t), prefixOf(t)
	const seconds = 4
	// Kept through each member: only the leader can renew it, the others must forward.
	var keeping []<-chan *clientv3.LeaseKeepAliveResponse
	var leases []clientv3.LeaseID
	for member := range 3 {
		client := connect(t, member)
		lease := grant(t, ctx, client, seconds)
		leases = append(leases, lease)
		put(t, ctx, client, fmt.Sprint(prefix, member), "", clientv3.WithLease(lease))
		kept, err := client.KeepAlive(ctx, lease)
		if err != nil {
			t.Fatal(err)
		}
		keeping = append(keeping, kept)
	}
	for range 5 { // one a second: the client asks after a third of the TTL, and no more often than that
		for member, kept := range keeping {
			answer, open := <-kept
			if !open {
				t.Fatalf("lease %d is not kept any more", member)
			}
			equal(t, "TTL", answer.TTL, seconds)
			equal(t, "id", answer.ID, leases[member])
		}
	}
	client := connect(t)
	equal(t, "keys", get(t, ctx, client, prefix, clientv3.WithPrefix()).Count, 3)
	// The channel ends when the lease does.
	for member, lease := range leases {
		if _, err := client.Revoke(ctx, lease); err != nil {
			t.Fatal(err)
		}
		for range keeping[member] {
		}
	}
}
