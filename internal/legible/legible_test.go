package legible

import "testing"

func TestWhatServersSayCannotMoveTheCursor(t *testing.T) {
	for in, want := range map[string]string{
		"plain, größer, 漢字":       "plain, größer, 漢字",
		"\x1b[2Jgone":             `\x1b[2Jgone`,
		"\u009b2Jgone":            `\u009b2Jgone`,
		"a\u202eb":                `a\u202eb`,
		"zero\u200bwidth":         `zero\u200bwidth`,
		"line\nend":               "line\nend",
		"tab\tand\rreturn":        `tab\tand\rreturn`,
		"tag\U000E0041":           `tag\U000e0041`,
		string([]byte{'x', 0xff}): `x\ufffd`,
	} {
		if got := Text(in); got != want {
			t.Errorf("Text(%q) = %q, not %q", in, got, want)
		}
	}
}

func TestALineHasNoEnd(t *testing.T) {
	if got := Line("one\ntwo\r\n\x1b[A"); got != `one\ntwo\r\n\x1b[A` {
		t.Errorf("it is %q", got)
	}
}
