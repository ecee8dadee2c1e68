package clients

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestKV_puts_and_deletes_count_revisions(t *testing.T) {
	client, ctx, key := connect(t), bounded(t), prefixOf(t)+"key"
	first := put(t, ctx, client, key, "1")
	second, err := client.Put(ctx, key, "2", clientv3.WithPrevKV())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the second put's revision", second.Header.Revision, first+1)
	equal(t, "the previous value", string(second.PrevKv.Value), "1")
	kv := get(t, ctx, client, key).Kvs[0]
	equal(t, "value", string(kv.Value), "2")
	equal(t, "create revision", kv.CreateRevision, first)
	equal(t, "mod revision", kv.ModRevision, first+1)
	equal(t, "version", kv.Version, 2)
	old := get(t, ctx, client, key, clientv3.WithRev(first)).Kvs[0]
	equal(t, "value in the past", string(old.Value), "1")

	put(t, ctx, client, key, "3")
	if _, err := client.Put(ctx, key, "", clientv3.WithIgnoreValue()); err != nil {
		t.Fatal(err)
	}
	kv = get(t, ctx, client, key).Kvs[0]
	equal(t, "value kept by ignore_value", string(kv.Value), "3")
	equal(t, "version after ignore_value", kv.Version, 4)

	deleted, err := client.Delete(ctx, key, clientv3.WithPrevKV())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "deleted", deleted.Deleted, 1)
	equal(t, "the deleted value", string(deleted.PrevKvs[0].Value), "3")
	again, err := client.Delete(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "deleted again", again.Deleted, 0)
	equal(t, "revision after a delete of nothing", again.Header.Revision, deleted.Header.Revision)
	put(t, ctx, client, key, "new")
	equal(t, "version after a delete", get(t, ctx, client, key).Kvs[0].Version, 1)
}

func TestKV_errors_are_those_that_the_client_knows(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	_, err := client.Put(ctx, "", "value")
	fails(t, "an empty key", err, rpctypes.ErrEmptyKey)
	_, err = client.Put(ctx, prefix+"absent", "", clientv3.WithIgnoreValue())
	fails(t, "ignore_value without a key", err, rpctypes.ErrKeyNotFound)
	_, err = client.Put(ctx, prefix+"absent", "", clientv3.WithIgnoreLease())
	fails(t, "ignore_lease without a key", err, rpctypes.ErrKeyNotFound)
	_, err = client.Get(ctx, prefix, clientv3.WithRev(1<<60))
	fails(t, "a revision to come", err, rpctypes.ErrFutureRev)
	_, err = client.Put(ctx, prefix+"key", "value", clientv3.WithLease(0x7777))
	fails(t, "a lease that isn't there", err, rpctypes.ErrLeaseNotFound)
	_, err = client.Txn(ctx).Then(
		clientv3.OpPut(prefix+"twice", "1"), clientv3.OpPut(prefix+"twice", "2")).Commit()
	fails(t, "a key that is put twice", err, rpctypes.ErrDuplicateKey)
	many := make([]clientv3.Op, 129)
	for i := range many {
		many[i] = clientv3.OpGet(prefix + strconv.Itoa(i))
	}
	_, err = client.Txn(ctx).Then(many...).Commit()
	fails(t, "129 operations", err, rpctypes.ErrTooManyOps)
	_, err = client.Put(ctx, prefix+"large", strings.Repeat("x", 1536*1024+1))
	fails(t, "a request above 1.5 MiB", err, rpctypes.ErrRequestTooLarge)

	// The client itself sends no more than 2 MiB.
	_, err = client.Put(ctx, prefix+"huge", strings.Repeat("x", 2*1024*1024))
	equal(t, "code of what the client refuses", status.Code(err), codes.ResourceExhausted)
}

func TestKV_keeps_any_bytes(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	key := prefix + "\x00\xff\xfe/ä"
	value := bytes.Repeat([]byte{0, 255, 10, 128}, 256*1024) // 1 MiB
	put(t, ctx, client, key, string(value))
	got := get(t, ctx, client, prefix, clientv3.WithPrefix())
	equal(t, "count", got.Count, 1)
	equal(t, "key", string(got.Kvs[0].Key), key)
	if !bytes.Equal(got.Kvs[0].Value, value) {
		t.Error("the value has changed")
	}
	put(t, ctx, client, key, "")
	equal(t, "length of an empty value", len(get(t, ctx, client, key).Kvs[0].Value), 0)
}

