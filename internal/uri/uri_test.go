package uri_test

import (
	"strings"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/uri"
)

func TestCanonicalURIHasOneSpelling(t *testing.T) {
	for text, want := range map[string]bool{
		"file:///a/b":                          true,
		"file:///a/b.md":                       true,
		"file:///a/..b/.c/d..":                 true,
		"file:///a/...":                        true,
		"repo://Owner/name?ref=main#L10":       true,
		"test://template/123/data":             true,
		"urn:isbn:0451450523":                  true,
		"memo:":                                true,
		"svn+ssh://host/a":                     true,
		"ipp://[2001:db8::1]/a":                true,
		"file:///a%20b":                        true,
		"file:///a%2Fb":                        true,
		"file:///100%25":                       true,
		"file:///ü/日本":                         true,
		"file:///%C3%BC":                       true,
		"":                                     false,
		"no-scheme":                            false,
		"/file":                                false,
		":a":                                   false,
		"1x://a":                               false,
		"File:///a":                            false,
		"fi le:///a":                           false,
		"file:///a b":                          false,
		"file:///a\tb":                         false,
		"file:///a\x00":                        false,
		"file:///a\x7f":                        false,
		"file:///\xff":                         false,
		"file:///.":                            false,
		"file:///..":                           false,
		"file:///a/./b":                        false,
		"file:///a/../b":                       false,
		"file:///a/..?x":                       false,
		"file:///a/..#x":                       false,
		"file:///a/..;x/b":                     false,
		`file:///a\..\b`:                       false,
		"file:///a%2F..%2Fb":                   false,
		"file:///a%5C..%5Cb":                   false,
		"file:///a/%2E%2E/b":                   false,
		"file:///a/%2e%2e/b":                   false,
		"file:///a/.%2E/b":                     false,
		"file:///%61":                          false,
		"file:///%2f":                          false,
		"file:///%":                            false,
		"file:///%4":                           false,
		"file:///%zz":                          false,
		"file:///" + strings.Repeat("a", 8192): false,
		"https://a/b?next=/../c":               false,

		// What parsers of URLs read as another one (WHATWG), and what servers
		// read as the same file.
		`file:///secret\x`:                  false,
		"file:/secret/x":                    false,
		"file:secret":                       false,
		"file://localhost/secret/x":         false,
		"file://LOCALHOST/secret/x":         false,
		"file:////secret/x":                 false,
		"file:///secret//x":                 false,
		"file:///%2Fsecret/x":               false,
		"file:///secret/x?y":                false,
		"file:///secret/x#y":                false,
		"file:///secret/x%00.png":           false,
		"file:///secret/x%0A":               false,
		"file:///secret/%7F":                false,
		"file:///C|/secret":                 false,
		"file:///a{b}":                      false,
		"file:///a/%252E%252E/b":            false,
		"file://server/share/x":             true,
		"file:///":                          true,
		"x:///a//b":                         true,
		"proxy://fetch/https://example.org": true,
		"https:a/b":                         false,
		"https:/a/b":                        false,
		"https:///a/b":                      false,
		"https://A/b":                       false,
		"https://a:443/b":                   false,
		"https://a:/b":                      false,
		"https://a:0444/b":                  false,
		"https://u@a/b":                     false,
		"https://%61/b":                     false,
		"https://a./b":                      false,
		"https://0x7f.1/b":                  false,
		"https://2130706433/b":              false,
		"https://127.0.0.1/b":               true,
		"https://127.0.0.01/b":              false,
		"https://[::1]/b":                   true,
		"https://[0::1]/b":                  false,
		"https://a:444/b?c=/d#e":            true,
		"https://a-b.c_d.example":           true,
		"http://a:443/b":                    true,
	} {
		if got := uri.Canonical(text); got != want {
			t.Errorf("%.60q: %v", text, got)
		}
	}
}

