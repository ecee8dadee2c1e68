package clients

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// One call on one register, as a client saw it. Every value is written once only.
type operation struct {
	client   int
	kind     string // "get", "put", "cas"
	key      string
	value    string // to be written
	expected string // by cas
	began    int64  // nanoseconds
	ended    int64
	known    bool   // whether there was an answer; a call without one may take effect at any later time, or never
	found    string // by get and cas: the value there, "" when the key isn't there
	revision int64  // of the answer's header
}

func (o operation) writes() bool { return o.kind == "put" || o.kind == "cas" && o.found == o.expected }

// A register that holds a value; reads and failed comparisons show it.
var register = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, o := range history {
			key := o.Input.(operation).key
			byKey[key] = append(byKey[key], o)
		}
		var parts [][]porcupine.Operation
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return "" },
	Step: func(state, input, _ any) (bool, any) {
		switch o := input.(operation); {
		case o.kind == "put":
			return true, o.value
		case o.kind == "cas" && !o.known: // one whose value was seen
			return state == o.expected, o.value
		case o.kind == "cas" && state == o.expected:
			return o.found == o.expected, o.value
		default:
			return state == o.found, state
		}
	},
	DescribeOperation: func(input, _ any) string { return fmt.Sprintf("%+v", input) },
}

// What the checker may assume of calls without an answer. A write that nobody has seen may as well not have been:
// only reads tell values apart, and all of them tell the value. One that was seen had happened by the end of
// the call that saw it. (Without this the search would be exponential in the number of such calls.)
func settle(history []operation) []porcupine.Operation {
	seen := map[string]int64{} // value, the end of the first call that found it
	for _, o := range history {
		if o.known && o.kind != "put" {
			if end, there := seen[o.found]; !there || o.ended < end {
				seen[o.found] = o.ended
			}
		}
	}
	var settled []porcupine.Operation
	for _, o := range history {
		if !o.known {
			end, there := seen[o.value]
			if o.kind == "get" || !there {
				continue
			}
			o.ended = end
		}
		settled = append(settled, porcupine.Operation{ClientId: o.client, Input: o, Call: o.began, Return: o.ended})
	}
	return settled
}

// Revisions follow real time: a call that began after another had ended is answered with no lower revision, and a
// write with a higher one; no two writes share one.
func checkRevisions(history []operation) error {
	var answered []operation
	for _, o := range history {
		if o.known {
			answered = append(answered, o)
		}
	}
	byEnd := append([]operation(nil), answered...)
	sort.Slice(byEnd, func(i, j int) bool { return byEnd[i].ended < byEnd[j].ended })
	sort.Slice(answered, func(i, j int) bool { return answered[i].began < answered[j].began })
	newest, next := operation{}, 0
	writes := map[int64]operation{}
	for _, o := range answered {
		for ; byEnd[next].ended < o.began; next++ {
			if byEnd[next].revision > newest.revision {
				newest = byEnd[next]
			}
		}
		if o.revision < newest.revision || o.writes() && o.revision == newest.revision {
			return fmt.Errorf("%+v was answered before %+v began", newest, o)
		}
		if o.writes() {
			if other, there := writes[o.revision]; there {
				return fmt.Errorf("two writes of one revision: %+v and %+v", o, other)
			}
			writes[o.revision] = o
		}
	}
	return nil
}

func stormRegisters(t *testing.T, s *storm) {
	prefix := prefixOf(t)
	clients := s.clients(t, 3, 3)
	began := time.Now()
	var mu sync.Mutex
	var history []operation
	var nextClient, nextValue int
	together(clients, func(client *clientv3.Client) int {
		mu.Lock()
		number := nextClient
		nextClient++
		mu.Unlock()
		last := map[string]string{} // key, the value that this client found there
		for s.rages() {
			o := operation{client: number, key: fmt.Sprint(prefix, rand.IntN(3)),
				kind: []string{"get", "get", "put", "cas"}[rand.IntN(4)]}
			mu.Lock()
			nextValue++
			o.value = fmt.Sprint("v", nextValue)
			mu.Unlock()
			o.expected = last[o.key]
			o.began = int64(time.Since(began))
			err := o.run(client)
			o.ended = int64(time.Since(began))
			if o.known = err == nil; o.known {
				last[o.key] = o.found
				if o.writes() {
					last[o.key] = o.value
				}
			}
			mu.Lock()
			history = append(history, o)
			mu.Unlock()
			time.Sleep(5 * time.Millisecond)
		}
		return 0
	})
	if err := checkRevisions(history); err != nil {
		t.Error(err)
	}
	settled := settle(history)
	result, info := porcupine.CheckOperationsVerbose(register, settled, 60*time.Second)
	if result == porcupine.Illegal {
		t.Error("the history is not linearizable")
		for _, o := range firstIllegal(info) {
			t.Log(o)
		}
	}
	if result == porcupine.Unknown {
		t.Error("the history could not be checked within 60 s")
	}
	unknown := 0
	for _, o := range history {
		if !o.known {
			unknown++
		}
	}
	t.Logf("%d calls, %d of them without an answer: %v", len(history), unknown, result)
	if len(history)-unknown < 100 {
		t.Error("hardly anything has happened")
	}
}

