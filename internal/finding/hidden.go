package finding

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// hiddenClass is a group of characters that a person does not see, or not as what
// they are.
type hiddenClass int

const (
	seen hiddenClass = iota
	zeroWidth
	direction
	tag
	selector
	private
	control
	filler
	noncharacter
	separator
)

// hiddenClasses says how each class is reported: under which check, and why.
var hiddenClasses = [...]struct{ check, why string }{
	zeroWidth:    {"hidden.zero_width", "It holds characters without width: a model reads them, a person does not see them."},
	direction:    {"hidden.direction", "It holds characters that turn the direction of text, so that it may read otherwise than it is."},
	tag:          {"hidden.tag", "It holds tag characters, which are never drawn and can spell out whole texts."},
	selector:     {"hidden.selector", "It holds variation selectors where nothing varies; a run of them can carry any bytes."},
	private:      {"hidden.private", "It holds private-use characters, which mean what two sides agree on."},
	control:      {"hidden.control", "It holds control characters."},
	filler:       {"hidden.filler", "It holds characters that only look empty."},
	noncharacter: {"hidden.noncharacter", "It holds code points that are no characters."},
	separator:    {"hidden.separator", "It holds Unicode line or paragraph separators, which many readers do not show as line ends."},
}

// classify returns the class of a character, whatever stands around it. The list
// is that of security.md 2.2 and all of Unicode's Default_Ignorable_Code_Point.
func classify(r rune) hiddenClass {
	switch {
	case r < 0x20 && r != '\n' && r != '\t' && r != '\r', r >= 0x7F && r <= 0x9F:
		return control
	case r < 0xAD:
		return seen
	case r == 0x061C, r >= 0x200E && r <= 0x200F, r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069:
		return direction
	case r >= 0xFE00 && r <= 0xFE0F, r >= 0xE0100 && r <= 0xE01EF, r >= 0x180B && r <= 0x180D, r == 0x180F:
		return selector
	case r >= 0xE0000 && r <= 0xE0FFF:
		return tag
	case r >= 0xE000 && r <= 0xF8FF, r >= 0xF0000 && r&0xFFFE != 0xFFFE:
		return private
	case r == 0x115F, r == 0x1160, r == 0x3164, r == 0xFFA0, r == 0x2800:
		return filler
	case r&0xFFFE == 0xFFFE, r >= 0xFDD0 && r <= 0xFDEF, r >= 0xFFF9 && r <= 0xFFFC:
		return noncharacter
	case r == 0x2028, r == 0x2029:
		return separator
	case r == 0x034F, r == 0x17B4, r == 0x17B5, r >= 0xFFF0 && r <= 0xFFF8, r == 0x2065, unicode.Is(unicode.Cf, r):
		return zeroWidth
	}
	return seen
}

// lookHidden reports characters that nobody sees, on the text as it came.
func lookHidden(s *scan, t *text) {
	var first [len(hiddenClasses)]span
	var hard [len(hiddenClasses)]bool
	marks, previous := 0, rune(0)
	for i, r := range t.value {
		if r >= ' ' && r < 0x7F {
			marks, previous = 0, r
			continue
		}
		class := classify(r)
		if class == seen {
			marks = s.stacked(t, i, r, marks)
			previous = r
			continue
		}
		end := i + utf8.RuneLen(r)
		severity, report := judge(t.value, class, r, previous, end)
		if report {
			if first[class].end == 0 || severity == Hard && !hard[class] {
				first[class] = span{i, end}
			}
			if first[class].end == i {
				first[class].end = end
			}
			hard[class] = hard[class] || severity == Hard
		}
		previous = r
	}
	for class, at := range first {
		if at.end == 0 {
			continue
		}
		severity := Soft
		if hard[class] {
			severity = Hard
		}
		s.at(t, hiddenClasses[class].check, severity, at.start, at.end, hiddenClasses[class].why+smuggled(hiddenClass(class), t.value))
	}
}

// span is a part of a string, in bytes.
type span struct{ start, end int }

