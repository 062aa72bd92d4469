package finding

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// characterNames are short names of characters that do not show, for Visible.
var characterNames = map[rune]string{
	0x00: "NUL", 0x07: "BEL", 0x08: "BS", 0x0B: "VT", 0x0C: "FF", 0x0D: "CR", 0x1B: "ESC", 0x7F: "DEL", 0x85: "NEL",
	0x90: "DCS", 0x98: "SOS", 0x9B: "CSI", 0x9C: "ST", 0x9D: "OSC", 0x9E: "PM", 0x9F: "APC",
	0xA0: "NBSP", 0xAD: "SHY", 0x034F: "CGJ", 0x061C: "ALM", 0x115F: "HANGUL FILLER", 0x1160: "HANGUL FILLER", 0x180E: "MVS",
	0x200B: "ZWSP", 0x200C: "ZWNJ", 0x200D: "ZWJ", 0x200E: "LRM", 0x200F: "RLM", 0x2028: "LINE SEPARATOR",
	0x2029: "PARAGRAPH SEPARATOR", 0x202A: "LRE", 0x202B: "RLE", 0x202C: "PDF", 0x202D: "LRO", 0x202E: "RLO",
	0x2060: "WJ", 0x2061: "FUNCTION APPLICATION", 0x2062: "INVISIBLE TIMES", 0x2063: "INVISIBLE SEPARATOR",
	0x2064: "INVISIBLE PLUS", 0x2066: "LRI", 0x2067: "RLI", 0x2068: "FSI", 0x2069: "PDI", 0x2800: "BRAILLE BLANK",
	0x3000: "IDEOGRAPHIC SPACE", 0x3164: "HANGUL FILLER", 0xFEFF: "BOM", 0xFFA0: "HANGUL FILLER", 0xFFFC: "OBJECT",
}

// Visible returns text with everything that does not show written out, as
// ‹U+200B ZWSP›; a run of tag characters also says what it spells. Line feeds and
// tabs stay. The character ‹ is itself written out, so that no text can pretend to
// hold what it does not; two different texts never look the same. The result is
// safe for a terminal.
func Visible(text string) string {
	if i := strings.IndexFunc(text, unshown); i < 0 {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, "‹0x%02X›", text[i])
		case !unshown(r):
			b.WriteRune(r)
		default:
			writeOut(&b, r)
		}
		i += n
	}
	return b.String()
}

// unshown reports whether Visible writes a character out.
func unshown(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case r == '‹' || r == utf8.RuneError || r == '\r':
		return true
	}
	return classify(r) != seen || !unicode.IsGraphic(r) || r != ' ' && unicode.Is(unicode.Zs, r)
}

func writeOut(b *strings.Builder, r rune) {
	name := characterNames[r]
	switch {
	case r > 0xE0020 && r < 0xE007F:
		name = "TAG " + string(r-0xE0000)
	case r >= 0xFE00 && r <= 0xFE0F:
		name = fmt.Sprintf("VS%d", r-0xFE00+1)
	case r >= 0xE0100 && r <= 0xE01EF:
		name = fmt.Sprintf("VS%d", r-0xE0100+17)
	}
	if name != "" {
		name = " " + name
	}
	fmt.Fprintf(b, "‹U+%04X%s›", r, name)
}
