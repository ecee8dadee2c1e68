package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// Ports below the range from which the kernel takes ports for outgoing connections, so that a daemon that is killed
// and started again finds its port free. A locked file a port keeps other tests, of any language, away from it
// (see tests/harness/files.h).
type ports struct {
	numbers []int
	locks   []*os.File
}

const (
	firstPort = 10000
	lastPort  = 31999
)

func takePorts(count int) (*ports, error) {
	taken := &ports{}
	for range 1000 {
		if len(taken.numbers) == count {
			return taken, nil
		}
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if port == 22379 || port == 22380 { // scripts/up's
			continue
		}
		lock := lockPort(port)
		if lock == nil {
			continue
		}
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			lock.Close()
			continue
		}
		listener.Close()
		taken.numbers = append(taken.numbers, port)
		taken.locks = append(taken.locks, lock)
	}
	taken.release()
	return nil, errors.New("no free port")
}

// The file that holds the lock of a port, or nil when somebody else has it.
func lockPort(port int) *os.File {
	dir := filepath.Join(os.TempDir(), "kvd-test-ports")
	if os.Mkdir(dir, 0o777) == nil {
		os.Chmod(dir, 0o777)
	}
	file, err := os.OpenFile(filepath.Join(dir, fmt.Sprint(port)), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil
	}
	if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		file.Close()
		return nil
	}
	return file
}

func (p *ports) release() {
	for _, lock := range p.locks {
		lock.Close()
	}
	p.locks = nil
}
