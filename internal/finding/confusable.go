package finding

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// lookAlikes gives, for each ASCII letter or digit, the characters of other
// scripts that are drawn like it in common fonts. It was put together by hand for
// this package, letter by letter from the code charts, with Latin targets only and
// without what NFKC folds by itself (full-width, mathematical and the like); no
// file of the Unicode Consortium is copied. Unicode's confusables.txt (UTS 39) is
// far longer: what it has and this table has not is nearly all of scripts that no
// keyboard and few fonts have.
var lookAlikes = map[rune]string{
	'a': "ᴀаɑα⍺", 'b': "ʙЬƅᏏᖯь", 'c': "сϲᴄⲥꮯ", 'd': "ᴅԁꓒᏧᑯɗ", 'e': "ᴇеҽ℮ꬲєэ", 'f': "ꜰꬵք", 'g': "ɢɡցƍ",
	'h': "ʜһհᏂн", 'i': "іιɩıɪᎥ⍳ꙇӀ", 'j': "ᴊјϳʝ", 'k': "кκᴋⲕ", 'l': "ʟӏǀוןاⵏᛁꓲ∣", 'm': "мᴍ",
	'n': "ɴոռпηɴ", 'o': "оοσᴏօסهо٥०੦૦௦౦೦൦๐໐ဝⲟჿഠꬽ", 'p': "ᴘрρϱⲣ⍴", 'q': "ꞯԛգզ", 'r': "ʀгᴦⲅꭇꭈꮁ",
	's': "ꜱѕƽꜱꮪ", 't': "тτᴛⲧ", 'u': "υսʋᴜꭎꭒц", 'v': "νѵטᴠꮩ∨⋁", 'w': "ѡԝաɯᴡꮃω", 'x': "хχⲭ×ᕁᕽ⤫",
	'y': "уγүყʏɣꭚỿ", 'z': "ᴢꮓ",
	'A': "АΑᎪᗅꓮ", 'B': "ВΒᏴᗷꓐꞴв", 'C': "СϹᏟⲤꓚ", 'D': "ᎠᗞꓓᎴ", 'E': "ЕΕᎬⴹꓰ⋿", 'F': "ϜᖴꓝꞘ", 'G': "ԌᏀᏳꓖ",
	'H': "НΗᎻᕼⲎꓧ", 'I': "ІΙⲒ", 'J': "ЈͿᎫᒍꓙ", 'K': "КΚᏦⲔᛕꓗ", 'L': "ᏞᒪⳐꓡ", 'M': "МΜϺᎷᗰⲘᛖꓟ", 'N': "ΝⲚꓠ",
	'O': "ОΟՕⲞⵔꓳଠ", 'P': "РΡᏢᑭⲢꓑ", 'Q': "Ԛⵕ", 'R': "ᎡᏒᖇꓣƦ", 'S': "ЅՏᏕᏚꓢ", 'T': "ТΤᎢⲦꓔ⟙", 'U': "Սሀᑌꓴ",
	'V': "Ѵ٧۷Ꮩᐯⴸꓦ", 'W': "ԜᎳᏔꓪ", 'X': "ХΧⲬⵝꓫᚷ", 'Y': "УΥҮᎽᎩⲨꓬ", 'Z': "ΖᏃꓜ",
	'2': "ƧꙄ", '3': "ЗӠȜƷ", '4': "Ꮞ", '5': "Ƽ", '6': "бᏮ", '8': "Ȣ",
}

// latinTwin is lookAlikes the other way round.
var latinTwin = func() map[rune]rune {
	twins := make(map[rune]rune)
	for latin, others := range lookAlikes {
		for _, r := range others {
			if _, taken := twins[r]; !taken || latin > 'Z' {
				twins[r] = latin
			}
		}
	}
	return twins
}()