func TestFoldIsWhatALenientServerReads(t *testing.T) {
	for text, want := range map[string]string{
		"file:///a/b":       "file:///a/b",
		"file:///a/b/":      "file:///a/b",
		"doc://a%2Fb":       "doc://a/b",
		"doc://a%2fb%C3%BC": "doc://a/bü",
		"doc://a%252Fb":     "doc://a%2Fb",
		"doc://a#b?c":       "doc://a",
		"doc://a?":          "doc://a",
		"doc://a?b=c":       "doc://a?b=c",
		"doc://a%":          "doc://a%",
		"doc://a%4":         "doc://a%4",
		"doc://a%zz":        "doc://a%zz",
		"doc://a%23b":       "doc://a#b",
		"":                  "",
	} {
		if got := uri.Fold(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestTemplateMatchesWhatItExpandsTo(t *testing.T) {
	type matches struct{ yes, no []string }
	for text, want := range map[string]matches{
		// The examples of RFC 6570, sections 1.2 and 3.2, with var = value, hello =
		// Hello World!, path = /foo/bar, x = 1024, y = 768, list = (red, green, blue),
		// keys = (semi ";", dot ".", comma ",").
		"{var}":             {yes: []string{"value", ""}, no: []string{"a/b", "a?b", "a b"}},
		"{hello}":           {yes: []string{"Hello%20World%21", "Hello%20World!"}},
		"{+hello}":          {yes: []string{"Hello%20World!"}},
		"{+path}/here":      {yes: []string{"/foo/bar/here"}, no: []string{"/foo/bar/there"}},
		"here?ref={+path}":  {yes: []string{"here?ref=/foo/bar"}, no: []string{"hereXref=/foo/bar"}},
		"X{#var}":           {yes: []string{"X#value", "X"}, no: []string{"Xvalue"}},
		"X{#hello}":         {yes: []string{"X#Hello%20World!"}},
		"map?{x,y}":         {yes: []string{"map?1024,768", "map?768"}},
		"{x,hello,y}":       {yes: []string{"1024,Hello%20World%21,768"}},
		"{+x,hello,y}":      {yes: []string{"1024,Hello%20World!,768"}},
		"{+path,x}/here":    {yes: []string{"/foo/bar,1024/here"}},
		"{#x,hello,y}":      {yes: []string{"#1024,Hello%20World!,768"}},
		"X{.var}":           {yes: []string{"X.value", "X"}, no: []string{"Xvalue"}},
		"X{.x,y}":           {yes: []string{"X.1024.768", "X.768"}},
		"{/var}":            {yes: []string{"/value", ""}, no: []string{"value", "/a/b"}},
		"{/var,x}/here":     {yes: []string{"/value/1024/here", "/value/here"}, no: []string{"/a/b/c/here"}},
		"{;x,y}":            {yes: []string{";x=1024;y=768", ";y=768", ""}, no: []string{";z=1"}},
		"{;x,y,empty}":      {yes: []string{";x=1024;y=768;empty"}},
		"{?x,y}":            {yes: []string{"?x=1024&y=768", "?y=768", "?y=768&x=1024", ""}, no: []string{"?z=1", "?x=1024&z=1", "?x=1#a"}},
		"{?x,y,empty}":      {yes: []string{"?x=1024&y=768&empty="}},
		"?fixed=yes{&x}":    {yes: []string{"?fixed=yes&x=1024", "?fixed=yes"}, no: []string{"?fixed=no&x=1024", "?fixed=yes&y=1"}},
		"{&x,y,empty}":      {yes: []string{"&x=1024&y=768&empty="}},
		"{var:3}":           {yes: []string{"val", "v%C3%BCr"}, no: []string{"value"}},
		"{var:30}":          {yes: []string{"value"}},
		"{list}":            {yes: []string{"red,green,blue"}},
		"{list*}":           {yes: []string{"red,green,blue"}},
		"{keys}":            {yes: []string{"semi,%3B,dot,.,comma,%2C"}},
		"{keys*}":           {yes: []string{"semi=%3B,dot=.,comma=%2C"}},
		"{+path:6}/here":    {yes: []string{"/foo/b/here"}},
		"{+keys*}":          {yes: []string{"semi=;,dot=.,comma=,"}},
		"{#keys*}":          {yes: []string{"#semi=;,dot=.,comma=,"}},
		"X{.list*}":         {yes: []string{"X.red.green.blue"}},
		"X{.keys*}":         {yes: []string{"X.semi=%3B.dot=..comma=%2C"}},
		"{/list*,path:4}":   {yes: []string{"/red/green/blue/%2Ffoo"}},
		"{;keys*}":          {yes: []string{";semi=%3B;dot=.;comma=%2C"}},
		"{?keys*}":          {yes: []string{"?semi=%3B&dot=.&comma=%2C"}, no: []string{"semi=1"}},
		"{?x:2}":            {yes: []string{"?x=10"}},
		"{&keys*}":          {yes: []string{"&semi=%3B&dot=.&comma=%2C"}},
		"{a_b.c%20d-e,f:1}": {yes: []string{"x,y"}},

		// What servers make of it.
		"test://template/{id}/data":             {yes: []string{"test://template/123/data"}, no: []string{"test://template/1/2/data", "Test://template/123/data", "test://template/123/dataX"}},
		"files://{path*}":                       {yes: []string{"files://a/b/c"}, no: []string{"files://a?b"}},
		"repo://{owner}/{repo}/contents{/p*}":   {yes: []string{"repo://a/b/contents/x/y", "repo://a/b/contents"}, no: []string{"repo://a/contents/x"}},
		"mail://{address}":                      {yes: []string{"mail://ana@example.org", "mail://日本"}},
		"search://q{?query,limit}":              {yes: []string{"search://q?query=a+b&limit=3", "search://q?limit=a/b"}},
		"literal://only":                        {yes: []string{"literal://only"}, no: []string{"literal://only2", "literal://onl"}},
		"quoted://a.b+c(d)[e]$/{x}":             {yes: []string{"quoted://a.b+c(d)[e]$/1"}, no: []string{"quoted://aXb+c(d)[e]$/1"}},
		"long://{a}" + strings.Repeat("a", 100): {no: []string{"long://" + strings.Repeat("a", 10)}},
	} {
		template, err := uri.ParseTemplate(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for _, expansion := range want.yes {
			if !template.Matches(expansion) {
				t.Errorf("%s does not match %s", text, expansion)
			}
		}
		for _, other := range want.no {
			if template.Matches(other) {
				t.Errorf("%s matches %s", text, other)
			}
		}
	}
}

func TestTemplateThatTheRFCDoesNotKnowIsRefused(t *testing.T) {
	for _, text := range []string{
		"", "{", "a{b", "a}b", "{}", "{a,}", "{,a}", "{a b}", "{a:0}", "{a:10000}", "{a:x}", "{a:}", "{a:3*}", "{*}", "{+}",
		"{=a}", "{,a}", "{!a}", "{@a}", "{|a}", "{a{b}}", "{a~}", "a b", "a\nb", "a<b", "a\"b", "a\xffb",
		strings.Repeat("a", uri.MaxLength+1), strings.Repeat("{a}", 33), "{" + strings.Repeat("a,", 70) + "a}",
	} {
		if _, err := uri.ParseTemplate(text); !fault.Is(err, fault.Invalid) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

// A URI is a client's and a template a server's; neither may hold a node up.
func TestMatchingTakesTimeInProportionToTheURI(t *testing.T) {
	for _, text := range []string{strings.Repeat("{a*}", 16), strings.Repeat("{+a}a", 16), "{?a,b,c,d*}{&e*}", strings.Repeat("{a:64}", 16), strings.Repeat("{/a*}", 16)} {
		template, err := uri.ParseTemplate(text)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		template.Matches(strings.Repeat("a", uri.MaxLength-1) + " ")
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%.20s took %v", text, took)
		}
		if template.Matches(strings.Repeat("a", uri.MaxLength+1)) {
			t.Errorf("%.20s matches what is longer than any URI", text)
		}
	}
}

func FuzzTemplateIsTotal(f *testing.F) {
	f.Add("repo://{owner}/{repo}/contents{/path*}{?ref}", "repo://a/b/contents/c?ref=d")
	f.Add("x{#a:3}{+b}{&c*}{;d,e}{.f}", "x#abc")
	f.Fuzz(func(t *testing.T, text, name string) {
		template, err := uri.ParseTemplate(text)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("kind %v: %v", fault.KindOf(err), err)
			}
			return
		}
		literal, _, _ := strings.Cut(text, "{")
		if template.Matches(name) && !strings.HasPrefix(name, literal) {
			t.Fatalf("%q matches %q", text, name)
		}
		uri.Canonical(name)
		uri.Fold(name)
	})
}

func BenchmarkMatches(b *testing.B) {
	template, err := uri.ParseTemplate("repo://{owner}/{repo}/contents{/path*}")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !template.Matches("repo://acme/site/contents/docs/index.md") || !uri.Canonical("repo://acme/site/contents/docs/index.md") {
			b.Fatal("no match")
		}
	}
}