func TestKV_range_options(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	// Value order c a b, version order b (1), a (2), c (3); creation c, a, b; last changes a, c, b.
	revisions := map[string]int64{}
	for _, step := range []struct{ name, key, value string }{
		{"create c", "c", "0"}, {"create a", "a", "0"}, {"change a", "a", "2"}, {"change c", "c", "0"},
		{"last c", "c", "1"}, {"create b", "b", "3"},
	} {
		revisions[step.name] = put(t, ctx, client, prefix+step.key, step.value)
	}
	all := clientv3.WithPrefix()
	cases := []struct {
		name    string
		key     string
		options []clientv3.OpOption
		keys    string
		count   int64
	}{
		{"prefix", "", []clientv3.OpOption{all}, "a b c", 3},
		{"range", "a", []clientv3.OpOption{clientv3.WithRange(prefix + "c")}, "a b", 2},
		{"an empty range", "c", []clientv3.OpOption{clientv3.WithRange(prefix + "a")}, "", 0},
		{"limit", "", []clientv3.OpOption{all, clientv3.WithLimit(2)}, "a b", 3},
		{"a limit above the number", "", []clientv3.OpOption{all, clientv3.WithLimit(3)}, "a b c", 3},
		{"count only", "", []clientv3.OpOption{all, clientv3.WithCountOnly()}, "", 3},
		{"descending", "", []clientv3.OpOption{all, clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend)}, "c b a", 3},
		{"by value", "", []clientv3.OpOption{all, clientv3.WithSort(clientv3.SortByValue, clientv3.SortAscend)}, "c a b", 3},
		{"by version", "", []clientv3.OpOption{all, clientv3.WithSort(clientv3.SortByVersion, clientv3.SortAscend)}, "b a c", 3},
		{"by creation", "", []clientv3.OpOption{all, clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortDescend)}, "b a c", 3},
		{"by last change", "", []clientv3.OpOption{all, clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortAscend)}, "a c b", 3},
		{"sorted, with a limit", "", []clientv3.OpOption{all, clientv3.WithLimit(1), clientv3.WithSort(clientv3.SortByValue, clientv3.SortDescend)}, "b", 3},
		{"first created", "", clientv3.WithFirstCreate(), "c", 3},
		{"last created", "", clientv3.WithLastCreate(), "b", 3},
		{"first changed", "", clientv3.WithFirstRev(), "a", 3},
		{"last changed", "", clientv3.WithLastRev(), "b", 3},
		{"first key", "", clientv3.WithFirstKey(), "a", 3},
		{"last key", "", clientv3.WithLastKey(), "c", 3},
		{"changed since", "", []clientv3.OpOption{all, clientv3.WithMinModRev(revisions["last c"])}, "b c", 3},
		{"changed until", "", []clientv3.OpOption{all, clientv3.WithMaxModRev(revisions["change a"])}, "a", 3},
		{"created since", "", []clientv3.OpOption{all, clientv3.WithMinCreateRev(revisions["create a"])}, "a b", 3},
		{"created until", "", []clientv3.OpOption{all, clientv3.WithMaxCreateRev(revisions["create a"])}, "a c", 3},
		{"in the past", "", []clientv3.OpOption{all, clientv3.WithRev(revisions["create a"])}, "a c", 2},
		{"before all", "", []clientv3.OpOption{all, clientv3.WithRev(revisions["create c"] - 1)}, "", 0},
		{"serializable", "", []clientv3.OpOption{all, clientv3.WithSerializable(), clientv3.WithRev(revisions["create b"])}, "a b c", 3},
	}
	for _, c := range cases {
		response := get(t, ctx, connect(t, 0), prefix+c.key, c.options...)
		equal(t, c.name+": keys", keysOf(response, prefix), c.keys)
		equal(t, c.name+": count", response.Count, c.count)
		equal(t, c.name+": more", response.More, c.name == "limit" || strings.Contains(c.name, "with a limit") ||
			strings.HasPrefix(c.name, "first ") || strings.HasPrefix(c.name, "last "))
	}
	bare := get(t, ctx, client, prefix+"a", clientv3.WithKeysOnly()).Kvs[0]
	equal(t, "length of the value in a read of keys only", len(bare.Value), 0)
	equal(t, "version in a read of keys only", bare.Version, 2)
	from := get(t, ctx, client, prefix+"b", clientv3.WithFromKey(), clientv3.WithLimit(2))
	equal(t, "keys from b on", keysOf(from, prefix), "b c")
}

