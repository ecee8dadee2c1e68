package clients

import (
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/clientv3util"
	"go.etcd.io/etcd/client/v3/leasing"
	"go.etcd.io/etcd/client/v3/mirror"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
	"go.etcd.io/etcd/client/v3/naming/resolver"
	"go.etcd.io/etcd/client/v3/ordering"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

func TestKV_missing_and_existing_keys_as_conditions(t *testing.T) {
	client, ctx, key := connect(t), bounded(t), prefixOf(t)+"key"
	for _, want := range []bool{true, false} {
		created, err := client.Txn(ctx).If(clientv3util.KeyMissing(key)).Then(clientv3.OpPut(key, "1")).Commit()
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "is missing", created.Succeeded, want)
		// With an operation in it: etcd takes an empty transaction for a serializable read.
		there, err := client.Txn(ctx).If(clientv3util.KeyExists(key)).Then(clientv3.OpGet(key)).Commit()
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "exists", there.Succeeded, true)
	}
}

func TestKV_ordering_never_reads_older_than_before(t *testing.T) {
	client, ctx, key := connect(t), bounded(t), prefixOf(t)+"key"
	ordered := ordering.NewKV(client, ordering.NewOrderViolationSwitchEndpointClosure(client))
	for i := range 30 {
		put(t, ctx, client, key, fmt.Sprint(i))
		first := get(t, ctx, ordered, key)
		again := get(t, ctx, ordered, key, clientv3.WithSerializable())
		if again.Header.Revision < first.Header.Revision {
			t.Errorf("revision %d after %d", again.Header.Revision, first.Header.Revision)
		}
	}
}

func TestNamespace_is_a_key_space_of_its_own(t *testing.T) {
	plain, client, ctx, prefix := connect(t), connect(t), bounded(t), prefixOf(t)
	client.KV = namespace.NewKV(client.KV, prefix)
	client.Watcher = namespace.NewWatcher(client.Watcher, prefix)
	client.Lease = namespace.NewLease(client.Lease, prefix)

	watch := watching(t, ctx, client, "", clientv3.WithPrefix())
	put(t, ctx, plain, prefix[:len(prefix)-1], "outside")
	lease := grant(t, ctx, client, 300)
	put(t, ctx, client, "key", "inside", clientv3.WithLease(lease))
	equal(t, "key from outside", string(get(t, ctx, plain, prefix+"key").Kvs[0].Value), "inside")
	equal(t, "all keys", keysOf(get(t, ctx, client, "", clientv3.WithPrefix()), ""), "key")
	left, err := client.TimeToLive(ctx, lease, clientv3.WithAttachedKeys())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "keys of the lease", fmt.Sprintf("%s", left.Keys), "[key]")
	if _, err := client.Delete(ctx, "", clientv3.WithFromKey()); err != nil {
		t.Fatal(err)
	}
	equal(t, "events", fmt.Sprint(nextEvents(t, watch, "", 2)), "[PUT key inside DELETE key]")
	equal(t, "keys outside", get(t, ctx, plain, prefix[:len(prefix)-1]).Count, 1)
}

func TestLeasing_caches_what_it_owns(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	owner, closeOwner, err := leasing.NewKV(client, prefix+"leases/")
	if err != nil {
		t.Fatal(err)
	}
	defer closeOwner()
	other, closeOther, err := leasing.NewKV(connect(t), prefix+"leases/")
	if err != nil {
		t.Fatal(err)
	}
	defer closeOther()
	for round := range 5 {
		value := fmt.Sprint(round)
		if _, err := other.Put(ctx, prefix+"key", value); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			equal(t, "value", string(get(t, ctx, owner, prefix+"key").Kvs[0].Value), value)
		}
	}
}

func TestWatch_mirrors_a_prefix(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	for i := range 10 {
		put(t, ctx, client, fmt.Sprint(prefix, i), "base")
	}
	syncer := mirror.NewSyncer(client, prefix, 0)
	base, failures := syncer.SyncBase(ctx)
	copied := map[string]string{}
	for part := range base {
		for _, kv := range part.Kvs {
			copied[string(kv.Key)] = string(kv.Value)
		}
	}
	if err := <-failures; err != nil {
		t.Fatal(err)
	}
	updates := syncer.SyncUpdates(ctx)
	put(t, ctx, client, prefix+"3", "update")
	if _, err := client.Delete(ctx, prefix+"4"); err != nil {
		t.Fatal(err)
	}
	for _, event := range nextRawEvents(t, updates, 2) {
		if event.Type == clientv3.EventTypeDelete {
			delete(copied, string(event.Kv.Key))
		} else {
			copied[string(event.Kv.Key)] = string(event.Kv.Value)
		}
	}
	equal(t, "keys in the copy", len(copied), 9)
	for _, kv := range get(t, ctx, client, prefix, clientv3.WithPrefix()).Kvs {
		equal(t, string(kv.Key), copied[string(kv.Key)], string(kv.Value))
	}
}

// Service discovery as gRPC programs do it: a service registers its address under a lease, and a gRPC client that
// asks for the service by name finds it, and its successor.
func TestNaming_finds_a_service_by_its_name(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	services, err := endpoints.NewManager(client, prefix+"service")
	if err != nil {
		t.Fatal(err)
	}
	builder, err := resolver.NewBuilder(client)
	if err != nil {
		t.Fatal(err)
	}
	connection, err := grpc.NewClient("etcd:///"+prefix+"service", grpc.WithResolvers(builder),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	updates, err := services.NewWatchChannel(ctx)
	if err != nil {
		t.Fatal(err)
	}

	// The servers under test are services themselves: all answer health checks.
	for member := range 2 {
		lease := grant(t, ctx, client, 300)
		name := fmt.Sprint(prefix, "service/", member)
		err := services.AddEndpoint(ctx, name, endpoints.Endpoint{Addr: shared.Endpoint(member)}, clientv3.WithLease(lease))
		if err != nil {
			t.Fatal(err)
		}
		update := nextUpdate(t, updates)
		equal(t, "address", update.Endpoint.Addr, shared.Endpoint(member))
		answer, err := healthpb.NewHealthClient(connection).Check(ctx, &healthpb.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "health", answer.Status, healthpb.HealthCheckResponse_SERVING)
		if _, err := client.Revoke(ctx, lease); err != nil {
			t.Fatal(err)
		}
		equal(t, "is deleted", nextUpdate(t, updates).Op, endpoints.Delete)
	}
	// A list is a serializable read, so it may be of a member that is a little behind.
	eventually(t, "no service is left", func() bool {
		list, err := services.List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return len(list) == 0
	})
}

func nextUpdate(t *testing.T, updates endpoints.WatchChannel) *endpoints.Update {
	t.Helper()
	select {
	case update := <-updates:
		if len(update) != 1 {
			t.Fatalf("%d updates, wanted 1", len(update))
		}
		return update[0]
	case <-time.After(15 * time.Second):
		t.Fatal("no update within 15 s")
		panic("unreachable")
	}
}