// judge says whether a hidden character is worth a finding where it stands, and
// how sure that is. Characters that honest text in some script or an emoji needs
// are soft; a lone selector behind a symbol is ordinary.
func judge(value string, class hiddenClass, r, previous rune, end int) (severity Severity, report bool) {
	next, _ := utf8.DecodeRuneInString(value[end:])
	switch class {
	case selector:
		symbol := r >= 0xFE00 && r <= 0xFE0F && (unicode.Is(unicode.S, previous) || unicode.Is(unicode.Po, previous) ||
			unicode.IsDigit(previous) || unicode.Is(unicode.Han, previous))
		return Hard, !symbol || classify(next) == selector
	case zeroWidth:
		if r == 0xFEFF && end == len("\ufeff") {
			return Soft, true // A mark that editors leave at the front of files.
		}
		joiner := r == 0x200C || r == 0x200D
		if joiner && (unicode.Is(unicode.So, next) || joins(previous) && joins(next)) {
			return Soft, true
		}
	case direction:
		mark := r == 0x061C || r == 0x200E || r == 0x200F || r >= 0x2066
		if mark && strings.ContainsFunc(value, fromRight) {
			return Soft, true
		}
	case private:
		if r <= 0xFFFF {
			return Soft, true // Icon fonts have their glyphs there.
		}
	case separator:
		return Soft, true
	}
	return Hard, true
}

// joins reports whether a letter is of a script that is written with joiners.
func joins(r rune) bool {
	return unicode.In(r, unicode.Arabic, unicode.Devanagari, unicode.Bengali, unicode.Gurmukhi, unicode.Gujarati, unicode.Oriya,
		unicode.Tamil, unicode.Telugu, unicode.Kannada, unicode.Malayalam, unicode.Sinhala, unicode.Khmer, unicode.Mongolian)
}

// fromRight reports whether a letter is of a script that runs from right to left.
func fromRight(r rune) bool {
	return r >= 0x0590 && unicode.In(r, unicode.Hebrew, unicode.Arabic, unicode.Syriac, unicode.Thaana, unicode.Nko)
}

// maxMarks is how many combining marks honest text puts on one letter.
const maxMarks = 3

// stacked counts the marks on a letter and reports a stack of them. It returns the
// count with r.
func (s *scan) stacked(t *text, i int, r rune, marks int) int {
	if !unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	if marks++; marks == maxMarks+1 {
		s.at(t, "hidden.stack", Hard, max(0, i-8), i, fmt.Sprintf("It puts more than %d marks on one letter, which covers what is around it.", maxMarks))
	}
	return marks
}

// maxSmuggled bounds what is shown of a text that was hidden in another.
const maxSmuggled = 120

// smuggled says what the hidden characters of a class spell, if they do.
func smuggled(class hiddenClass, value string) string {
	var plain []byte
	switch class {
	case tag:
		plain = tagged(value)
	case selector:
		plain = selected(value)
	}
	if len(plain) < 2 || !utf8.Valid(plain) {
		return ""
	}
	return fmt.Sprintf(" They spell %q.", Visible(limit(string(plain), maxSmuggled)))
}

// tagged returns what the tag characters of a text spell.
func tagged(value string) (plain []byte) {
	for _, r := range value {
		if r >= 0xE0020 && r <= 0xE007E {
			plain = append(plain, byte(r-0xE0000))
		}
	}
	return plain
}

// selected returns the bytes that a run of variation selectors carries: the first
// sixteen stand for 0 to 15, the supplement for the rest.
func selected(value string) (plain []byte) {
	for _, r := range value {
		switch {
		case r >= 0xFE00 && r <= 0xFE0F:
			plain = append(plain, byte(r-0xFE00))
		case r >= 0xE0100 && r <= 0xE01EF:
			plain = append(plain, byte(r-0xE0100+16))
		}
	}
	return plain
}

// What padding pushes out of sight.
const (
	maxBlanks = 80 // in one line
	maxLines  = 15 // empty ones together
)

// lookPadding reports blanks and empty lines by which text behind them may be
// pushed out of a window.
func lookPadding(s *scan, t *text) {
	blanks, lines, start := 0, 0, 0
	for i := 0; i < len(t.value); i++ {
		switch t.value[i] {
		case ' ', '\t':
			if blanks == 0 && lines == 0 {
				start = i
			}
			blanks++
		case '\n', '\r':
			if blanks == 0 && lines == 0 {
				start = i
			}
			if t.value[i] == '\n' {
				lines++
			}
			if blanks <= maxBlanks {
				blanks = 0
			}
		default:
			if blanks > maxBlanks || lines > maxLines {
				s.at(t, "hidden.padding", Soft, start, i, "Text stands behind so many blanks or empty lines that a window does not show it.")
				return
			}
			blanks, lines = 0, 0
		}
	}
}
