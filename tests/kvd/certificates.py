"""Certificates for tests of the daemon, made by the openssl tool as docs/operations.md shows it."""
import datetime
import os
import subprocess


def run(*command, **kwargs):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **kwargs)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout


class Authority:
    """A CA in a directory of its own."""

    def __init__(self, directory, name):
        self.directory = os.path.join(directory, name)
        os.mkdir(self.directory)
        self.ca = self.path("ca.pem")
        self.name = name
        open(self.path("index.txt"), "w").close()
        with open(self.path("openssl.cnf"), "w") as f:
            f.write("[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\nserial=serial\ndefault_md=sha256\n"
                    "policy=any\nunique_subject=no\nnew_certs_dir=.\ncertificate=ca.pem\nprivate_key=ca-key.pem\n"
                    "[any]\ncommonName=optional\n[req]\ndistinguished_name=dn\n[dn]\n")
        with open(self.path("serial"), "w") as f:
            f.write("1000\n")
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                     "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                     "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", "ca-key.pem", "-out", "ca.pem")

    def path(self, name):
        return os.path.join(self.directory, name)

    def openssl(self, *arguments):
        return run("openssl", *arguments, cwd=self.directory)

    def issue(self, name, cn="", hosts=("localhost", "127.0.0.1"), expired=False):
        """Writes NAME.pem and NAME-key.pem, each replaced by rename; gives their paths."""
        with open(self.path(f"{name}.ext"), "w") as f:
            f.write("keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n")
            if hosts:
                names = ("IP:" + h if h[0].isdigit() or ":" in h else "DNS:" + h for h in hosts)
                f.write("subjectAltName=" + ",".join(names) + "\n")
        self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config",
                     "openssl.cnf", "-subj", f"/CN={cn}" if cn else "/", "-keyout", f"{name}-key.pem.new", "-out",
                     f"{name}.csr")
        now = datetime.datetime.now(datetime.timezone.utc)
        begin = now - datetime.timedelta(days=2)
        end = now - datetime.timedelta(days=1) if expired else now + datetime.timedelta(days=2)
        self.openssl("ca", "-batch", "-config", "openssl.cnf", "-notext", "-startdate", begin.strftime("%Y%m%d%H%M%SZ"),
                     "-enddate", end.strftime("%Y%m%d%H%M%SZ"), "-extfile", f"{name}.ext", "-in", f"{name}.csr", "-out",
                     f"{name}.pem.new")
        os.rename(self.path(f"{name}-key.pem.new"), self.path(f"{name}-key.pem"))
        os.rename(self.path(f"{name}.pem.new"), self.path(f"{name}.pem"))
        return self.path(f"{name}.pem"), self.path(f"{name}-key.pem")

    def revoke(self, *names):
        """The revocation list with these certificates, and all that were revoked before."""
        for name in names:
            self.openssl("ca", "-config", "openssl.cnf", "-revoke", f"{name}.pem")
        self.openssl("ca", "-config", "openssl.cnf", "-gencrl", "-crldays", "7", "-out", "crl.pem.new")
        os.rename(self.path("crl.pem.new"), self.path("crl.pem"))
        return self.path("crl.pem")
