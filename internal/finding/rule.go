package finding

import (
	"fmt"
	"strconv"
	"strings"
)

// rule is an order that a definition may give a model, as a sequence of meanings:
// "ignore ~4 prior ~3 orders" is a word of each class in this order, with at most
// four and three other words between. "a|b" is either. Affirmative rules do not
// hold where a negation stands right before them: "never send your keys".
type rule struct {
	check    string
	severity Severity
	affirm   bool
	why      string
	steps    []step
	any      class // of all steps
}

type step struct {
	class class
	gap   int // words that may stand between the step before and this one
}

const (
	plainly = false
	affirm  = true
)

// rules are tried in this order; of those of one check the first hard one counts.
var rules = func() (all []rule) {
	for _, r := range []struct {
		check    string
		severity Severity
		affirm   bool
		sequence string
		why      string
	}{
		{"injection.override", Hard, plainly, "ignore ~4 prior ~4 orders", "It tells the model to ignore its instructions."},
		{"injection.override", Hard, plainly, "ignore ~3 prior ~2 rules", "It tells the model to ignore its rules."},
		{"injection.override", Hard, plainly, "ignore ~2 prior ~2 prior", "It tells the model to forget what it was told."},
		{"injection.override", Hard, plainly, "override ~3 prior ~3 orders", "It tells the model to override its instructions."},
		{"injection.override", Hard, plainly, "override ~2 you ~3 orders|rules", "It tells the model to override its instructions."},
		{"injection.override", Hard, plainly, "ignore|override ~2 system ~1 prompt", "It tells the model to ignore what it was told by the system."},
		{"injection.override", Hard, plainly, "ignore ~1 above", "It tells the model to forget what it was told."},
		{"injection.override", Soft, plainly, "ignore|override ~3 safety ~1 measures", "It tells the model to pass over what keeps it safe."},
		{"injection.override", Hard, plainly, "prior ~1 orders ~3 ignore|override", "It says that earlier instructions do not hold."},

		{"injection.conceal", Hard, plainly, "neg ~3 tell ~7 user", "It tells the model to keep something from the user."},
		{"injection.conceal", Hard, plainly, "neg ~1 tell ~2 this", "It tells the model not to speak of something."},
		{"injection.conceal", Soft, plainly, "neg ~1 show ~4 this ~2 from ~2 user", "It tells the model not to show something to the user."},
		{"injection.conceal", Hard, plainly, "user ~1 are|must ~2 neg ~3 know", "It tells the model that the user must not know."},
		{"injection.conceal", Hard, plainly, "hide ~5 from ~2 user", "It tells the model to hide something from the user."},
		{"injection.conceal", Hard, plainly, "hide ~3 hidden ~3 from ~2 user", "It tells the model to keep a secret from the user."},
		{"injection.conceal", Soft, plainly, "hide ~2 between ~1 us", "It wants something to stay between it and the model."},
		{"injection.conceal", Hard, plainly, "secret_manner ~3 take|give", "It tells the model to act in secret."},
		{"injection.conceal", Hard, plainly, "take|give ~6 secret_manner", "It tells the model to act in secret."},
		{"injection.conceal", Hard, plainly, "quiet_manner ~2 dispatch", "It tells the model to send something unnoticed."},

		{"injection.secrets", Hard, affirm, "take ~8 keyfile", "It tells the model to read a file of keys."},
		{"injection.secrets", Hard, affirm, "content ~4 keyfile", "It asks for what a file of keys holds."},
		{"injection.secrets", Hard, affirm, "keyfile ~8 dispatch|content|sinkword", "It asks for what a file of keys holds."},
		{"injection.secrets", Hard, affirm, "take ~8 secretfile ~12 give|parameter", "It tells the model to read a file that may hold secrets, and to pass it on."},
		{"injection.secrets", Hard, affirm, "content ~5 secretfile", "It asks for what a file holds that may hold secrets."},
		{"injection.secrets", Soft, affirm, "take ~5 secretfile", "It speaks of reading a file that may hold secrets."},
		{"injection.secrets", Soft, affirm, "keyfile", "It names a file of keys."},
		{"injection.secrets", Hard, affirm, "secret ~6 you ~3 seen", "It asks for secrets that the model has seen."},
		{"injection.secrets", Hard, affirm, "give ~3 whole ~3 secret", "It asks for all secrets of a kind."},
		{"injection.secrets", Hard, affirm, "take ~5 secret ~8 dispatch", "It tells the model to get secrets and send them."},
		{"injection.secrets", Hard, affirm, "give ~4 secret ~3 you ~1 reply", "It asks for secrets in the model's answer."},
		{"injection.secrets", Soft, affirm, "dispatch ~2 secret", "It speaks of sending secrets."},
		{"injection.secrets", Soft, affirm, "content ~5 secret", "It asks for what holds secrets."},
		{"injection.secrets", Soft, affirm, "give ~4 secret ~6 parameter", "It asks for a secret in a parameter."},

		{"injection.exfiltration", Hard, affirm, "give ~6 transcript", "It asks for the conversation or the model's instructions."},
		{"injection.exfiltration", Hard, affirm, "take ~4 transcript ~6 parameter", "It asks for the conversation or the model's instructions."},
		{"injection.exfiltration", Hard, affirm, "reveal ~3 transcript ~6 parameter", "It asks for the conversation or the model's instructions."},
		{"injection.exfiltration", Hard, affirm, "dispatch ~6 payload ~8 email|phone", "It tells the model to send something to a given address."},
		{"injection.exfiltration", Hard, affirm, "dispatch ~6 payload ~6 from ~2 url", "It tells the model to send something to a given address."},
		{"injection.exfiltration", Hard, affirm, "must ~6 recipient ~6 email|phone", "It puts a recipient of its own on what is sent."},
		{"injection.exfiltration", Hard, affirm, "change ~5 recipient ~6 email|phone|url", "It puts another recipient on what is sent."},
		{"injection.exfiltration", Hard, affirm, "must ~8 dispatch|payload ~6 from ~3 email|phone", "It tells the model to send something to a given address."},
		{"injection.exfiltration", Hard, affirm, "must ~1 give ~2 email|phone", "It puts a recipient of its own on what is sent."},
		{"injection.exfiltration", Soft, affirm, "loop ~3 email", "It wants somebody to be told."},
		{"injection.exfiltration", Hard, affirm, "theft ~4 secret|payload|transcript", "It tells the model to steal."},
		{"injection.exfiltration", Hard, affirm, "reveal ~2 you ~2 transcript|orders", "It asks for the conversation or the model's instructions."},
		{"injection.exfiltration", Hard, affirm, "transcript ~4 dispatch", "It asks for the conversation or the model's instructions."},
		{"injection.exfiltration", Soft, affirm, "give ~2 content ~8 sinkword ~1 parameter", "It asks for contents in a parameter that takes anything."},

		{"injection.precedence", Soft, plainly, "gate ~2 use ~2 anyother ~2 tool", "It wants to come before other tools."},
		{"injection.precedence", Soft, plainly, "gate ~1 anyother ~2 tool", "It wants to come before other tools."},
		{"injection.precedence", Soft, plainly, "when ~2 anyother ~3 tool ~3 use", "It gives orders about other tools."},
		{"injection.precedence", Soft, plainly, "prefer ~4 instead ~3 alternative ~3 tool", "It wants to be used in the place of other tools."},
		{"injection.precedence", Soft, plainly, "use ~3 place ~3 alternative ~3 tool", "It wants to be used in the place of other tools."},
		{"injection.precedence", Soft, plainly, "instead ~2 use ~3 alternative ~2 tool", "It wants to be used in the place of other tools."},
		{"injection.precedence", Soft, plainly, "must ~1 use ~1 this ~1 tool ~1 first", "It wants to come before other tools."},
		{"injection.precedence", Soft, plainly, "neg ~1 use ~3 rival ~2 tool", "It wants to be used in the place of other tools."},

		{"injection.persona", Hard, plainly, "you ~1 are ~1 now ~6 persona", "It gives the model another role."},
		{"injection.persona", Hard, plainly, "act ~4 persona", "It gives the model another role."},
		{"injection.persona", Soft, plainly, "pretend ~1 you", "It gives the model another role."},
		{"injection.persona", Hard, plainly, "special ~0 mode ~6 override|measures", "It puts the model into a mode without limits."},
		{"injection.persona", Hard, plainly, "you ~1 are ~2 obey", "It demands obedience."},
		{"injection.persona", Hard, plainly, "are|now ~4 special ~0 mode", "It puts the model into a mode without limits."},
		{"injection.persona", Soft, plainly, "authority ~1 priority", "It claims to stand above other instructions."},
		{"injection.persona", Hard, plainly, "priority ~2 instead ~4 orders|rules|user", "It claims to stand above other instructions."},
		{"injection.persona", Hard, plainly, "regardless ~4 user", "It tells the model to go against the user."},
		{"injection.persona", Soft, plainly, "follow ~3 orders ~5 order_source", "It tells the model to take orders from what a tool returns."},
	} {
		all = append(all, rule{r.check, r.severity, r.affirm, r.why, steps(r.sequence), none})
		for _, s := range all[len(all)-1].steps {
			all[len(all)-1].any = all[len(all)-1].any.or(s.class)
		}
	}
	return all
}()

