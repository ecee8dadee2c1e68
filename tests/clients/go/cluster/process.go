package cluster

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

type process struct {
	command *exec.Cmd
	gone    chan struct{} // closed when it has ended
}

// The kernel kills a child when the thread that started it ends (PDEATHSIG), so that no member outlives a test
// that dies. All are started from one thread, which never ends before the process does.
var starts = make(chan func())

func init() {
	go func() {
		runtime.LockOSThread()
		for start := range starts {
			start()
		}
	}()
}

func startProcess(binary string, argv []string, logPath string) (*process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	command := exec.Command(binary, argv...)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	done := make(chan error)
	starts <- func() { done <- command.Start() }
	if err := <-done; err != nil {
		return nil, err
	}
	p := &process{command: command, gone: make(chan struct{})}
	go func() {
		command.Wait()
		close(p.gone)
	}()
	return p, nil
}

func (p *process) kill() {
	p.command.Process.Kill()
	<-p.gone
}