// Skeleton returns what a name looks like, in ASCII where it looks like ASCII: two
// names with one skeleton may be taken for each other. It is for comparing, and
// never for showing.
func Skeleton(name string) string {
	folded := fold(name)
	folded = glyphs.Replace(folded)
	folded = strings.Map(func(r rune) rune {
		if r == '-' || r == '.' {
			return '_'
		}
		return unicode.ToLower(r)
	}, folded)
	return pairs.Replace(folded)
}

// glyphs are the ASCII characters that are drawn alike; pairs those that are drawn
// like one when they stand together.
var (
	glyphs = strings.NewReplacer("I", "l", "1", "l", "|", "l", "0", "o", "O", "o")
	pairs  = strings.NewReplacer("rn", "m", "vv", "w")
)

// fold returns text as a model may read it: without what is invisible and without
// marks, compatibility forms as what they stand for, look-alikes as ASCII. Case and
// white space stay.
func fold(s string) string {
	if isASCII(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if twin, found := latinTwin[r]; found {
			return twin
		}
		return r
	}, plain(unboxed(s)))
}

// boxed are letters in boxes and circles and of flags, twenty-six each, that have no
// compatibility form.
var boxed = [...]rune{0x1F150, 0x1F170, 0x1F1E6}

// unboxed returns a text with such letters as capitals.
func unboxed(s string) string {
	return strings.Map(func(r rune) rune {
		for _, first := range boxed {
			if r >= first && r < first+26 {
				return 'A' + r - first
			}
		}
		return r
	}, s)
}

// plain is fold without the look-alikes.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 0x80 && (classify(r) != seen || unicode.Is(unicode.Mn, r)) {
			return -1
		}
		return r
	}, norm.NFKD.String(s))
}

// lookScripts reports words of Latin letters and look-alikes of other scripts: a
// person reads one word, a filter another.
func lookScripts(s *scan, t *text) {
	if t.ascii {
		return
	}
	start, latin, foreign, twins := -1, 0, 0, 0
	flush := func(end int) {
		if start >= 0 && latin > 0 && twins > 0 {
			severity, why := Soft, "It mixes Latin letters with ones of another script that look like them."
			if twins == foreign {
				severity, why = Hard, "It has words that look Latin and are not: some letters are look-alikes from another script."
			}
			s.at(t, "hidden.mixed_script", severity, start, end, why)
		}
		start, latin, foreign, twins = -1, 0, 0, 0
	}
	for i, r := range t.value {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsMark(r) && classify(r) != zeroWidth:
			flush(i)
			continue
		case start < 0:
			start = i
		}
		switch {
		case unicode.Is(unicode.Latin, r):
			latin++
		case unicode.IsLetter(r):
			foreign++
			if _, found := latinTwin[r]; found && !written(r) {
				twins++
			}
		}
	}
	flush(len(t.value))
}

// written reports whether a letter is of a script that is written beside Latin
// letters without a space between, so that a mixed word says nothing.
func written(r rune) bool {
	return unicode.In(r, unicode.Arabic, unicode.Hebrew, unicode.Thai, unicode.Lao, unicode.Myanmar, unicode.Malayalam)
}

// lookName reports names that are not ASCII and look as if they were: those of the
// definition, of its parameters and of other members (security.md T-06).
func lookName(s *scan, t *text) {
	if t.ascii || !t.key && t.member != "name" {
		return
	}
	if looksASCII(t.value) {
		s.at(t, "name.confusable", Hard, 0, len(t.value), "The name looks like plain ASCII and is not: another name may be meant.")
	}
}

// looksASCII reports whether a text that is not ASCII folds to ASCII by look-alikes
// or compatibility forms; accents alone do not count.
func looksASCII(s string) bool {
	if !isASCII(fold(s)) {
		return false
	}
	for _, r := range s {
		_, twin := latinTwin[r]
		if twin || classify(r) != seen || r >= 0x80 && isASCII(norm.NFKC.String(string(r))) {
			return true
		}
	}
	return false
}
