package clients

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"kvd/tests/clients/cluster"
)

// While workloads run, the leader is killed by SIGKILL and comes back, or is stopped and goes on with what it
// believed, again and again.
type storm struct {
	cluster *cluster.Cluster
	over    context.Context // done when all members are up again, for good
}

// How often the leader is hurt, and how long a call may take before its outcome counts as unknown.
const (
	shortRounds = 4
	longRounds  = 50
	callTimeout = 3 * time.Second
)

func TestWhile_the_leader_is_killed(t *testing.T) {
	c := ownCluster(t, 3)
	over, end := context.WithCancel(context.Background())
	s := &storm{c, over}
	// All at the same time. (Parallel subtests would wait for each other on a machine of few cores.)
	var group sync.WaitGroup
	for name, workload := range workloads {
		group.Go(func() { t.Run(name, func(t *testing.T) { workload(t, s) }) })
	}
	group.Go(func() {
		t.Run("storm", func(t *testing.T) {
			defer end()
			s.rage(t)
		})
	})
	group.Wait()
}

func (s *storm) rage(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("KVD_TEST_SEED"); given != "" {
		seed, _ = strconv.ParseUint(given, 10, 64)
	}
	t.Logf("KVD_TEST_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	between := func(least, most time.Duration) {
		time.Sleep(least + time.Duration(random.Int64N(int64(most-least))))
	}
	rounds := shortRounds
	if long {
		rounds = longRounds
	}
	for round := range rounds {
		between(500*time.Millisecond, 1500*time.Millisecond)
		leader, err := s.cluster.Leader(20 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		how := "killed"
		if round%3 == 2 {
			how = "stopped"
		}
		began := time.Now()
		if how == "killed" {
			s.cluster.Kill(leader)
		} else if err := s.cluster.Pause(leader); err != nil {
			t.Fatal(err)
		}
		next, err := s.cluster.Leader(20*time.Second, leader)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("round %d: leader %d is %s, %d leads after %v", round, leader, how, next,
			time.Since(began).Round(time.Millisecond))
		between(300*time.Millisecond, 1500*time.Millisecond)
		if how == "killed" {
			err = s.cluster.StartMember(leader)
		} else {
			err = s.cluster.Resume(leader)
		}
		if err == nil {
			err = s.cluster.WaitReady(30 * time.Second)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Whether the storm still goes on.
func (s *storm) rages() bool { return s.over.Err() == nil }

// A context for one call.
func call() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), callTimeout)
}

// Calls until it succeeds, which it must in the end.
func stubbornly(t *testing.T, what string, attempt func(context.Context) error) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		ctx, cancel := call()
		err := attempt(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: still %v after 60 s", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Clients as applications make them: of all members. And one each that is left to a single member.
func (s *storm) clients(t *testing.T, ofAll, ofOne int) []*clientv3.Client {
	t.Helper()
	var clients []*clientv3.Client
	for range ofAll {
		clients = append(clients, clientOf(t, s.cluster))
	}
	for i := range ofOne {
		clients = append(clients, clientOf(t, s.cluster, i%s.cluster.Size()))
	}
	return clients
}

var workloads = map[string]func(*testing.T, *storm){
	"reads and writes are linearizable":       stormRegisters,
	"the sum of a bank stays":                 stormBank,
	"watches miss nothing and repeat nothing": stormWatches,
	"a lock has one holder":                   stormMutex,
	"leaders follow each other":               stormElection,
	"a lease lives while it is kept":          stormLeases,
}

func stormBank(t *testing.T, s *storm) {
	b := bank{prefixOf(t), 8, 0}
	clients := s.clients(t, 3, 3)
	for i := range b.accounts {
		stubbornly(t, "opening an account", func(ctx context.Context) error {
			_, err := clients[0].Put(ctx, b.account(i), fmt.Sprint(openingBalance))
			return err
		})
	}
	done := together(clients, func(client *clientv3.Client) (succeeded int) {
		for s.rages() {
			ctx, cancel := call()
			if b.transfer(ctx, client) == nil {
				succeeded++
			}
			if err := b.audit(ctx, client); err != nil && !isNoAudit(err) {
				t.Error(err)
			}
			cancel()
			time.Sleep(5 * time.Millisecond)
		}
		return succeeded
	})
	stubbornly(t, "the last audit", func(ctx context.Context) error { return b.audit(ctx, clients[0]) })
	t.Logf("%d transfers", done)
	if done == 0 {
		t.Error("not one transfer")
	}
}

// Runs one goroutine a client and adds up what they return.
func together(clients []*clientv3.Client, run func(*clientv3.Client) int) int {
	sums := make(chan int)
	for _, client := range clients {
		go func() { sums <- run(client) }()
	}
	sum := 0
	for range clients {
		sum += <-sums
	}
	return sum
}
