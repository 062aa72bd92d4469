package terminal

import (
	"cmp"
	"slices"
	"strings"
)

const gap = 2 // columns between columns

// list draws a pane into so many columns and lines, no more and no less. Focused says that the cursor is there.
func (p *pane) list(columns, lines int, focused bool) []string {
	if len(p.rows) == 0 {
		said := p.empty
		if len(p.all) > 0 {
			said = "Nothing of " + say(thousands(uint64(len(p.all)))) + " matches. esc shows all."
		}
		return filled([]string{"", paint(faint, fit(" "+said, columns))}, columns, lines)
	}
	more := p.more(columns, lines, focused)
	widths := p.widths(columns)
	drawn := []string{paint(faint, p.head(widths, columns))}
	from, to := p.window(lines - 1 - len(more))
	pointed := -1
	if focused && !p.follows() {
		pointed = p.at()
	}
	for i := from; i < to; i++ {
		drawn = append(drawn, p.rows[i].draw(p.columns, widths, columns, i == pointed))
	}
	return append(filled(drawn, columns, lines-len(more)), more...)
}

// filled adds empty lines, or leaves the last ones away.
func filled(drawn []string, columns, lines int) []string {
	for len(drawn) < lines {
		drawn = append(drawn, string(spaces(columns)))
	}
	for i, line := range drawn {
		if line == "" {
			drawn[i] = string(spaces(columns))
		}
	}
	return drawn[:max(0, lines)]
}

// more draws what is said about the row that is pointed at, below a rule; nothing if there is no room or nothing to say.
func (p *pane) more(columns, lines int, focused bool) []string {
	const most = 6
	room := min(most, lines/3)
	if !focused || p.follows() || room < 2 {
		return nil
	}
	var texts []string
	for _, paragraph := range p.rows[p.at()].more {
		for _, line := range wrap(paragraph, columns-2, room-1-len(texts)) {
			texts = append(texts, string(fit(" "+line, columns)))
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return append([]string{paint(faint, rule(columns))}, texts...)
}

func rule(columns int) clean { return clean(strings.Repeat("─", max(0, columns))) }

// widths shares columns out; 0 leaves a column away.
func (p *pane) widths(columns int) []int {
	widths := make([]int, len(p.columns))
	order := make([]int, 0, len(p.columns))
	for i, c := range p.columns {
		order = append(order, i)
		if c.most == 0 {
			widths[i] = max(width(c.title), cmp.Or(c.least, 12))
			continue
		}
		widths[i] = width(c.title)
		for _, r := range p.rows {
			widths[i] = min(c.most, max(widths[i], width(r.cells[i].text)))
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p.columns[b].spare, p.columns[a].spare) })
	for _, i := range order {
		if needed(widths) <= columns || p.columns[i].spare == 0 {
			break
		}
		widths[i] = 0
	}
	for i, c := range p.columns {
		if c.most == 0 && widths[i] > 0 {
			widths[i] += max(0, columns-needed(widths))
		}
	}
	return widths
}

// needed is how many columns widths take, with one at the left.
func needed(widths []int) int {
	sum := 1
	for _, w := range widths {
		if w > 0 {
			sum += w + gap
		}
	}
	return sum - gap
}

func (p *pane) head(widths []int, columns int) clean {
	r := row{cells: make([]cell, len(p.columns))}
	for i, c := range p.columns {
		r.cells[i].text = c.title
	}
	return r.text(p.columns, widths, columns)
}

// text is the row without its styles.
func (r *row) text(of []column, widths []int, columns int) clean {
	var b strings.Builder
	r.each(of, widths, func(text clean, _ style) { b.WriteString(string(text)) })
	return fit(clean(b.String()), columns)
}

// draw draws the row, in reverse if it is pointed at.
func (r *row) draw(of []column, widths []int, columns int, pointed bool) string {
	text := r.text(of, widths, columns)
	switch {
	case pointed:
		return paint(marked, text)
	case needed(widths) > columns: // It was cut.
		return string(text)
	}
	var b strings.Builder
	taken := 0
	r.each(of, widths, func(text clean, s style) {
		b.WriteString(paint(s, text))
		taken += width(text)
	})
	return b.String() + string(spaces(columns-taken))
}

// each calls with for the pieces of a row, from left to right.
func (r *row) each(of []column, widths []int, with func(clean, style)) {
	with(" ", plain)
	first := true
	for i, c := range r.cells {
		if widths[i] == 0 {
			continue
		}
		if !first {
			with(spaces(gap), plain)
		}
		first = false
		if of[i].right {
			with(fitRight(c.text, widths[i]), c.style)
		} else {
			with(fit(c.text, widths[i]), c.style)
		}
	}
}
