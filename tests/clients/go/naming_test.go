package clients

import (
	"testing"

	"go.etcd.io/etcd/client/v3/naming/endpoints"
)

// What the C++ client's registry writes (src/client/registry.cc), this package reads, and the other way round.
func TestNaming_reads_what_the_cpp_registry_writes(t *testing.T) {
	client, ctx, service := connect(t), bounded(t), prefixOf(t)+"mail"
	manager, err := endpoints.NewManager(client, service)
	if err != nil {
		t.Fatal(err)
	}
	put(t, ctx, client, service+"/10.0.0.7:25", `{"Op":0,"Addr":"10.0.0.7:25","Metadata":{"zone":"a"}}`)
	// It lists what the member that it asks has applied so far, which may be another than the one that was written to.
	found := endpoints.Key2EndpointMap{}
	for len(found) == 0 {
		if found, err = manager.List(ctx); err != nil {
			t.Fatal(err)
		}
	}
	one, ok := found[service+"/10.0.0.7:25"]
	if !ok || one.Addr != "10.0.0.7:25" || one.Metadata.(map[string]any)["zone"] != "a" {
		t.Fatalf("listed %v", found)
	}

	if err := manager.AddEndpoint(ctx, service+"/b:1", endpoints.Endpoint{Addr: "b:1"}); err != nil {
		t.Fatal(err)
	}
	got, err := client.Get(ctx, service+"/b:1")
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Kvs[0].Value) != `{"Op":0,"Addr":"b:1","Metadata":null}` {
		t.Fatalf("added %s", got.Kvs[0].Value)
	}
}
