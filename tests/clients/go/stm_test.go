package clients

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// A bank: what is taken from one account is put into another, so the sum is always the same.
type bank struct {
	prefix    string
	accounts  int
	isolation concurrency.Isolation
}

const openingBalance = 100

func (b bank) account(i int) string { return fmt.Sprintf("%s%02d", b.prefix, i) }

func (b bank) open(t *testing.T, ctx context.Context, client *clientv3.Client) {
	t.Helper()
	for i := range b.accounts {
		put(t, ctx, client, b.account(i), strconv.Itoa(openingBalance))
	}
}

var errNoMoney = errors.New("not enough money")

// Moves a random amount between two random accounts. Transactions of this client library try again by themselves
// when another has changed what they have read.
func (b bank) transfer(ctx context.Context, client *clientv3.Client) error {
	from, to := rand.IntN(b.accounts), rand.IntN(b.accounts)
	amount := 1 + rand.IntN(openingBalance/2)
	_, err := concurrency.NewSTM(client, func(stm concurrency.STM) error {
		if from == to {
			return nil
		}
		has, err := strconv.Atoi(stm.Get(b.account(from)))
		if err != nil {
			return err
		}
		if has < amount {
			return errNoMoney
		}
		other, err := strconv.Atoi(stm.Get(b.account(to)))
		if err != nil {
			return err
		}
		stm.Put(b.account(from), strconv.Itoa(has-amount))
		stm.Put(b.account(to), strconv.Itoa(other+amount))
		return nil
	}, concurrency.WithIsolation(b.isolation), concurrency.WithAbortContext(ctx))
	if errors.Is(err, errNoMoney) {
		return nil
	}
	return err
}

// The error is nil when every account is there, none is below zero and the sum is right.
func (b bank) audit(ctx context.Context, client *clientv3.Client) error {
	all, err := client.Get(ctx, b.prefix, clientv3.WithPrefix())
	if err != nil {
		return fmt.Errorf("%w: %w", errNoAudit, err)
	}
	sum := 0
	for _, kv := range all.Kvs {
		balance, err := strconv.Atoi(string(kv.Value))
		if err != nil {
			return err
		}
		if balance < 0 {
			return fmt.Errorf("%s is at %d", kv.Key, balance)
		}
		sum += balance
	}
	if want := b.accounts * openingBalance; sum != want || len(all.Kvs) != b.accounts {
		return fmt.Errorf("at revision %d %d accounts hold %d, wanted %d and %d", all.Header.Revision, len(all.Kvs),
			sum, b.accounts, want)
	}
	return nil
}

var errNoAudit = errors.New("the accounts can't be read")

func TestSTM_keeps_the_sum_of_a_bank(t *testing.T) {
	for name, isolation := range map[string]concurrency.Isolation{
		"serializable snapshot": concurrency.SerializableSnapshot,
		"serializable":          concurrency.Serializable,
		"repeatable reads":      concurrency.RepeatableReads,
	} {
		t.Run(name, func(t *testing.T) {
			ctx := bounded(t)
			b := bank{prefixOf(t), 5, isolation}
			b.open(t, ctx, connect(t))
			const workers, transfers = 4, 15
			var group sync.WaitGroup
			for worker := range workers {
				client := connect(t, worker%3)
				group.Go(func() {
					for range transfers {
						if err := b.transfer(ctx, client); err != nil {
							t.Error(err)
						}
						if err := b.audit(ctx, client); err != nil {
							t.Error(err)
						}
					}
				})
			}
			group.Wait()
		})
	}
}

func TestSTM_reads_its_own_writes_and_deletes(t *testing.T) {
	client, ctx, prefix := connect(t), bounded(t), prefixOf(t)
	put(t, ctx, client, prefix+"old", "1")
	response, err := concurrency.NewSTM(client, func(stm concurrency.STM) error {
		stm.Put(prefix+"new", "2")
		if got := stm.Get(prefix + "new"); got != "2" {
			return fmt.Errorf("read %q after the write", got)
		}
		if stm.Get(prefix+"old") != "1" || stm.Rev(prefix+"old") == 0 {
			return errors.New("the old value can't be read")
		}
		stm.Del(prefix + "old")
		return nil
	}, concurrency.WithPrefetch(prefix+"old"), concurrency.WithAbortContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	left := get(t, ctx, client, prefix, clientv3.WithPrefix())
	equal(t, "keys that are left", keysOf(left, prefix), "new")
	equal(t, "revision", left.Kvs[0].ModRevision, response.Header.Revision)
}
