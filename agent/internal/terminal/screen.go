package terminal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"golang.org/x/term"
)

// period is how often the source is looked at.
const period = 250 * time.Millisecond

// Screen is a terminal that a view can be shown on.
type Screen struct {
	in, out *os.File
	colours bool
	// shared says that logs go to the same terminal.
	shared bool
}

// Find returns the screen of a process, or nil if there is none: input and output have to be a terminal that can do more than
// print, before which this process is, and the environment must not say that nobody looks (CI). NO_COLOR takes colours away.
func Find(in, out, err *os.File, environment func(string) string) *Screen {
	if ci := environment("CI"); ci != "" && ci != "false" && ci != "0" {
		return nil
	}
	if environment("TERM") == "dumb" || !term.IsTerminal(int(in.Fd())) || !term.IsTerminal(int(out.Fd())) || !foreground(in) {
		return nil
	}
	return &Screen{in: in, out: out, colours: environment("NO_COLOR") == "", shared: term.IsTerminal(int(err.Fd()))}
}

// Show shows source until ctx ends or the user asks to stop, which it reports. Then the terminal is as it was. While the view is
// there its journal hands nothing on, if that would go to the same terminal; afterwards it hands on the last errors. An error
// means that the view ended before that; so it does with its terminal.
func (s *Screen) Show(ctx context.Context, source Source) (stop bool, err error) {
	l := &looker{source: source}
	first := true
	var gone atomic.Bool
	model := NewModel(source.Facts, func() tea.Msg {
		if !first {
			time.Sleep(period)
		}
		first = false
		if s.gone() {
			gone.Store(true)
			return tea.Quit()
		}
		return l.look()
	})
	profile := colorprofile.ASCII
	if s.colours {
		profile = colorprofile.ANSI
	}
	program := tea.NewProgram(model, tea.WithInput(s.in), tea.WithOutput(s.out), tea.WithoutSignalHandler(), tea.WithColorProfile(profile))
	if s.shared {
		source.Journal.Hold()
		defer source.Journal.Release()
	}
	defer context.AfterFunc(ctx, program.Quit)()
	last, err := program.Run()
	if gone.Load() {
		return false, errGone
	}
	if err != nil {
		return false, fmt.Errorf("show view: %w", err)
	}
	m, ok := last.(Model)
	return ok && m.quit, nil
}

var errGone = errors.New("the terminal has gone")

// gone reports whether the connection of the terminal is lost. What is drawn there says nothing of that.
func (s *Screen) gone() bool {
	_, _, err := term.GetSize(int(s.out.Fd()))
	return err != nil
}