// The calls around the first one that no order explains.
func firstIllegal(info porcupine.LinearizationInfo) []string {
	var lines []string
	for partition, attempts := range info.PartialLinearizationsOperations() {
		longest := 0
		for _, attempt := range attempts {
			longest = max(longest, len(attempt))
		}
		lines = append(lines, fmt.Sprintf("part %d: %d calls can be ordered", partition, longest))
		for _, attempt := range attempts {
			if len(attempt) == longest {
				for _, o := range attempt[max(0, longest-10):] {
					lines = append(lines, fmt.Sprintf("%+v", o.Input))
				}
				break
			}
		}
	}
	return lines
}

func (o *operation) run(client *clientv3.Client) error {
	ctx, cancel := call()
	defer cancel()
	find := func(kvs int, value func() []byte) {
		if kvs > 0 {
			o.found = string(value())
		}
	}
	switch o.kind {
	case "get":
		response, err := client.Get(ctx, o.key)
		if err != nil {
			return err
		}
		find(len(response.Kvs), func() []byte { return response.Kvs[0].Value })
		o.revision = response.Header.Revision
	case "put":
		response, err := client.Put(ctx, o.key, o.value)
		if err != nil {
			return err
		}
		o.revision = response.Header.Revision
	case "cas":
		condition := clientv3.Compare(clientv3.Value(o.key), "=", o.expected)
		if o.expected == "" {
			condition = clientv3.Compare(clientv3.Version(o.key), "=", 0)
		}
		response, err := client.Txn(ctx).If(condition).
			Then(clientv3.OpGet(o.key), clientv3.OpPut(o.key, o.value)).Else(clientv3.OpGet(o.key)).Commit()
		if err != nil {
			return err
		}
		kvs := response.Responses[0].GetResponseRange().Kvs
		find(len(kvs), func() []byte { return kvs[0].Value })
		if response.Succeeded != (o.found == o.expected) {
			panic(fmt.Sprintf("%+v succeeded: %v", *o, response.Succeeded))
		}
		o.revision = response.Header.Revision
	}
	return nil
}

// The checkers themselves: what is wrong is noticed, and what an unknown outcome explains is not.
func TestHistory_checkers_notice_what_is_wrong(t *testing.T) {
	const never = math.MaxInt64
	op := func(kind, value, expected, found string, began, ended, revision int64) operation {
		return operation{kind: kind, key: "k", value: value, expected: expected, found: found, began: began,
			ended: ended, known: ended != never, revision: revision}
	}
	cases := []struct {
		name                    string
		history                 []operation
		linearizable, revisions bool
	}{
		{"in order", []operation{op("put", "1", "", "", 0, 1, 2), op("get", "", "", "1", 2, 3, 2)}, true, true},
		{"a stale read", []operation{op("put", "1", "", "", 0, 1, 2), op("put", "2", "", "", 2, 3, 3),
			op("get", "", "", "1", 4, 5, 2)}, false, false},
		{"a lost write", []operation{op("put", "1", "", "", 0, 1, 2), op("get", "", "", "", 2, 3, 2)}, false, true},
		{"two winners", []operation{op("put", "1", "", "", 0, 1, 2), op("cas", "2", "1", "1", 2, 9, 3),
			op("cas", "3", "1", "1", 3, 8, 4)}, false, true},
		{"an unknown write that was seen late", []operation{op("put", "1", "", "", 0, 1, 2),
			op("put", "2", "", "", 2, never, 0), op("get", "", "", "1", 3, 4, 2), op("get", "", "", "2", 5, 6, 3)}, true, true},
		{"an unknown write that comes and goes", []operation{op("put", "1", "", "", 0, 1, 2),
			op("put", "2", "", "", 2, never, 0), op("get", "", "", "2", 3, 4, 3), op("get", "", "", "1", 5, 6, 3)}, false, true},
		{"two writes of one revision", []operation{op("put", "1", "", "", 0, 5, 2), op("put", "2", "", "", 1, 4, 2)}, true, false},
	}
	for _, c := range cases {
		equal(t, c.name+": linearizable", porcupine.CheckOperations(register, settle(c.history)), c.linearizable)
		equal(t, c.name+": revisions in order", checkRevisions(c.history) == nil, c.revisions)
	}
}
