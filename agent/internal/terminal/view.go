package terminal

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"
)

const (
	// Below these nothing can be shown in order.
	minWidth, minHeight = 40, 8
	// From these on all panes are shown at once.
	wideWidth, wideHeight = 140, 30
)

// View implements tea.Model.
func (m Model) View() tea.View {
	view := tea.NewView(strings.Join(m.lines(), "\n"))
	view.AltScreen = true
	return view
}

// lines are those of the screen: as many as it has, and none longer than it is wide.
func (m Model) lines() []string {
	switch {
	case m.width <= 0 || m.height <= 0:
		return nil
	case m.width < minWidth || m.height < minHeight:
		said := say(fmt.Sprintf("too small: %d×%d at least", minWidth, minHeight))
		return filled([]string{string(fit(said, m.width))}, m.width, m.height)
	}
	drawn := m.header()
	room := m.height - len(drawn) - 1
	switch {
	case m.help:
		drawn = append(drawn, m.keys(room)...)
	case m.width >= wideWidth && m.height >= wideHeight:
		drawn = append(drawn, m.grid(room)...)
	default:
		drawn = append(drawn, m.tabs(), paint(faint, rule(m.width)))
		drawn = append(drawn, m.pane().list(m.width, room-2, true)...)
	}
	return append(filled(drawn, m.width, m.height-1), m.footer())
}

// header says who the agent is, whether the control plane is there, and what is wrong with the agent's file, if anything is.
func (m Model) header() []string {
	right := say("up " + span(m.state.Now.Sub(m.facts.Started)) + "  " + m.facts.Version + " ")
	if m.state.Now.IsZero() {
		right = ""
	}
	name := say(m.facts.Agent)
	if m.facts.Region != "" {
		name += say(" · " + m.facts.Region)
	}
	name = cutTo(name, m.width-width(" warder agent  ")-width(right)-1)
	left := paint(title, " warder agent  ") + paint(bold, name)
	used := width(" warder agent  ") + width(name) + width(right)
	first := left + string(spaces(m.width-used)) + paint(faint, cutTo(right, m.width-used+width(right)))

	u := m.state.Uplink
	where := say(" control plane " + m.facts.ControlPlane + "  ")
	state, s := say("○ not reached yet"), faint
	switch since := span(m.state.Now.Sub(u.Since)); {
	case u.Connected:
		state, s = say("● connected for "+since), good
	case !u.Since.IsZero() && u.Why != "":
		state, s = say("✗ away for "+since+": "+u.Why), bad
	case !u.Since.IsZero():
		state, s = say("✗ away for "+since), bad
	}
	where = cutTo(where, m.width/2)
	drawn := []string{first, string(where) + paint(s, fit(state, m.width-width(where)))}
	if m.state.File != "" {
		for _, line := range wrap(say("✗ what was read before stays in force: "+m.state.File), m.width-2, 2) {
			drawn = append(drawn, paint(bad, fit(" "+line, m.width)))
		}
	}
	return drawn
}

// label is the title of a pane: its number, how many rows it has, and what filters them.
func (m Model) label(i int) clean {
	p := &m.panes[i]
	text := say(fmt.Sprintf("%d %s ", i+1, p.title))
	count := thousands(uint64(len(p.all)))
	if len(p.rows) != len(p.all) {
		count = thousands(uint64(len(p.rows))) + "/" + count
	}
	text += say(count)
	if p.filter != "" {
		text += say(fmt.Sprintf(" “%s”", p.filter))
	}
	if p.level > least {
		text += say(" ≥" + strings.ToLower(p.level.String()))
	}
	return text
}

// tabs is the line of all panes' titles.
func (m Model) tabs() string {
	var b strings.Builder
	used := 0
	for i := range m.panes {
		text := cutTo(" "+m.label(i)+" ", m.width-used)
		s := plain
		if i == m.focus {
			s = marked
		}
		b.WriteString(paint(s, text))
		used += width(text)
	}
	note := cutTo("  "+m.pane().note, m.width-used)
	return b.String() + paint(faint, fit(note, m.width-used))
}

// grid draws all panes, two beside two.
func (m Model) grid(room int) []string {
	const frame, detail = 3, 5 // two borders and a heading; the rule and what is said about a row
	rows := max(len(m.panes[nodes].rows), len(m.panes[servers].rows))
	upper := min(max(rows+frame+detail, 10), room*2/5)
	left := m.width * 9 / 20
	var drawn []string
	for _, line := range []struct{ left, right, lines int }{{nodes, servers, upper}, {made, logs, room - upper}} {
		a, b := m.box(line.left, left, line.lines), m.box(line.right, m.width-left, line.lines)
		for i := range a {
			drawn = append(drawn, a[i]+b[i])
		}
	}
	return drawn
}

// box draws a pane with a frame around it.
func (m Model) box(i, columns, lines int) []string {
	s, name := faint, plain
	if i == m.focus {
		s, name = accent, title
	}
	inner := columns - 2
	label := cutTo(" "+m.label(i)+" ", inner-1)
	note := m.panes[i].note
	if note != "" && width(label)+width(note)+4 <= inner {
		note = " " + note + " "
	} else {
		note = ""
	}
	drawn := make([]string, 0, lines)
	drawn = append(drawn, paint(s, "╭─")+paint(name, label)+paint(s, rule(inner-1-width(label)-width(note)))+paint(faint, note)+paint(s, "╮"))
	for _, line := range m.panes[i].list(inner, lines-2, i == m.focus) {
		drawn = append(drawn, paint(s, "│")+line+paint(s, "│"))
	}
	return append(drawn, paint(s, "╰"+rule(inner)+"╯"))
}

// footer says which keys there are, or what is typed.
func (m Model) footer() string {
	if m.typing {
		// The end of what is typed is what is looked at.
		text := say(m.pane().filter)
		for width(text) > m.width-12 {
			text = clean([]rune(string(text))[1:])
		}
		return paint(bold, fit(" filter: "+text+"█", m.width))
	}
	keys := " tab view   ↑↓ select   / filter   ? help   q stop the agent"
	switch p := m.pane(); {
	case m.help:
		keys = " any key closes this   q stop the agent"
	case p.tails && !p.follows():
		keys = " tab view   ↑↓ select   esc follow   / filter   ? help   q stop the agent"
	case m.focus == logs:
		keys = " tab view   ↑↓ select   / filter   l level   ? help   q stop the agent"
	case p.filter != "":
		keys = " tab view   ↑↓ select   / filter   esc all   ? help   q stop the agent"
	}
	return paint(faint, fit(clean(keys), m.width))
}

// keys explains all keys.
func (m Model) keys(lines int) []string {
	drawn := []string{""}
	for _, line := range [][2]clean{
		{"1 2 3 4", "nodes, servers, calls, logs"},
		{"tab ← →", "the next view, or the one before"},
		{"↑ ↓ pgup pgdn", "select a row: more about it is shown below"},
		{"home end", "the first row; the last, and what comes"},
		{"/", "show only rows with a text; enter keeps it"},
		{"l", "logs: from which level on"},
		{"esc", "show all again, as it comes"},
		{"q ctrl-c", "stop the agent: running calls may end first"},
	} {
		drawn = append(drawn, paint(bold, fit("  "+line[0], 18))+string(fit(line[1], m.width-18)))
	}
	return filled(drawn, m.width, lines)
}
