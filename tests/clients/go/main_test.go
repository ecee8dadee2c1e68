// Package clients puts Go's official etcd client against three members of a server. Which one is said by the
// environment: KVD_BINARY (kvd) or, where that is not set, KVD_ETCD (etcd, whose answers are the right ones).
//
//	KVD_BINARY=.../bin/kvd go test ./...
//
// Each test keeps to keys under its own name on one shared cluster, except those that hurt members, which start
// their own. KVD_TEST_LONG lets those go on for longer.
package clients

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"kvd/tests/clients/cluster"
)

const progressFlag = "experimental-watch-progress-notify-interval"

var (
	binary string
	shared *cluster.Cluster
	long   = os.Getenv("KVD_TEST_LONG") != ""

	// Whether notifications of progress come every 300 ms.
	intervalIsSet bool
)

func TestMain(m *testing.M) {
	binary = os.Getenv("KVD_BINARY")
	if binary == "" {
		binary = os.Getenv("KVD_ETCD")
	}
	if binary == "" {
		fmt.Fprintln(os.Stderr, "neither KVD_BINARY nor KVD_ETCD names the server to be tested")
		os.Exit(2)
	}
	var flags []string
	if intervalIsSet = cluster.HasFlag(binary, progressFlag); intervalIsSet {
		flags = append(flags, "--"+progressFlag+"=300ms")
	}
	var err error
	if shared, err = cluster.Start(binary, 3, flags...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	code := m.Run()
	if ended := shared.Ended(); ended != "" {
		fmt.Fprintln(os.Stderr, ended)
		code = 1
	}
	if code != 0 {
		fmt.Fprintln(os.Stderr, shared.LastWords())
	}
	shared.Close()
	os.Exit(code)
}

// A cluster of the test's own, gone when it ends.
func ownCluster(t *testing.T, members int) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Start(binary, members)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if ended := c.Ended(); ended != "" {
			t.Error(ended)
		}
		if t.Failed() {
			t.Log(c.LastWords())
		}
		c.Close()
	})
	return c
}

// A client of the given members of a cluster, or of all when none is named; closed when the test ends.
func clientOf(t *testing.T, c *cluster.Cluster, members ...int) *clientv3.Client {
	t.Helper()
	client, err := c.Client(members...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// A client of the shared cluster's members.
func connect(t *testing.T, members ...int) *clientv3.Client {
	t.Helper()
	return clientOf(t, shared, members...)
}

// A context that ends with the test, and after 30 s at the latest.
func bounded(t *testing.T) context.Context {
	t.Helper()
	return boundedBy(t, 30*time.Second)
}

func boundedBy(t *testing.T, timeout time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	t.Cleanup(cancel)
	return ctx
}

// The prefix of the keys that belong to this run of this test.
func prefixOf(t *testing.T) string { return fmt.Sprintf("%s-%p/", t.Name(), t) }

// Skips the test, in words, when kvd does not know the call at all. etcd knows all that is asked here.
func notYetServed(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("KVD_BINARY") != "" && status.Code(err) == codes.Unimplemented {
		t.Skip("not served yet: ", err)
	}
}

func put(t *testing.T, ctx context.Context, kv clientv3.KV, key, value string, options ...clientv3.OpOption) int64 {
	t.Helper()
	response, err := kv.Put(ctx, key, value, options...)
	if err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
	return response.Header.Revision
}

func get(t *testing.T, ctx context.Context, kv clientv3.KV, key string, options ...clientv3.OpOption) *clientv3.GetResponse {
	t.Helper()
	response, err := kv.Get(ctx, key, options...)
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	return response
}

// Keys of an answer without a prefix that all share, in the order of the answer.
func keysOf(response *clientv3.GetResponse, prefix string) string {
	var keys []string
	for _, kv := range response.Kvs {
		keys = append(keys, strings.TrimPrefix(string(kv.Key), prefix))
	}
	return strings.Join(keys, " ")
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, wanted %v", what, got, want)
	}
}

func fails(t *testing.T, what string, got, want error) {
	t.Helper()
	if got == nil || got.Error() != want.Error() {
		t.Errorf("%s: error %v, wanted %v", what, got, want)
	}
}

// Waits until a condition holds; fails the test when it does not within 15 s.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 15 s: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
