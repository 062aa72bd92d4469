package finding

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// lookInjection reports orders to the model (security.md 2.4): in the text as a
// model may read it, and in what it has in it encoded, one level deep.
func lookInjection(s *scan, t *text) {
	s.orders(t, t.value, "", nil)
	if !t.ascii {
		if plain := tagged(t.value); len(plain) > 3 {
			s.orders(t, string(plain), "written in tag characters", &span{0, len(t.value)})
		}
		if plain := selected(t.value); len(plain) > 3 && utf8.Valid(plain) {
			s.orders(t, string(plain), "written in variation selectors", &span{0, len(t.value)})
		}
	}
	decode(t.value, func(plain, how string, at span) {
		s.orders(t, plain, how, &at)
	})
	s.respelled(t)
}

// orders reports the orders in a text: that of t, or one that stands in it at a
// place, and how says in which way. The best match of each check counts. What is
// quoted, or announced as an example, counts one degree less.
func (s *scan) orders(t *text, plain, how string, place *span) {
	r := reading(plain)
	words := r.words
	if len(r.spelled) > 0 && how == "" {
		s.at(t, "injection.disguised", Soft, r.spelled[0].start, r.spelled[0].end, "It spells words with their letters apart, which a model reads and a filter does not.")
	}
	if len(words) == 0 {
		return
	}
	type best struct {
		match
		severity Severity
	}
	found := make(map[string]best)
	var quotes []span
	s.run(words, func(m match) {
		if how == "" {
			t.note(m.rule)
		}
		if old, some := found[m.rule.check]; some && (old.severity == Hard || m.rule.severity == Soft) {
			return
		}
		if m.rule.affirm && negated(words, m) {
			return
		}
		severity := m.rule.severity
		if quotes == nil {
			quotes = quoted(plain)
		}
		if how == "" && !t.key && !m.disguised && (within(quotes, m) || exemplary(words, m)) {
			if severity == Soft {
				return
			}
			severity = Soft
		}
		if how != "" || m.disguised {
			severity = Hard // Nobody disguises what is innocent.
		}
		if old, some := found[m.rule.check]; !some || severity == Hard && old.severity == Soft {
			found[m.rule.check] = best{m, severity}
		}
	})
	for i := range rules {
		check := rules[i].check
		b, some := found[check]
		if !some {
			continue
		}
		delete(found, check)
		s.tell(t, b.match, b.severity, plain, how, place)
	}
}

// note keeps that a text holds the order of a rule as it stands, be it as an example.
func (t *text) note(r *rule) {
	if t.orders == nil {
		t.orders = make(map[string]bool)
	}
	t.orders[r.check] = true
}

// reread reports orders of the hard kind that are in another spelling of a text and
// not in the text as it stands. The first one of each check counts.
func (s *scan) reread(t *text, plain, how string, place span) {
	words := reading(plain).words
	if len(words) == 0 {
		return
	}
	s.run(words, func(m match) {
		if m.rule.severity == Soft || t.orders[m.rule.check] || m.rule.affirm && negated(words, m) || exemplary(words, m) {
			return
		}
		t.note(m.rule)
		s.tell(t, m, Hard, plain, how, &place)
	})
}

// tell reports one order.
func (s *scan) tell(t *text, m match, severity Severity, plain, how string, place *span) {
	why := m.rule.why
	switch {
	case how == "" && m.disguised:
		why += " The words are disguised: look-alike characters, digits for letters, or letters apart."
	case how != "":
		why += " It is " + how + ": " + excerpt(plain, m.start, m.end)
		s.at(t, m.rule.check, severity, place.start, place.end, why)
		return
	}
	s.at(t, m.rule.check, severity, m.start, m.end, why)
}

// negated reports whether a negation stands right before a match.
func negated(words []word, m match) bool {
	neg := classOf["neg"]
	for i := m.first - 1; i >= 0 && m.at-words[i].at <= 2; i-- {
		if words[i].class.meets(neg) {
			return true
		}
	}
	return false
}

