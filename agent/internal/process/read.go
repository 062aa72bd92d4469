package process

import (
	"bufio"
	"bytes"
	"errors"

	"github.com/warder-gateway/warder/agent/internal/wire"
)

// edge is how much of the beginning and the end of a line that is too long is kept to find out whom it was for.
const edge = 4 << 10

// read reads messages from stdout until it ends.
func (p *Process) read() {
	in := bufio.NewReaderSize(p.pipes.stdout, 64<<10)
	for {
		line, tail, err := readLine(in)
		switch {
		case err != nil: // A line without its end is no message.
			p.note(line)
			p.ended()
			return
		case tail != nil:
			err = p.Oversize(line, tail)
		default:
			p.note(line)
			err = p.Receive(line)
		}
		if err != nil {
			p.breakOff(err)
		}
	}
}

// readLine reads a line, which is the caller's. Of one that is longer than wire.MaxMessage it returns the beginning and
// the end; else tail is nil.
func readLine(in *bufio.Reader) (line, tail []byte, err error) {
	for {
		part, err := in.ReadSlice('\n')
		if tail == nil && len(line)+len(part) <= wire.MaxMessage+1 {
			line = append(line, part...)
		} else if tail = append(tail, part...); len(tail) > edge {
			line, tail = bytes.Clone(line[:min(len(line), edge)]), bytes.Clone(tail[len(tail)-edge:])
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, tail, err
		}
	}
}

// ended is the end of stdout. A program that closes it while it runs can say nothing any more.
func (p *Process) ended() {
	select {
	case <-p.dead:
	default:
		p.options.Log.Debug("process closed its output", "pid", p.PID())
		p.stop.Do(func() { close(p.leaving) })
		go p.endDeaf()
	}
}

// endDeaf ends a program that has closed its stdout and does not end by itself.
func (p *Process) endDeaf() {
	if !p.within(p.options.LeaveTime) {
		p.breakOff(errors.New("the process closed its output and went on running"))
	}
}

// note keeps in the log what a program says on stdout that cannot be a message.
func (p *Process) note(line []byte) {
	if text := bytes.TrimSpace(line); len(text) > 0 && text[0] != '{' && text[0] != '[' {
		p.Log.add("stdout: " + string(text[:min(len(text), rawLine)]))
	}
}