func TestKV_pages_are_of_one_revision(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	const total = 250
	for i := range total {
		put(t, ctx, client, fmt.Sprintf("%s%04d", prefix, i), "before")
	}
	end := clientv3.GetPrefixRangeEnd(prefix)
	key, revision, seen, left := prefix, int64(0), 0, int64(total)
	for {
		page := get(t, ctx, client, key, clientv3.WithRange(end), clientv3.WithLimit(17), clientv3.WithRev(revision))
		if revision == 0 {
			revision = page.Header.Revision
		}
		equal(t, "count", page.Count, left)
		for _, kv := range page.Kvs {
			equal(t, "key", string(kv.Key), fmt.Sprintf("%s%04d", prefix, seen))
			equal(t, "value", string(kv.Value), "before")
			seen++
		}
		if !page.More {
			break
		}
		// What is written between two pages is not seen.
		put(t, ctx, client, fmt.Sprintf("%s%04d", prefix, seen), "after")
		put(t, ctx, client, fmt.Sprintf("%s%04d-between", prefix, seen), "after")
		key, left = string(page.Kvs[len(page.Kvs)-1].Key)+"\x00", left-int64(len(page.Kvs))
	}
	equal(t, "keys seen", seen, total)
}

func TestKV_transactions(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	key, other := prefix+"key", prefix+"other"
	revision := put(t, ctx, client, key, "5")
	put(t, ctx, client, key, "7")

	compares := []struct {
		name  string
		cmp   clientv3.Cmp
		holds bool
	}{
		{"value =", clientv3.Compare(clientv3.Value(key), "=", "7"), true},
		{"value !=", clientv3.Compare(clientv3.Value(key), "!=", "7"), false},
		{"value >", clientv3.Compare(clientv3.Value(key), ">", "6"), true},
		{"value <", clientv3.Compare(clientv3.Value(key), "<", "6"), false},
		{"value of an absent key", clientv3.Compare(clientv3.Value(other), "=", ""), false},
		{"version =", clientv3.Compare(clientv3.Version(key), "=", 2), true},
		{"version of an absent key", clientv3.Compare(clientv3.Version(other), "=", 0), true},
		{"create =", clientv3.Compare(clientv3.CreateRevision(key), "=", revision), true},
		{"mod >", clientv3.Compare(clientv3.ModRevision(key), ">", revision), true},
		{"mod <", clientv3.Compare(clientv3.ModRevision(key), "<", revision+1), false},
		{"lease =", clientv3.Compare(clientv3.LeaseValue(key), "=", 0), true},
		{"all of a prefix", clientv3.Compare(clientv3.Value(prefix).WithPrefix(), "=", "7"), true},
		{"all of a range", clientv3.Compare(clientv3.CreateRevision(prefix).WithRange(other), ">", revision), false},
	}
	for _, c := range compares {
		response, err := client.Txn(ctx).If(c.cmp).Then(clientv3.OpGet(key)).Else(clientv3.OpGet(other)).Commit()
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		equal(t, c.name, response.Succeeded, c.holds)
		equal(t, c.name+": answers", response.Responses[0].GetResponseRange().Count == 1, c.holds)
	}

	// All of it is one revision, and later operations see earlier ones.
	response, err := client.Txn(ctx).
		If(clientv3.Compare(clientv3.Version(key), "=", 2), clientv3.Compare(clientv3.Version(other), "=", 0)).
		Then(clientv3.OpPut(other, "new"), clientv3.OpGet(prefix, clientv3.WithPrefix()),
			clientv3.OpDelete(key, clientv3.WithPrevKV()), clientv3.OpGet(key),
			clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.Version(key), "=", 2)},
				[]clientv3.Op{clientv3.OpPut(prefix+"nested", "then")}, []clientv3.Op{clientv3.OpGet(other)})).
		Commit()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "answers", len(response.Responses), 5)
	equal(t, "keys after the put", response.Responses[1].GetResponseRange().Count, 2)
	equal(t, "deleted value", string(response.Responses[2].GetResponseDeleteRange().PrevKvs[0].Value), "7")
	equal(t, "count after the delete", response.Responses[3].GetResponseRange().Count, 0)
	// Conditions are decided before anything is done, those of nested transactions too.
	equal(t, "nested condition", response.Responses[4].GetResponseTxn().Succeeded, true)
	for _, kv := range get(t, ctx, client, prefix, clientv3.WithPrefix()).Kvs {
		equal(t, "revision of "+string(kv.Key), kv.ModRevision, response.Header.Revision)
	}

	// Do takes every operation.
	done, err := client.Do(ctx, clientv3.OpPut(key, "done"))
	if err != nil || done.Put() == nil {
		t.Errorf("Do: %v %v", done, err)
	}
}