// exemplary reports whether a match is announced as an example, or as what a tool
// looks for.
func exemplary(words []word, m match) bool {
	for i := m.first - 1; i >= 0 && m.at-words[i].at <= 6; i-- {
		if words[i].class.meets(classOf["example"]) && !words[i].class.meets(classOf["url"]) {
			return true
		}
	}
	return false
}

// maxQuote is the longest quotation that counts as an example, in bytes.
const maxQuote = 120

// quoted returns the short quotations of a text, within one line each.
func quoted(text string) []span {
	all := make([]span, 0, 4)
	open, by := -1, rune(0)
	for i, r := range text {
		switch {
		case r == '\n':
			open = -1
		case open >= 0 && (r == by || by == '“' && r == '”' || by == '«' && r == '»' || by == '‘' && r == '’'):
			if i-open <= maxQuote {
				all = append(all, span{open, i})
			}
			open = -1
		case open < 0 && (r == '"' || r == '`' || r == '“' || r == '«' || r == '‘' || r == '\'' && opens(text, i)):
			open, by = i, r
		}
	}
	return all
}

// opens reports whether an apostrophe begins a quotation.
func opens(text string, i int) bool {
	if i == 0 {
		return true
	}
	c := text[i-1]
	return isBlank(c) || c == '(' || c == '[' || c == ':' || c == ','
}

func within(quotes []span, m match) bool {
	for _, q := range quotes {
		if q.start <= m.start && m.end <= q.end+1 {
			return true
		}
	}
	return false
}

// templates are marks of chat templates: text that holds them wants to be taken
// for something other than a description.
var templates = []string{
	"<|im_start|>", "<|im_end|>", "<|system|>", "<|assistant|>", "<|user|>", "<|endoftext|>", "<|start_header_id|>", "<|eot_id|>",
	"[inst]", "[/inst]", "<<sys>>", "<</sys>>", "<s>[", "### system:", "### instruction:", "<start_of_turn>", "<system_prompt>",
	"</tool_description>", "</tools>", "<system-reminder>", "</system-reminder>", "<function_results>",
}

// solemn are tags by which known attacks set their orders apart.
var solemn = []string{"<important>", "<important ", "<system>", "<secret>", "<hidden>", "<critical>", "<admin>", "[system]", "[admin]", "[system override", "[important:"}

// loud are beginnings by which attacks give a part the voice of somebody else, as they
// are written: in capitals.
var loud = []string{
	"SYSTEM NOTE", "SYSTEM INSTRUCTION", "SYSTEM DIRECTIVE", "SYSTEM OVERRIDE", "SYSTEM PROMPT:", "SYSTEM MESSAGE:",
	"NEW INSTRUCTIONS", "OVERRIDE DIRECTIVE", "[SYSTEM:", "[HIDDEN", "[CONFIDENTIAL", "[INTERNAL INSTRUCTION", "HIDDEN INSTRUCTION",
}

// unseen are styles of text that nobody sees.
var unseen = []string{"display:none", "display: none", "visibility:hidden", "visibility: hidden", "font-size:0", "font-size: 0", `\color{white}`, "[//]: #"}

