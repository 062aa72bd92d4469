package terminal

import (
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/warder-gateway/warder/internal/legible"
)

// clean is text of one line that a terminal only shows. Texts of others become clean by say alone.
type clean string

func say(text string) clean { return clean(legible.Line(text)) }

// width is how many columns a text takes. Terminals differ about some emoji: what counts is the most that it may be.
func width(text clean) int {
	return max(ansi.StringWidth(string(text)), ansi.StringWidthWc(string(text)))
}

// cutTo cuts a text to so many columns.
func cutTo(text clean, columns int) clean {
	if columns <= 0 {
		return ""
	}
	if width(text) <= columns {
		return text
	}
	s := ansi.TruncateWc(string(text), columns, "…")
	return clean(ansi.Truncate(s, columns, "…"))
}

// fit cuts or fills a text to exactly so many columns.
func fit(text clean, columns int) clean {
	text = cutTo(text, columns)
	return text + spaces(columns-width(text))
}

// fitRight is fit with the text on the right.
func fitRight(text clean, columns int) clean {
	text = cutTo(text, columns)
	return spaces(columns-width(text)) + text
}

func spaces(n int) clean { return clean(strings.Repeat(" ", max(0, n))) }

// wrap breaks a text into lines of at most so many columns; the last of at most so many lines says if more would follow.
func wrap(text clean, columns, lines int) []clean {
	if columns <= 0 || lines <= 0 {
		return nil
	}
	var wrapped []clean
	rest := string(text)
	for rest != "" {
		line := ansi.TruncateWc(rest, columns, "")
		if line == "" || len(wrapped) == lines-1 {
			return append(wrapped, cutTo(clean(rest), columns))
		}
		if at := strings.LastIndexByte(line, ' '); at > columns/2 && len(line) < len(rest) && rest[len(line)] != ' ' {
			line = line[:at]
		}
		wrapped = append(wrapped, clean(line))
		rest = strings.TrimLeft(rest[len(line):], " ")
	}
	return wrapped
}

// style is how a text looks: an SGR parameter of the sixteen colours, which are the user's own. Nothing is said by it alone.
type style string

const (
	plain   style = ""
	bold    style = "1"
	faint   style = "2"
	marked  style = "7"
	bad     style = "31"
	good    style = "32"
	warning style = "33"
	accent  style = "36"
	title   style = "1;36"
)

// paint gives a text its style.
func paint(s style, text clean) string {
	if s == plain || text == "" {
		return string(text)
	}
	return "\x1b[" + string(s) + "m" + string(text) + "\x1b[m"
}
