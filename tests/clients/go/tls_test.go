package clients

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"kvd/tests/clients/cluster"
)

// An authority whose certificates are files, as servers want them.
type authority struct {
	t           *testing.T
	dir         string
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
	issued      int64
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) write(name, kind string, bytes []byte) string {
	a.t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes})
	if err := os.WriteFile(a.path(name), text, 0o600); err != nil {
		a.t.Fatal(err)
	}
	return a.path(name)
}

// sign makes a key and its certificate; the authority's own when it has none yet.
func (a *authority) sign(template *x509.Certificate) (*ecdsa.PrivateKey, []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.issued++
	template.SerialNumber = big.NewInt(a.issued)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return key, der
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	key, der := a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign})
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a.key, a.certificate = key, certificate
	a.write("ca.pem", "CERTIFICATE", der)
	return a
}

// issue gives the files of a certificate for this common name that a server or a client may use.
func (a *authority) issue(name string) (certificate, key string) {
	a.t.Helper()
	private, der := a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}})
	bytes, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.write(name+".pem", "CERTIFICATE", der), a.write(name+"-key.pem", "PRIVATE KEY", bytes)
}

func (a *authority) client(name string) *tls.Config {
	a.t.Helper()
	certificate, err := tls.LoadX509KeyPair(a.issue(name))
	if err != nil {
		a.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.certificate)
	return &tls.Config{Certificates: []tls.Certificate{certificate}, RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// Three members with TLS between them and for their clients, who are the users whom their certificates name; one
// member is killed and comes back meanwhile.
func TestTlsBetweenMembersAndForClients(t *testing.T) {
	a := newAuthority(t)
	certificate, key := a.issue("server")
	c, err := cluster.StartTLS(binary, 3, a.client("root"),
		"--client-cert-auth", "--cert-file="+certificate, "--key-file="+key, "--trusted-ca-file="+a.path("ca.pem"),
		"--peer-client-cert-auth", "--peer-cert-file="+certificate, "--peer-key-file="+key,
		"--peer-trusted-ca-file="+a.path("ca.pem"), "--bcrypt-cost=4")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.LastWords())
		}
		c.Close()
	})
	ctx := boundedBy(t, time.Minute)
	root := clientOf(t, c)
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(root.UserAddWithOptions(ctx, "root", "", &clientv3.UserAddOptions{NoPassword: true}))
	must(root.UserGrantRole(ctx, "root", "root"))
	must(root.UserAddWithOptions(ctx, "alice", "", &clientv3.UserAddOptions{NoPassword: true}))
	must(root.RoleAdd(ctx, "of-a"))
	must(root.RoleGrantPermission(ctx, "of-a", "a/", "a0", clientv3.PermissionType(clientv3.PermReadWrite)))
	must(root.UserGrantRole(ctx, "alice", "of-a"))
	must(root.AuthEnable(ctx))

	alice, err := c.ClientTLS(a.client("alice"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { alice.Close() })
	watch := alice.Watch(ctx, "a/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	if created := <-watch; created.Err() != nil {
		t.Fatal(created.Err())
	}
	c.Kill(0)
	value := strings.Repeat("v", 300_000) // many records of TLS
	eventually(t, "a write without the killed member", func() bool {
		_, err := alice.Put(ctx, "a/1", value)
		return err == nil
	})
	must(nil, c.StartMember(0))
	must(nil, c.WaitReady(30*time.Second))
	_, err = alice.Put(ctx, "b/1", "x")
	fails(t, "put of another's key", err, rpctypes.ErrPermissionDenied)
	_, err = alice.Get(ctx, "", clientv3.WithPrefix())
	fails(t, "get of everything", err, rpctypes.ErrPermissionDenied)
	_, err = alice.Txn(ctx).Then(clientv3.OpPut("a/2", "x"), clientv3.OpGet("b/1")).Commit()
	fails(t, "a transaction that reads another's key", err, rpctypes.ErrPermissionDenied)
	for seen := false; !seen; {
		events, ok := <-watch
		must(nil, events.Err())
		if len(events.Events) == 0 {
			t.Fatalf("the watch ended, open: %v, with %+v", ok, events)
		}
		seen = string(events.Events[0].Kv.Key) == "a/1" && string(events.Events[0].Kv.Value) == value
	}
	got := get(t, ctx, root, "a/1")
	equal(t, "the value", len(got.Kvs), 1)
	must(root.RoleRevokePermission(ctx, "of-a", "a/", "a0"))
	_, err = alice.Put(ctx, "a/1", "late")
	fails(t, "put after the right is taken away", err, rpctypes.ErrPermissionDenied)
}
