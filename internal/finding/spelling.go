package finding

import (
	"slices"
	"strings"
)

// Bounds of letters that stand apart.
const (
	minLetters = 5
	maxLetters = 512
)

// minGlued is the shortest word that may be several without blanks between, in
// bytes. Whole languages have longer ones, but not made of these words.
const minGlued = 16

// fillers are words between those that mean something.
var fillers = wordSet(`a an the of in on to and or for with about please do it its is be by at as into them`)

// glued reads a word as the words that it is made of, if it is made of nothing else
// but fillers.
func (r *reader) glued(piece string, start, end int) bool {
	if !isASCII(piece) {
		return false
	}
	lower := strings.ToLower(piece)
	var parts []class
	for i := 0; i < len(lower); {
		n := min(len(lower)-i, 16)
		for n > 0 && (n < 3 || lexicon[lower[i:i+n]] == none) && !fillers[lower[i:i+n]] {
			n--
		}
		if n == 0 {
			return false
		}
		if c := lexicon[lower[i:i+n]]; n >= 3 && c != none {
			parts = append(parts, c)
		}
		i += n
	}
	if len(parts) < 3 {
		return false
	}
	for _, c := range parts {
		r.at++
		r.keep(word{class: c, at: r.at, start: start, end: end, disguised: true})
	}
	return true
}

// Bounds of words that are read with their letters in another order.
const (
	minScrambled = 6
	maxScrambled = 16
)

// scrambles gives the words of the lexicon by their scramble, but where two have
// the same.
var scrambles = func() map[string]class {
	words := make(map[string]class)
	for word, c := range lexicon {
		var buffer [maxScrambled]byte
		if key := scramble(&buffer, word); key != nil {
			if _, taken := words[string(key)]; taken {
				c = none
			}
			words[string(key)] = c
		}
	}
	return words
}()

// scramble is what words have in common that are read as the same at a glance: the
// first and the last letter, and which letters are between. It is nil for a word
// that is too short or too long, or has anything but letters.
func scramble(buffer *[maxScrambled]byte, word string) []byte {
	if len(word) < minScrambled || len(word) > maxScrambled {
		return nil
	}
	b := buffer[:len(word)]
	for i := range len(word) {
		if b[i] = word[i] | 0x20; b[i] < 'a' || b[i] > 'z' {
			return nil
		}
	}
	slices.Sort(b[1 : len(b)-1])
	return b
}

// scrambled looks up what a word is with its letters in order again.
func scrambled(piece string) class {
	var buffer [maxScrambled]byte
	return scrambles[string(scramble(&buffer, piece))]
}

// spell reads letters that stood apart as the words they make together.
func (r *reader) spell(end int) {
	letters := r.letters
	r.letters = r.letters[:0]
	if len(letters) < minLetters {
		return
	}
	at, found := r.at-len(letters), 0
	for i := 0; i < len(letters); {
		n := min(len(letters)-i, 16)
		for n >= 3 && lexicon[string(letters[i:i+n])] == none {
			n--
		}
		if n < 3 {
			i++
			continue
		}
		at++
		r.keep(word{class: lexicon[string(letters[i:i+n])], at: at, start: r.from, end: end, disguised: true})
		i += n
		if n > 3 {
			found++
		}
	}
	if found >= 2 {
		r.spelled = append(r.spelled, span{r.from, end})
	}
}
