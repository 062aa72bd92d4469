package terminal

import (
	"log/slog"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
)

// least is below every level of a log.
const least = slog.Level(-1 << 16)

// maxFilter bounds a filter, in bytes.
const maxFilter = 100

// Model is what is shown. It is a value: Update returns another one, and View is the same for the same messages.
type Model struct {
	facts Facts
	next  tea.Cmd // waits for the next State; nil: they come by themselves

	state         State
	width, height int
	panes         [panes]pane
	focus         int
	typing        bool // keys are those of the filter
	help          bool
	quit          bool // the user wants the agent to stop
}

// NewModel returns a model without state. Next is the command that waits for the next State.
func NewModel(facts Facts, next tea.Cmd) Model {
	return Model{facts: facts, next: next, panes: newPanes()}
}

// Init implements tea.Model.
func (m Model) Init() tea.Cmd { return m.next }

// Update implements tea.Model.
func (m Model) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	switch message := message.(type) {
	case State:
		m.take(message)
		return m, m.next
	case tea.WindowSizeMsg:
		m.width, m.height = message.Width, message.Height
	case tea.PasteMsg:
		if m.typing {
			m.narrow(m.pane().filter + message.Content)
		}
	case tea.KeyPressMsg:
		if message.String() == "ctrl+c" {
			m.quit = true
			return m, tea.Quit
		}
		if m.typing {
			m.typed(message)
			return m, nil
		}
		return m.pressed(message.String())
	}
	return m, nil
}

func (m *Model) pane() *pane { return &m.panes[m.focus] }

// narrow sets the filter of the pane.
func (m *Model) narrow(filter string) {
	for len(filter) > maxFilter {
		_, n := utf8.DecodeLastRuneInString(filter)
		filter = filter[:len(filter)-n]
	}
	m.pane().filter = filter
	m.pane().sift()
}

// typed takes a key while a filter is typed. What is typed applies at once.
func (m *Model) typed(key tea.KeyPressMsg) {
	switch filter := m.pane().filter; key.String() {
	case "enter":
		m.typing = false
	case "esc":
		m.typing = false
		m.narrow("")
	case "backspace":
		_, n := utf8.DecodeLastRuneInString(filter)
		m.narrow(filter[:len(filter)-n])
	case "ctrl+u":
		m.narrow("")
	default:
		m.narrow(filter + key.Text)
	}
}

// pressed takes a key.
func (m Model) pressed(key string) (tea.Model, tea.Cmd) {
	if m.help && key != "q" {
		m.help = false
		return m, nil
	}
	switch key {
	case "q":
		m.quit = true
		return m, tea.Quit
	case "?":
		m.help = true
	case "tab", "right":
		m.focus = (m.focus + 1) % panes
	case "shift+tab", "left":
		m.focus = (m.focus + panes - 1) % panes
	case "1", "2", "3", "4":
		m.focus = int(key[0] - '1')
	case "/":
		m.typing = true
	case "esc":
		m.pane().cursor, m.pane().level = "", least
		m.narrow("")
	case "l":
		if m.focus == logs {
			m.pane().level = above(m.pane().level)
			m.pane().sift()
		}
	default:
		m.moved(key)
	}
	return m, nil
}

// moved takes a key that moves the cursor.
func (m *Model) moved(key string) {
	page := max(1, m.height/2)
	switch key {
	case "up", "k":
		m.pane().move(-1)
	case "down", "j":
		m.pane().move(1)
	case "pgup":
		m.pane().move(-page)
	case "pgdown":
		m.pane().move(page)
	case "home", "g":
		m.pane().move(-len(m.pane().rows))
	case "end", "G":
		m.pane().move(len(m.pane().rows))
	}
}

// above is the next level to filter by; after the last comes all.
func above(level slog.Level) slog.Level {
	for _, next := range []slog.Level{slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if level < next {
			return next
		}
	}
	return least
}
