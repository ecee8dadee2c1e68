package clients

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

const sessionSeconds = 5

func isNoAudit(err error) bool { return errors.Is(err, errNoAudit) }

// Calls `work` with a session, and with a new one after each error, until the storm is over: a program that doesn't
// know what has become of its lock or its candidacy gives up the session that they hang on.
func (s *storm) withSessions(t *testing.T, client *clientv3.Client, work func(context.Context, *concurrency.Session) error) {
	for s.rages() {
		current, err := concurrency.NewSession(client, concurrency.WithTTL(sessionSeconds))
		if err != nil {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		for s.rages() {
			ctx, cancel := context.WithTimeout(context.Background(), 2*callTimeout)
			err := work(ctx, current)
			cancel()
			if err != nil {
				break
			}
		}
		current.Close()
	}
}

func stormMutex(t *testing.T, s *storm) {
	prefix := prefixOf(t)
	clients := s.clients(t, 2, 3)
	var mu sync.Mutex
	acknowledged, unknown := 0, 0
	together(clients, func(client *clientv3.Client) int {
		s.withSessions(t, client, func(ctx context.Context, session *concurrency.Session) error {
			mutex := concurrency.NewMutex(session, prefix+"lock")
			if err := mutex.Lock(ctx); err != nil {
				return err
			}
			err := increment(ctx, client, mutex, prefix+"counter")
			mu.Lock()
			switch {
			case err == nil:
				acknowledged++
			case strings.Contains(err.Error(), "two holders"):
				t.Error(err)
			case !errors.Is(err, errNotOwner):
				unknown++
			}
			mu.Unlock()
			if err != nil {
				return err
			}
			return mutex.Unlock(ctx)
		})
		return 0
	})
	stubbornly(t, "the last read", func(ctx context.Context) error {
		got, err := clients[0].Get(ctx, prefix+"counter")
		if err != nil {
			return err
		}
		count := 0
		if len(got.Kvs) > 0 {
			count, _ = strconv.Atoi(string(got.Kvs[0].Value))
		}
		if count < acknowledged || count > acknowledged+unknown {
			t.Errorf("the counter is %d, %d increments were acknowledged and %d may have been", count, acknowledged, unknown)
		}
		return nil
	})
	t.Logf("%d increments, %d of unknown outcome", acknowledged, unknown)
	if acknowledged == 0 {
		t.Error("not one increment")
	}
}

func stormElection(t *testing.T, s *storm) {
	prefix := prefixOf(t)
	clients := s.clients(t, 1, 3)
	type proclamation struct{ revision, leader int64 }
	var mu sync.Mutex
	var all []proclamation
	watching, stop := context.WithCancel(context.Background())
	observed := make(chan int)
	observer := clientOf(t, s.cluster)
	go func() {
		count, newest := 0, int64(0)
		for watching.Err() == nil {
			// The session is not used by an observer.
			for response := range concurrency.NewElection(mute(observer), prefix+"post").Observe(watching) {
				if leader := response.Kvs[0].CreateRevision; leader < newest {
					t.Errorf("the leader of %d was observed after that of %d", leader, newest)
				} else {
					newest = leader
				}
				count++
			}
			time.Sleep(20 * time.Millisecond)
		}
		observed <- count
	}()
	together(clients, func(client *clientv3.Client) int {
		s.withSessions(t, client, func(ctx context.Context, session *concurrency.Session) error {
			election := concurrency.NewElection(session, prefix+"post")
			if err := election.Campaign(ctx, "elected"); err != nil {
				return err
			}
			for i := range 5 {
				if err := election.Proclaim(ctx, fmt.Sprint(i)); err != nil {
					return err
				}
				mu.Lock()
				all = append(all, proclamation{election.Header().Revision, election.Rev()})
				mu.Unlock()
			}
			return election.Resign(ctx)
		})
		return 0
	})
	stop()
	count := <-observed
	sort.Slice(all, func(i, j int) bool { return all[i].revision < all[j].revision })
	leaders := map[int64]bool{}
	for i, p := range all {
		leaders[p.leader] = true
		if i > 0 && p.leader < all[i-1].leader {
			t.Errorf("the leader of %d proclaimed at %d, after that of %d at %d", p.leader, p.revision,
				all[i-1].leader, all[i-1].revision)
		}
	}
	t.Logf("%d leaders, %d proclamations, %d observed", len(leaders), len(all), count)
	if len(leaders) < 2 || count == 0 {
		t.Error("hardly anything has happened")
	}
}

func stormLeases(t *testing.T, s *storm) {
	const keptSeconds, lostSeconds = 10, 2
	prefix := prefixOf(t)
	clients := s.clients(t, 3, 0)
	kept := map[string]int64{} // key, create revision
	for i, client := range clients {
		key := fmt.Sprint(prefix, "kept/", i)
		stubbornly(t, "a kept lease", func(ctx context.Context) error {
			lease, err := client.Grant(ctx, keptSeconds)
			if err != nil {
				return err
			}
			answers, err := client.KeepAlive(context.Background(), lease.ID)
			if err != nil {
				return err
			}
			go func() {
				for range answers {
				}
			}()
			response, err := client.Put(ctx, key, "", clientv3.WithLease(lease.ID))
			if err == nil {
				kept[key] = response.Header.Revision
			}
			return err
		})
	}
	// Leases that nobody keeps: deleted at some time, and never before their time is up.
	born := map[string]time.Time{}
	var mu sync.Mutex
	died := make(chan string, 10000)
	watching, stop := context.WithCancel(context.Background())
	defer stop()
	watch := clients[1].Watch(watching, prefix+"lost/", clientv3.WithPrefix(), clientv3.WithFilterPut())
	go func() {
		for answer := range watch {
			for _, event := range answer.Events {
				key := string(event.Kv.Key)
				mu.Lock()
				if lived := time.Since(born[key]); lived < lostSeconds*time.Second {
					t.Errorf("%s was deleted %v after its lease was asked for", key, lived)
				}
				mu.Unlock()
				died <- key
			}
		}
	}()
	for i := 0; s.rages(); i++ {
		key := fmt.Sprint(prefix, "lost/", i)
		ctx, cancel := call()
		mu.Lock()
		born[key] = time.Now()
		mu.Unlock()
		if lease, err := clients[0].Grant(ctx, lostSeconds); err == nil {
			clients[0].Put(ctx, key, "", clientv3.WithLease(lease.ID))
		}
		cancel()
		time.Sleep(100 * time.Millisecond)
	}
	stubbornly(t, "the leases that nobody keeps are gone", func(ctx context.Context) error {
		left, err := clients[2].Get(ctx, prefix+"lost/", clientv3.WithPrefix())
		if err == nil && left.Count > 0 {
			err = fmt.Errorf("%d keys are left", left.Count)
		}
		return err
	})
	for key, revision := range kept {
		stubbornly(t, "a read", func(ctx context.Context) error {
			got, err := clients[2].Get(ctx, key)
			if err == nil && (len(got.Kvs) != 1 || got.Kvs[0].CreateRevision != revision) {
				t.Errorf("%s is lost, though its lease was kept", key)
			}
			return err
		})
	}
	t.Logf("%d leases were kept, %d have expired with their keys", len(kept), len(died))
	if len(died) == 0 {
		t.Error("no lease has expired")
	}
}

// A session with nothing but a client, for those who only observe.
func mute(client *clientv3.Client) *concurrency.Session {
	s, err := concurrency.NewSession(client, concurrency.WithLease(1))
	if err != nil {
		panic(err)
	}
	return s
}
