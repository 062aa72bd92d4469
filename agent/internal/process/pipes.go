package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// pipes are our ends of the program's three streams, and theirs until it has started. Package exec would wait for the
// last process that holds a stream; we wait for the program.
type pipes struct {
	stdin, stdout, stderr *os.File
	theirs                []*os.File
}

func openPipes(cmd *exec.Cmd) (p pipes, err error) {
	in, stdin, err1 := os.Pipe()
	stdout, out, err2 := os.Pipe()
	stderr, log, err3 := os.Pipe()
	p = pipes{stdin: stdin, stdout: stdout, stderr: stderr, theirs: []*os.File{in, out, log}}
	if err := errors.Join(err1, err2, err3); err != nil {
		p.closeTheirs()
		p.closeOurs()
		return p, fmt.Errorf("open pipes: %w", err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, log
	return p, nil
}

// closeTheirs and closeOurs ignore errors: a file that was not opened, or is closed already.
func (p *pipes) closeTheirs() {
	for _, file := range p.theirs {
		_ = file.Close()
	}
}

func (p *pipes) closeOurs() {
	for _, file := range []*os.File{p.stdin, p.stdout, p.stderr} {
		_ = file.Close()
	}
}
