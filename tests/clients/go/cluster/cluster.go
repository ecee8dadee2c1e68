// Package cluster runs members of kvd, or of etcd (both take the same flags), each a process with a data directory
// and ports of its own. It is the Go counterpart of tests/harness, and takes ports by the same lock files.
package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// A Cluster's methods may be called from several goroutines.
type Cluster struct {
	binary string
	flags  []string
	tls    *tls.Config // of our own clients; nil: members speak plain HTTP
	dir    string
	ports  *ports // two a member: client, peer

	mu      sync.Mutex
	members []*process // nil where none runs
}

// Start makes directories, takes ports, starts all members on fresh data and waits until each of them serves.
func Start(binary string, members int, flags ...string) (*Cluster, error) {
	return StartTLS(binary, members, nil, flags...)
}

// StartTLS does so with https URLs for clients and members; the flags say where the certificates are. Clients are
// made with `client` unless another is given.
func StartTLS(binary string, members int, client *tls.Config, flags ...string) (*Cluster, error) {
	dir, err := os.MkdirTemp("", "kvd-go-cluster")
	if err != nil {
		return nil, err
	}
	taken, err := takePorts(2 * members)
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	c := &Cluster{binary: binary, flags: flags, tls: client, dir: dir, ports: taken, members: make([]*process, members)}
	for i := range members {
		if err := c.StartMember(i); err != nil {
			c.Close()
			return nil, err
		}
	}
	if err := c.WaitReady(30 * time.Second); err != nil {
		err = fmt.Errorf("%w\n%s", err, c.LastWords())
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close kills all members and removes their data.
func (c *Cluster) Close() {
	for i := range c.members {
		c.Kill(i)
	}
	c.ports.release()
	os.RemoveAll(c.dir)
}

func (c *Cluster) Size() int { return len(c.members) }

// Endpoint is HOST:PORT of a member's client port.
func (c *Cluster) Endpoint(member int) string {
	return fmt.Sprintf("127.0.0.1:%d", c.ports.numbers[2*member])
}

func (c *Cluster) Endpoints() []string {
	var all []string
	for i := range c.members {
		all = append(all, c.Endpoint(i))
	}
	return all
}

func (c *Cluster) scheme() string {
	if c.tls != nil {
		return "https"
	}
	return "http"
}

func (c *Cluster) clientURL(member int) string { return c.scheme() + "://" + c.Endpoint(member) }

func (c *Cluster) peerURL(member int) string {
	return fmt.Sprintf("%s://127.0.0.1:%d", c.scheme(), c.ports.numbers[2*member+1])
}

func (c *Cluster) logPath(member int) string {
	return filepath.Join(c.dir, fmt.Sprintf("m%d.log", member))
}

// StartMember starts a member that does not run; with its data of before if it has any. It does not wait.
func (c *Cluster) StartMember(member int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.members[member] != nil {
		return fmt.Errorf("member %d runs already", member)
	}
	var initial []string
	for i := range c.members {
		initial = append(initial, fmt.Sprintf("m%d=%s", i, c.peerURL(i)))
	}
	name := fmt.Sprintf("m%d", member)
	argv := append([]string{
		"--name=" + name,
		"--data-dir=" + filepath.Join(c.dir, name),
		"--listen-client-urls=" + c.clientURL(member),
		"--advertise-client-urls=" + c.clientURL(member),
		"--listen-peer-urls=" + c.peerURL(member),
		"--initial-advertise-peer-urls=" + c.peerURL(member),
		"--initial-cluster=" + strings.Join(initial, ","),
		"--initial-cluster-token=kvd-test",
		"--initial-cluster-state=new",
	}, c.flags...)
	started, err := startProcess(c.binary, argv, c.logPath(member))
	if err != nil {
		return err
	}
	c.members[member] = started
	return nil
}

// Kill ends a member by SIGKILL and returns when it is gone.
func (c *Cluster) Kill(member int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.members[member] == nil {
		return
	}
	c.members[member].kill()
	c.members[member] = nil
}

// Pause stops a member by SIGSTOP: it keeps its connections and its beliefs. Resume lets it go on.
func (c *Cluster) Pause(member int) error  { return c.signal(member, syscall.SIGSTOP) }
func (c *Cluster) Resume(member int) error { return c.signal(member, syscall.SIGCONT) }

func (c *Cluster) signal(member int, number syscall.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.members[member] == nil {
		return fmt.Errorf("member %d does not run", member)
	}
	return c.members[member].command.Process.Signal(number)
}

// Ended tells which member has ended without being killed by us, or "".
func (c *Cluster) Ended() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, member := range c.members {
		if member == nil {
			continue
		}
		select {
		case <-member.gone:
			return fmt.Sprintf("member %d has ended by itself: %v", i, member.command.ProcessState)
		default:
		}
	}
	return ""
}

// Client is a client of the given members, or of all when none is named. The caller closes it.
func (c *Cluster) Client(members ...int) (*clientv3.Client, error) {
	return c.ClientTLS(c.tls, members...)
}

// ClientTLS is such a client with a certificate of its own.
func (c *Cluster) ClientTLS(client *tls.Config, members ...int) (*clientv3.Client, error) {
	endpoints := c.Endpoints()
	if len(members) > 0 {
		endpoints = nil
		for _, member := range members {
			endpoints = append(endpoints, c.Endpoint(member))
		}
	}
	return clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: 5 * time.Second, TLS: client,
		Logger: zap.NewNop()})
}

// WaitReady returns when every running member answers a linearizable read.
func (c *Cluster) WaitReady(timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	for i := range c.members {
		c.mu.Lock()
		runs := c.members[i] != nil
		c.mu.Unlock()
		if !runs {
			continue
		}
		if err := c.waitServes(i, deadline); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) waitServes(member int, deadline time.Time) error {
	client, err := c.Client(member)
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_, err = client.Get(ctx, "ready?")
		cancel()
		if err == nil {
			return nil
		}
		if ended := c.Ended(); ended != "" {
			return errors.New(ended)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("member %d does not serve: %w", member, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Leader waits for a running member that says it leads, and returns its number. Those in `except` are not asked.
func (c *Cluster) Leader(timeout time.Duration, except ...int) (int, error) {
	deadline := time.Now().Add(timeout)
	for time.Now().Before(deadline) {
		for i := range c.members {
			if !slices.Contains(except, i) && c.leads(i) {
				return i, nil
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return 0, fmt.Errorf("no leader within %v", timeout)
}

func (c *Cluster) leads(member int) bool {
	c.mu.Lock()
	runs := c.members[member] != nil
	c.mu.Unlock()
	if !runs {
		return false
	}
	client, err := c.Client(member)
	if err != nil {
		return false
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	status, err := client.Status(ctx, c.Endpoint(member))
	return err == nil && status.Leader == status.Header.MemberId
}

// LastWords is what the members logged last, for a failed test's message.
func (c *Cluster) LastWords() string {
	var words strings.Builder
	for i := range c.members {
		text, _ := os.ReadFile(c.logPath(i))
		if len(text) > 3000 {
			text = text[len(text)-3000:]
		}
		fmt.Fprintf(&words, "---- member %d\n%s\n", i, text)
	}
	return words.String()
}

// HasFlag tells whether the program's --help speaks of a flag.
func HasFlag(binary, flag string) bool {
	help, _ := exec.Command(binary, "--help").CombinedOutput()
	return strings.Contains(string(help), flag)
}
