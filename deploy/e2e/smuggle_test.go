package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/mcp"
)

// smuggled is a message that may say different things to different parsers.
type smuggled struct {
	what   []string // how it was made
	route  string   // of the endpoint: "" or "/raw"
	era    string   // protocol version
	method string
	body   []byte
	inner  []byte // the message within a batch; else body
	header []string
}

// smuggler makes messages from a seed. Each is a call that policy allows, changed
// in one to three ways; many changes hide a call that it forbids.
type smuggler struct{ *rand.Rand }

func (s smuggler) pick(of ...string) string { return of[s.IntN(len(of))] }

// node is a JSON value that is written as it stands: it may be no JSON at all.
type node struct {
	open    string // "{", "[", or "" for a token
	token   string
	members []member
}

type member struct {
	key   string // with its quotes; empty in an array
	value *node
}

func token(text string) *node { return &node{token: text} }

func parseNode(text string) *node {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	return readNode(d)
}

func readNode(d *json.Decoder) *node {
	t, err := d.Token()
	if err != nil {
		panic(err)
	}
	delim, ok := t.(json.Delim)
	if !ok {
		text, _ := json.Marshal(t)
		return token(string(text))
	}
	n := &node{open: delim.String()}
	for d.More() {
		var key string
		if n.open == "{" {
			name, _ := d.Token()
			quoted, _ := json.Marshal(name)
			key = string(quoted)
		}
		n.members = append(n.members, member{key, readNode(d)})
	}
	_, _ = d.Token() // The closing one; More has seen it.
	return n
}

// text writes the value with blanks between its tokens.
func (n *node) text(b *bytes.Buffer, blank func() string) {
	if n.open == "" {
		b.WriteString(n.token)
		return
	}
	b.WriteString(n.open)
	for i, m := range n.members {
		if i > 0 {
			b.WriteString("," + blank())
		}
		if n.open == "{" {
			b.WriteString(m.key + blank() + ":")
		}
		b.WriteString(blank())
		m.value.text(b, blank)
	}
	b.WriteString(blank() + map[string]string{"{": "}", "[": "]"}[n.open])
}

// objects returns all objects of the value, outermost first.
func (n *node) objects() (all []*node) {
	if n.open == "{" {
		all = append(all, n)
	}
	for _, m := range n.members {
		all = append(all, m.value.objects()...)
	}
	return all
}

// child returns the value of a member; nil if there is none, as of nil.
func (n *node) child(key string) *node {
	if n == nil {
		return nil
	}
	for _, m := range n.members {
		if m.key == `"`+key+`"` {
			return m.value
		}
	}
	return nil
}

func (n *node) insert(at int, m member) { n.members = slices.Insert(n.members, at, m) }

// evil are values for a member, by its key: what the sender would like to be done.
func (s smuggler) evil(key string) *node {
	switch strings.ToLower(strings.Trim(key, `"`)) {
	case "name":
		return token(s.pick(`"new__wipe"`, `"wipe"`))
	case "uri":
		return token(s.pick(`"old+test://wipe/a"`, `"test://wipe/a"`))
	case "method":
		return token(s.pick(`"tools/call"`, `"prompts/get"`, `"ping"`, `"notifications/cancelled"`))
	case "params":
		return parseNode(`{"name":"wipe","uri":"test://wipe/a","arguments":{"evil":true}}`)
	case "arguments":
		return parseNode(`{"evil":true}`)
	case "id":
		return token(s.pick(`2`, `"x"`, `null`, `1.5`))
	case "jsonrpc":
		return token(s.pick(`"1.0"`, `"2.0"`))
	}
	return token(s.pick(`true`, `"evil"`, `{}`, `[1]`, `null`))
}