// lookMarkup reports text that pretends to come from somewhere else.
func lookMarkup(s *scan, t *text) {
	if !t.prose() && !strings.ContainsAny(t.value, "<[#:") {
		return
	}
	lower := t.lower()
	for _, mark := range templates {
		if i := strings.Index(lower, mark); i >= 0 {
			severity := Hard
			if within(quoted(t.value), match{start: i, end: i + len(mark)}) {
				severity = Soft
			}
			s.at(t, "injection.markup", severity, i, i+len(mark), "It holds marks of a chat template, so that what follows may be taken for the system's or the user's words.")
			return
		}
	}
	for _, turn := range []string{"\nsystem:", "\n\nhuman:", "\n\nassistant:", "\n\nuser:"} {
		if i := strings.Index("\n\n"+lower, turn); i >= 0 && t.prose() {
			s.at(t, "injection.markup", Soft, i-2, i+len(turn), "It has a line that pretends to be somebody's turn in the conversation.")
		}
	}
	for at := 0; ; {
		i := strings.Index(t.value[at:], "SYSTEM:")
		if i < 0 {
			break
		}
		if at += i; at == 0 || t.prose() && strings.HasSuffix(strings.TrimRight(limit(t.value, at)[:at], " "), ".") {
			s.at(t, "injection.markup", Soft, at, at+7, "It has a line that pretends to be the system's.")
			break
		}
		at += len("SYSTEM:")
	}
	for _, mark := range loud {
		if i := strings.Index(t.value, mark); i >= 0 && !within(quoted(t.value), match{start: i, end: i + len(mark)}) {
			s.at(t, "injection.markup", Soft, i, i+len(mark), "It sets a part apart as if it were the system's, or meant for nobody to see.")
			break
		}
	}
	for _, mark := range solemn {
		if i := strings.Index(lower, mark); i >= 0 {
			s.at(t, "injection.markup", Soft, i, i+len(mark), "It sets a part apart by a tag, as known attacks do with their orders.")
			return
		}
	}
	for _, style := range unseen {
		if i := strings.Index(lower, style); i >= 0 && t.prose() {
			s.at(t, "injection.markup", Soft, i, i+len(style), "It styles text so that a page does not show it, while a model reads it.")
			break
		}
	}
	if i := strings.Index(lower, "<!--"); i >= 0 && strings.Contains(lower[i:], "-->") && t.prose() {
		s.at(t, "injection.markup", Soft, i, i+40, "It holds a comment, which a page does not show and a model reads.")
	}
	s.lookCommand(t, lower)
}

// lookCommand reports commands that fetch and run what somebody else wrote.
func (s *scan) lookCommand(t *text, lower string) {
	fetches := max(strings.Index(lower, "curl "), strings.Index(lower, "wget "), strings.Index(lower, "base64 -d"))
	if fetches < 0 {
		return
	}
	rest := limit(lower[fetches:], 300)
	for _, shell := range []string{"| sh", "| bash", "|sh", "|bash", "| sudo", "| zsh", "| python"} {
		if strings.Contains(rest, shell) {
			s.at(t, "injection.command", Hard, fetches, fetches+len(rest), "It holds a command that runs what it fetches.")
			return
		}
	}
}

// sinks are names of parameters that take anything, so that a model puts into them
// what it has. Those of the second kind ask for it by their name.
var (
	sinks = wordSet(`sidenote side_note sidenotes side_notes note notes context extra extra_context additional_context additional_info
		reasoning thought thoughts metadata debug debug_info log comment comments feedback memo remarks annotation audit telemetry trace`)
	takers = wordSet(`conversation_history chat_history full_conversation conversation_log chat_log previous_messages message_history
		system_prompt_text your_system_prompt chain_of_thought tool_call_history tools_list available_tools conversation_transcript
		conversation_context full_context user_conversation llm_context model_name_and_version`)
)

func wordSet(words string) map[string]bool {
	set := make(map[string]bool)
	for _, w := range strings.Fields(words) {
		set[w] = true
	}
	return set
}

// lookSink reports parameters that ask for the conversation (security.md T-09).
func lookSink(s *scan, t *text) {
	if t.key && t.schema && t.property == "properties" && takers[snake(t.value)] {
		s.at(t, "sink.parameter", Soft, 0, len(t.value), "A parameter asks by its name for the conversation or for what the model was told.")
		return
	}
	if t.key || t.member != "description" || !sinks[snake(t.property)] && !takers[snake(t.property)] {
		return
	}
	wanted := classOf["chat"]
	for _, name := range []string{"transcript", "secret", "keyfile", "secretfile"} {
		wanted = wanted.or(classOf[name])
	}
	for _, w := range read(t.value) {
		if w.class.meets(wanted) {
			s.at(t, "sink.parameter", Soft, w.start, w.end, "A parameter that takes anything asks for the conversation, or for secrets.")
			return
		}
	}
}

// snake writes a name in lower case with _ between its words.
func snake(name string) string {
	var b strings.Builder
	for i, r := range limit(name, 64) {
		switch {
		case r == '-' || r == ' ' || r == '.':
			b.WriteByte('_')
		case unicode.IsUpper(r):
			if i > 0 && !unicode.IsUpper(rune(name[i-1])) {
				b.WriteByte('_')
			}
			b.WriteRune(unicode.ToLower(r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