func TestKV_compare_and_put_loses_no_increment(t *testing.T) {
	ctx, key := bounded(t), prefixOf(t)+"counter"
	const workers, increments = 6, 20
	var group sync.WaitGroup
	for worker := range workers {
		client := connect(t, worker%3)
		group.Go(func() {
			for done := 0; done < increments; {
				got, err := client.Get(ctx, key)
				if err != nil {
					t.Error(err)
					return
				}
				count, revision := 0, int64(0)
				if len(got.Kvs) > 0 {
					count, _ = strconv.Atoi(string(got.Kvs[0].Value))
					revision = got.Kvs[0].ModRevision
				}
				response, err := client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).
					Then(clientv3.OpPut(key, strconv.Itoa(count+1))).Commit()
				if err != nil {
					t.Error(err)
					return
				}
				if response.Succeeded {
					done++
				}
			}
		})
	}
	group.Wait()
	kv := get(t, ctx, connect(t), key).Kvs[0]
	equal(t, "counter", string(kv.Value), strconv.Itoa(workers*increments))
	equal(t, "version", kv.Version, workers*increments)
}

func TestKV_every_member_answers_with_what_was_written(t *testing.T) {
	ctx, key := bounded(t), prefixOf(t)+"key"
	for round := range 10 {
		value := strconv.Itoa(round)
		revision := put(t, ctx, connect(t, round%3), key, value)
		for member := range 3 {
			client := connect(t, member)
			got := get(t, ctx, client, key)
			equal(t, "value", string(got.Kvs[0].Value), value)
			equal(t, "mod revision", got.Kvs[0].ModRevision, revision)
			eventually(t, "a serializable read catches up", func() bool {
				return get(t, ctx, client, key, clientv3.WithSerializable()).Kvs[0].ModRevision == revision
			})
		}
	}
}

func TestKV_compaction_ends_the_past(t *testing.T) {
	client, ctx, key := connect(t), bounded(t), prefixOf(t)+"key"
	first := put(t, ctx, client, key, "1")
	second := put(t, ctx, client, key, "2")
	if _, err := client.Compact(ctx, second, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	_, err := client.Get(ctx, key, clientv3.WithRev(first))
	fails(t, "a read of the past", err, rpctypes.ErrCompacted)
	if !errors.Is(err, rpctypes.ErrCompacted) {
		t.Error("errors.Is does not know the error")
	}
	_, err = client.Compact(ctx, second)
	fails(t, "a second compaction", err, rpctypes.ErrCompacted)
	_, err = client.Compact(ctx, second+1000)
	fails(t, "a compaction of the future", err, rpctypes.ErrFutureRev)
	equal(t, "value", string(get(t, ctx, client, key, clientv3.WithRev(second)).Kvs[0].Value), "2")
}

func TestKV_members_and_maintenance(t *testing.T) {
	client, ctx := connect(t), bounded(t)
	put(t, ctx, client, prefixOf(t)+"key", "value")
	revision := get(t, ctx, client, prefixOf(t)).Header.Revision
	list, err := client.MemberList(ctx)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "members", len(list.Members), 3)
	var leaders, hashes []string
	for _, member := range list.Members {
		equal(t, "learner", member.IsLearner, false)
		// A member's name and client URLs are known once it has told them.
		status, err := client.Status(ctx, member.ClientURLs[0])
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "id", status.Header.MemberId, member.ID)
		leaders = append(leaders, strconv.FormatUint(status.Leader, 16))
		hash, err := client.HashKV(ctx, member.ClientURLs[0], revision)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, strconv.FormatUint(uint64(hash.Hash), 16))
	}
	for i := range leaders {
		equal(t, "leader", leaders[i], leaders[0])
		equal(t, "hash", hashes[i], hashes[0])
	}
	alarms, err := client.AlarmList(ctx)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "alarms", len(alarms.Alarms), 0)
}

func TestKV_defragment(t *testing.T) {
	client, ctx := connect(t), bounded(t)
	for member := range 3 {
		if _, err := client.Defragment(ctx, shared.Endpoint(member)); err != nil {
			notYetServed(t, err)
			t.Errorf("defragment: %v", err)
		}
	}
}
