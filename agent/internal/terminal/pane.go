package terminal

import (
	"log/slog"
	"slices"
	"strings"
)

// column is one of a pane.
type column struct {
	title clean
	// most is its greatest width. 0: it takes what is left, and least at least; every pane has one such column.
	most, least int
	right       bool
	// spare says which columns go first where there is no room: those with the greatest number. 0 stays.
	spare int
}

// cell is what stands in a column.
type cell struct {
	text  clean
	style style
}

// row is one line of a pane.
type row struct {
	key   string // tells it from the others, also when it has moved
	cells []cell // one for each column
	level slog.Level
	// more is what is said about it where there is room, in paragraphs.
	more []clean
}

// has reports whether a text, in lower case, occurs in the row.
func (r *row) has(text string) bool {
	for _, c := range r.cells {
		if strings.Contains(strings.ToLower(string(c.text)), text) {
			return true
		}
	}
	return slices.ContainsFunc(r.more, func(c clean) bool { return strings.Contains(strings.ToLower(string(c)), text) })
}

// pane is a list with a cursor and a filter.
type pane struct {
	title   string
	columns []column
	empty   clean // is said if there is no row
	tails   bool  // the newest row is the last, and shown as it comes
	all     []row
	rows    []row // those of all that the filter lets through
	note    clean // is said beside the title

	filter string
	level  slog.Level // the least that is shown
	// cursor is the key of the row that is pointed at; empty: the first one, or the last of one that tails.
	cursor string
}

// set replaces the rows.
func (p *pane) set(rows []row) {
	p.all = rows
	p.sift()
}

// sift applies the filter. It leaves all as it is, for models are values.
func (p *pane) sift() {
	text := strings.ToLower(p.filter)
	p.rows = make([]row, 0, len(p.all))
	for _, r := range p.all {
		if r.level >= p.level && (text == "" || r.has(text)) {
			p.rows = append(p.rows, r)
		}
	}
}

// follows reports whether the pane shows the newest row as it comes.
func (p *pane) follows() bool { return p.tails && p.cursor == "" }

// at is the index of the row that is pointed at; -1 if there is none. One that is gone was the oldest, or is filtered.
func (p *pane) at() int {
	if len(p.rows) == 0 {
		return -1
	}
	if p.follows() {
		return len(p.rows) - 1
	}
	return max(0, slices.IndexFunc(p.rows, func(r row) bool { return r.key == p.cursor }))
}

// move moves the cursor by so many rows. Beyond the last row of a pane that tails it follows again.
func (p *pane) move(by int) {
	if len(p.rows) == 0 {
		return
	}
	to := p.at() + by
	if p.tails && to >= len(p.rows) {
		p.cursor = ""
		return
	}
	p.cursor = p.rows[min(max(0, to), len(p.rows)-1)].key
}

// window returns which rows are shown if there is room for so many: those around the cursor.
func (p *pane) window(room int) (from, to int) {
	if room <= 0 {
		return 0, 0
	}
	from = max(0, min(p.at()-room/2, len(p.rows)-room))
	return from, min(len(p.rows), from+room)
}