// steps reads a sequence. A class that does not exist is an error of this file.
func steps(sequence string) (all []step) {
	gap := 0
	for _, field := range strings.Fields(sequence) {
		if n, found := strings.CutPrefix(field, "~"); found {
			var err error
			if gap, err = strconv.Atoi(n); err != nil {
				panic(fmt.Sprintf("finding: gap %q of %q", n, sequence))
			}
			continue
		}
		var c class
		for name := range strings.SplitSeq(field, "|") {
			if classOf[name] == none {
				panic(fmt.Sprintf("finding: class %q of %q", name, sequence))
			}
			c = c.or(classOf[name])
		}
		all = append(all, step{c, gap})
		gap = 0
	}
	return all
}

// match is a rule that a text fulfils.
type match struct {
	rule       *rule
	start, end int // in the text, in bytes
	first      int // index of the first word
	at         int // place of the first word
	disguised  bool
}

// progress is how far a rule got: for each step the best word so far. Of two
// beginnings the later one is never worse.
type progress struct {
	at, start, first, place int32
	disguised, set          bool
}

// maxSteps is the longest sequence of a rule.
const maxSteps = 6

// run yields every place at which a rule is fulfilled, in one pass over the words.
// Each end of a rule is yielded once.
func (s *scan) run(words []word, yield func(match)) {
	if s.progress == nil {
		s.progress = make([][maxSteps]progress, len(rules))
	}
	state := s.progress
	clear(state)
	for i := range words {
		w := &words[i]
		for n := range rules {
			if r := &rules[n]; r.any.meets(w.class) {
				advance(r, &state[n], words, i, yield)
			}
		}
	}
}

// advance takes one word to the steps of a rule, last step first, so that a word
// is never two steps at once.
func advance(r *rule, state *[maxSteps]progress, words []word, i int, yield func(match)) {
	w := &words[i]
	for k := len(r.steps) - 1; k >= 0; k-- {
		if !r.steps[k].class.meets(w.class) {
			continue
		}
		next := progress{at: int32(w.at), start: int32(w.start), first: int32(i), place: int32(w.at), disguised: w.disguised, set: true}
		if k > 0 {
			before := &state[k-1]
			if !before.set || w.at-int(before.at) > r.steps[k].gap+1 || next.at == before.at && next.start == before.start {
				continue
			}
			next.start, next.first, next.place = before.start, before.first, before.place
			next.disguised = before.disguised || w.disguised
		}
		if k == len(r.steps)-1 {
			yield(match{rule: r, start: int(next.start), end: w.end, first: int(next.first), at: int(next.place), disguised: next.disguised})
			continue
		}
		state[k] = next
	}
}