// escaped spells one character of a key with an escape.
func (s smuggler) escaped(key string) string {
	inside := strings.Trim(key, `"`)
	if inside == "" || strings.ContainsAny(inside, `\`) {
		return `"\u0061"`
	}
	i := s.IntN(len(inside))
	return fmt.Sprintf(`"%s\u%04x%s"`, inside[:i], inside[i], inside[i+1:])
}

// looksLike writes a key so that a parser that folds case, or a person, takes it
// for the same.
func (s smuggler) looksLike(key string) string {
	inside := strings.Trim(key, `"`)
	return `"` + s.pick(
		strings.ToUpper(inside), strings.ToUpper(inside[:min(1, len(inside))])+inside[min(1, len(inside)):],
		strings.ReplaceAll(inside, "s", "ſ"), strings.ReplaceAll(inside, "k", "K"), strings.ReplaceAll(inside, "a", "а"),
		inside+`\u0000`, inside+" ", " "+inside, inside+"\u200b", strings.ReplaceAll(inside, "i", "ı"), inside+"\u0301") + `"`
}

// Changes of the tree. Each returns what it is called.
func (s smuggler) changeTree(root *node) string {
	objects := root.objects()
	o := objects[s.IntN(len(objects))]
	if s.IntN(2) == 0 { // Where it counts.
		o = objects[min(s.IntN(2), len(objects)-1)]
	}
	if len(o.members) == 0 {
		o.members = append(o.members, member{`"added"`, token("1")})
	}
	i := s.IntN(len(o.members))
	m := o.members[i]
	at := s.IntN(len(o.members) + 1)
	kind := s.pick("duplicate", "escaped duplicate", "escaped key", "look-alike beside", "look-alike instead", "token", "deep", "more", "more", "more", "more", "order", "order", "spelling", "spelling", "arguments", "arguments")
	switch kind {
	case "duplicate":
		o.insert(at, member{m.key, s.evil(m.key)})
	case "escaped duplicate":
		o.insert(at, member{s.escaped(m.key), s.evil(m.key)})
	case "escaped key":
		o.members[i].key = s.escaped(m.key)
	case "look-alike beside":
		o.insert(at, member{s.looksLike(m.key), s.evil(m.key)})
	case "look-alike instead":
		o.members[i].key = s.looksLike(m.key)
	case "token":
		o.members[i].value = token(s.oddToken())
	case "deep":
		depth := []int{3, 60, 120, 126, 127, 128, 129, 130, 1200}[s.IntN(9)]
		o.insert(at, member{`"deep"`, token(strings.Repeat(s.pick("[", `{"x":[`), depth))})
		last := o.members[at].value
		last.token += closing(last.token)
	case "more":
		o.insert(at, member{fmt.Sprintf("%q", s.pick("unknown", "Name2", "x-y", "ünï", "__proto__", "constructor", "0", "1", "")), token(s.oddValue())})
	case "order":
		s.Shuffle(len(o.members), func(i, j int) { o.members[i], o.members[j] = o.members[j], o.members[i] })
	case "spelling":
		s.respell(root)
	case "arguments":
		if a := root.child("params").child("arguments"); a != nil {
			a.insert(0, member{fmt.Sprintf("%q", s.pick("a", "NAME", "name", "ß", "日本", "__proto__", "toString", "10", "9")), token(s.oddValue())})
		}
	}
	return kind
}

// closing returns what closes a nest of arrays and objects.
func closing(open string) string {
	var b strings.Builder
	for _, c := range slices.Backward([]byte(open)) {
		switch c {
		case '[':
			b.WriteByte(']')
		case '{':
			b.WriteByte('}')
		}
	}
	return b.String()
}

// respell spells characters of the name or the URI, which are values, with escapes.
func (s smuggler) respell(root *node) {
	params := root.child("params")
	for _, key := range []string{"name", "uri"} {
		if n := params.child(key); n != nil && strings.HasPrefix(n.token, `"`) && len(n.token) > 2 && !strings.Contains(n.token, `\`) {
			i := 1 + s.IntN(len(n.token)-2)
			format := s.pick(`%s\u%04x%s`, `%s\u%04X%s`)
			n.token = fmt.Sprintf(format, n.token[:i], n.token[i], n.token[i+1:])
		}
	}
}

// oddValue is JSON that each parser reads, if with care.
func (s smuggler) oddValue() string {
	return s.pick(`12345678901234567890`, `-0`, `-0.0`, `1.10`, `1E400`, `-1e999`, `1e-400`, `9007199254740993`, `0.1000000000000000055511151231257827`, `1E+2`,
		`5e-324`, `2.4703282292062328e-324`, `1.7976931348623159e308`, strings.Repeat("9", 400), `"\u0000"`, `"\ud83d\ude00"`, `"\uD83D\uDE00😀"`, `"\/\b\f\n\r\t"`, `"'"`, `"// /* */"`,
		"\"\u2028\u2029\"", `"\uFEFF"`, "\"\ufeff\"", `"\u202e"`, "\"\x7f\"", `[[],{},[{}]]`, `{"a":{"a":{"a":1}}}`, `{"A":1,"a":2}`, `{"":0}`, `null`, `[true,false,null]`, `"é"`, `"e\u0301"`, `"NaN"`, `"\\u0000"`, `"\\"`)
}

// oddToken is what a lenient parser may take, or what is read in two ways.
func (s smuggler) oddToken() string {
	return s.pick(`NaN`, `Infinity`, `-Infinity`, `01`, `-01`, `0x10`, `+1`, `.5`, `1.`, `1e`, `1_000`, `'single'`, `undefined`, `True`, `None`, `"\ud800"`, `"\udc00\ud800"`, `"\ud800x"`,
		`"\x41"`, `"\u00zz"`, "\"\n\"", "\"\x00\"", "\"\t\"", "\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", `"\'"`, `"open`, `{"a":1,"a":2}`, `{"a":{"b":1,"\u0062":2}}`, `[1,]`, `{"a":1,}`, `{a:1}`, ``, `1 2`, `1e1000000`, `tru`, `"a" "b"`, `1/*c*/`, "1//c\n")
}

// blanks returns what stands between tokens.
func (s smuggler) blanks() (func() string, string) {
	switch s.IntN(12) {
	case 0, 1:
		return func() string { return s.pick("", " ", "\n", "\t", "\r\n", "  \r") }, "white space"
	case 2:
		odd := s.pick("\u00a0", "\u2028", "\ufeff", "\v", "\f", "\x00", "/**/", "//\n", "#\n", "\u0085", "\x1e")
		left := 1 + s.IntN(6)
		return func() string {
			if left--; left == 0 {
				return odd
			}
			return ""
		}, "odd white space"
	}
	return func() string { return "" }, ""
}

// around changes the bytes of the whole.
func (s smuggler) around(m *smuggled) {
	switch kind := s.IntN(40); kind {
	case 0:
		m.body, m.inner = append([]byte("\xef\xbb\xbf"), m.body...), nil
		m.what = append(m.what, "BOM")
	case 1, 2:
		m.body = append(m.body, s.pick("x", "\x00", "{}", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"wipe"}}`, ",", "]", "}", " null", "\n\n//x", "\x1a")...)
		m.what = append(m.what, "trailing")
	case 3:
		m.body = append(m.body, s.pick(" ", "\n", "\r\n\t ")...)
		m.what = append(m.what, "trailing blanks")
	case 4:
		m.body = bytes.Join([][]byte{[]byte(s.pick("[", " [ ", "[[", "[[[")), m.body, []byte(s.pick("]", " ] ", "]]", ",]"))}, nil)
		m.what = append(m.what, "batch")
	case 5:
		const wipe = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"new__wipe","arguments":{}}}`
		m.body = bytes.Join([][]byte{[]byte("["), m.body, []byte("," + s.pick(wipe, strings.ReplaceAll(wipe, "new__", "")) + "]")}, nil)
		m.what = append(m.what, "batch of two")
	case 6:
		if at := s.IntN(len(m.body)); at > 0 {
			m.body[at] ^= 1 << s.IntN(8)
			m.inner = slices.Clone(m.body)
			m.what = append(m.what, "bit")
		}
	case 7:
		wide := make([]byte, 0, 2*len(m.body))
		for _, c := range m.body {
			wide = append(wide, 0, c)
		}
		m.body, m.header = wide, append(m.header, "Content-Type", "", "Content-Type", s.pick("application/json; charset=utf-16", "application/json"))
		m.what = append(m.what, "UTF-16")
	case 8:
		m.header = append(m.header, "Content-Type", "", "Content-Type", s.pick("application/json; charset=latin1", "application/JSON", "application/json;charset=utf-8", "text/json"))
		m.what = append(m.what, "content type")
	}
}

// headers changes what a modern client repeats of the body; or adds the like to a
// legacy message, where it says nothing.
func (s smuggler) headers(m *smuggled) {
	if s.IntN(8) > 0 {
		return
	}
	m.what = append(m.what, "header")
	switch s.IntN(6) {
	case 0:
		m.header = append(m.header, "Mcp-Name", s.pick("new__wipe", "wipe", "test://wipe/a"))
	case 1:
		m.header = append(m.header, "Mcp-Name", "", "Mcp-Name", s.pick("new__wipe", "read"))
	case 2:
		m.header = append(m.header, "Mcp-Method", s.pick("tools/call", "ping", "tools/list"))
	case 3:
		if i := slices.Index(m.header, "Mcp-Name"); i >= 0 {
			m.header[i+1] = "=?base64?" + base64.StdEncoding.EncodeToString([]byte(m.header[i+1])) + "?="
		}
	case 4:
		m.header = append(m.header, "Mcp-Param-Evil", "1")
	case 5:
		m.header = append(m.header, "MCP-Protocol-Version", s.pick("2025-11-25", "2026-07-28"))
	}
}

var smugglerMethods = []struct{ method, member, value string }{
	{"tools/call", "name", "read"},
	{"prompts/get", "name", "greet"},
	{"resources/read", "uri", "test://a/b"},
	{"resources/read", "uri", "test://t/x y%20"},
}

func (s smuggler) next() *smuggled {
	of := smugglerMethods[s.IntN(len(smugglerMethods))]
	m := &smuggled{method: of.method, era: s.pick("2025-03-26", "2025-11-25", "2026-07-28", "2026-07-28"), route: s.pick("", "/old", "/new")}
	name := of.value
	if m.route == "" {
		name = s.pick("old", "new") + map[string]string{"name": "__", "uri": "+"}[of.member] + name
	}
	quoted, _ := json.Marshal(name)
	text := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,"params":{%q:%s`, s.pick("1", `"one"`, "-7"), of.method, of.member, quoted)
	if of.method != "resources/read" {
		text += `,"arguments":` + s.pick(`{}`, `{"a":"b"}`, `{"a":"b","c":"d"}`)
	}
	if m.era == "2026-07-28" {
		text += "," + modernMeta
		m.header = modernHeader(of.method, name)
	}
	root := parseNode(text + "}}")
	for range s.IntN(4) {
		m.what = append(m.what, s.changeTree(root))
	}
	blank, kind := s.blanks()
	if kind != "" {
		m.what = append(m.what, kind)
	}
	var b bytes.Buffer
	root.text(&b, blank)
	m.body, m.inner = b.Bytes(), slices.Clone(b.Bytes())
	s.around(m)
	s.headers(m)
	return m
}

const smugglerPolicy = `
rules:
  - {name: no-wiping, effect: deny, priority: 10, tools: ["*/wipe"], prompts: ["*/wipe"], resources: ["*/test://wipe/*"]}
  - {name: no-evil, effect: deny, priority: 11, when: arguments.evil == true}
  - {name: saw-b, effect: allow, priority: 12, when: arguments.a == "b"}
  - {name: the-rest, effect: allow, priority: 20, tools: ["*"], prompts: ["*"], resources: ["*"]}
`

// What these two conditions are about, as canonical writes it: the members evil and a.
var (
	readsEvil = regexp.MustCompile(`[{,]"006500760069006c:true[,}]`)
	readsB    = regexp.MustCompile(`[{,]"0061:"0062[,}]`)
)

// A seed that found something is kept by being another one here.
var smugglerSeeds = [2]uint64{20260728, 34}

// TestP12T34WhatIsForwardedIsReadByAllAsItWasAuthorised holds P-12 and T-34: of
// thousands of messages that are made to be read in two ways, those that Warder
// forwards are read alike, in method, name, URI and arguments, by the decision, the
// Go SDK, Node and Python; that what they read in the arguments is what conditions
// saw in them; and what is denied is read by nobody.
func TestP12T34WhatIsForwardedIsReadByAllAsItWasAuthorised(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t)
	r := &smuggling{world: &world{gateway: g}, sessions: map[string]string{}, servers: map[string]*raw{
		"old": startRaw(t, false, nil), "new": startRaw(t, true, nil),
	}}
	for slug, server := range r.servers {
		serverAdd(t, g, slug, server.url)
	}
	admin(t, g.dataDir, "user", "create", "ana", "--role", "owner")
	if applied := command(t, g.dataDir, smugglerPolicy, "policy", "apply", "-f", "-"); applied.code != 0 {
		t.Fatal(applied.stderr)
	}
	r.key = r.world.key(t, "smuggler")
	r.world.settled(t, r.key)
	for _, route := range []string{"", "/old", "/new"} {
		for _, version := range []string{"2025-03-26", "2025-11-25"} {
			r.sessions[route+version] = openVersion(t, g.mcp+route, r.key, version, "{}")
		}
	}
	for _, server := range r.servers {
		server.take()
	}
	s := smuggler{rand.New(rand.NewPCG(smugglerSeeds[0], smugglerSeeds[1]))}
	calls := numberFrom(t, "WARDER_SMUGGLED_CALLS", 4000)
	for range calls {
		r.send(t, s.next())
	}
	r.check(t, calls)
}

// smuggling is a run of the test.
type smuggling struct {
	world     *world
	key       string
	servers   map[string]*raw
	sessions  map[string]string // by route and version
	refused   int
	forwarded []*forwarded
}

// forwarded is a message that reached its server.
type forwarded struct {
	*smuggled
	got *message
}

// trace returns the trace id that the message came with; "" if there is none.
func (f *forwarded) trace() string {
	if parts := strings.Split(f.got.header.Get("Traceparent"), "-"); len(parts) == 4 {
		return parts[1]
	}
	return ""
}

func (r *smuggling) send(t *testing.T, m *smuggled) {
	t.Helper()
	header := m.header
	if session, legacy := r.sessions[m.route+m.era]; legacy {
		header = append([]string{"Mcp-Session-Id", session}, header...)
	}
	status, body, _ := send(t, r.world.mcp+m.route, r.key, string(m.body), header...)
	if status >= http.StatusInternalServerError {
		t.Errorf("%v: %d %s\n%q", m.what, status, body, m.body)
	}
	reached := false
	for _, server := range r.servers {
		for _, got := range server.take() {
			if got.Method != "notifications/initialized" { // Of a handshake.
				r.forwarded, reached = append(r.forwarded, &forwarded{m, got}), true
			}
		}
	}
	if !reached {
		r.refused++
	}
}

// check compares what the parsers read with what the decision saw.
func (r *smuggling) check(t *testing.T, calls int) {
	t.Helper()
	if len(r.forwarded) < calls/5 || r.refused < calls/5 {
		t.Errorf("%d messages were forwarded and %d not: that holds too little", len(r.forwarded), r.refused)
	}
	decided := r.decisions(t)
	readers := []*reader{startReader(t, "Node", "node", "read.mjs"), startReader(t, "Python", "python3", "read.py")}
	sdk, sdkRead, disagreements, conditional := newSDKReader(), 0, 0, 0
	complain := func(f *forwarded, who, read, want string) {
		if disagreements++; disagreements <= 10 {
			t.Errorf("%v (%s, %s): %s reads\n%s\nand the decision was about\n%s\nsent      %q\nforwarded %q", f.what, f.era, f.route, who, read, want, f.body, f.got.body)
		}
	}
	for _, f := range r.forwarded {
		want, err := authorised(f, decided)
		if err != nil {
			complain(f, "nobody", err.Error(), "")
			continue
		}
		rule, _ := decided[f.trace()]["rule"].(string)
		if rule == "saw-b" {
			conditional++
		}
		for _, reader := range readers {
			read := reader.read(t, f.got)
			if read != want {
				complain(f, reader.name, read, want)
			}
			if readsEvil.MatchString(read) || readsB.MatchString(read) != (rule == "saw-b") {
				complain(f, reader.name, read, "what the condition of rule "+rule+" saw")
			}
		}
		// The SDK refuses what does not fit its types; what it takes, it must take alike.
		read := sdk.read(t, f.got)
		if strings.HasPrefix(read, "error ") {
			continue
		}
		// Arguments of a prompt are strings; what is null instead, the SDK reads as none.
		if m := f.got.Method; m == "prompts/get" {
			want = strings.ReplaceAll(want, ":null", `:"`)
		}
		if sdkRead++; read != want {
			complain(f, "the Go SDK", read, want)
		}
	}
	if sdkRead < len(r.forwarded)/2 {
		t.Errorf("the Go SDK read only %d of %d messages", sdkRead, len(r.forwarded))
	}
	if conditional < len(r.forwarded)/10 || conditional > len(r.forwarded)*9/10 {
		t.Errorf("a condition on arguments let %d of %d messages through: that holds too little", conditional, len(r.forwarded))
	}
	t.Logf("%d messages: %d forwarded, %d of them by a condition, %d refused, %d read by the Go SDK, %d disagreements", calls, len(r.forwarded), conditional, r.refused, sdkRead, disagreements)
}

// decisions returns what was decided to be allowed, by trace. A message without a
// decision is for the caller to complain of.
func (r *smuggling) decisions(t *testing.T) map[string]object {
	t.Helper()
	decided := map[string]object{}
	for deadline := time.Now().Add(within / 2); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		list, _ := admin(t, r.world.dataDir, "audit", "list", "--application", "smuggler", "--decision", "allow", "--limit", "100000")["calls"].([]any)
		for _, c := range list {
			if c.(object)["method"] != "initialize" {
				decided[c.(object)["traceId"].(string)] = c.(object)
			}
		}
		if len(decided) >= len(r.forwarded) {
			break
		}
	}
	return decided
}

// authorised is the reading that was authorised: method, name and URI of the
// decision, and the arguments as our own scanner found them.
func authorised(f *forwarded, decided map[string]object) (string, error) {
	var request mcp.Request
	if err := mcp.ScanRequest(f.inner, mcp.Limits{}, &request); err != nil {
		return "", fmt.Errorf("the scanner refuses it: %w", err)
	}
	arguments := request.Arguments.Of(f.inner)
	if !bytes.Contains(f.got.body, arguments) {
		return "", fmt.Errorf("its arguments are not forwarded as they were sent")
	}
	if request.Arguments.Empty() {
		arguments = nil
	}
	read, err := canonical(arguments)
	if err != nil {
		return "", fmt.Errorf("its arguments are no JSON: %w", err)
	}
	call := decided[f.trace()]
	if call == nil {
		return "", fmt.Errorf("no decision has the trace %q", f.trace())
	}
	name, uri := "-", "-"
	if call["method"] == "resources/read" {
		uri = canonicalText(call["tool"].(string))
	} else {
		name = canonicalText(call["tool"].(string))
	}
	if strings.Contains(call["tool"].(string), "wipe") {
		return "", fmt.Errorf("it is about what is denied")
	}
	return strings.Join([]string{canonicalText(call["method"].(string)), name, uri, read}, " "), nil
}
