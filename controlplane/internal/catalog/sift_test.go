package catalog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/internal/mcp"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// definition returns a plain definition of this name.
func definition(name string) []byte {
	return fmt.Appendf(nil, `{"name":%s,"inputSchema":{"type":"object"}}`, mcp.AppendString(nil, name))
}

func definitions(names ...string) (raw [][]byte) {
	for _, name := range names {
		raw = append(raw, definition(name))
	}
	return raw
}

// listingOf returns how a kind is listed.
func listingOf(kind Kind) *listing {
	for i := range listings {
		if listings[i].kind == kind {
			return &listings[i]
		}
	}
	return nil
}

func TestSiftKeepsBytesOrderAndHash(t *testing.T) {
	sent := []byte(`{ "z":1.10, "inputSchema":{"type":"object"}, "name":"delete_repo", "_meta":{"x":9007199254740993} }`)
	tools, refused := sift("github", listingOf(Tool), [][]byte{definition("list_repos"), sent}, 1<<10)
	if len(refused) != 0 || len(tools) != 2 {
		t.Fatalf("tools %v, refused %v", tools, refused)
	}
	hash, err := mcp.DefinitionHash(sent)
	if err != nil {
		t.Fatal(err)
	}
	want := Entry{
		Kind: Tool, Name: "delete_repo", ExposedName: "github__delete_repo", Definition: sent, Hash: hash,
		Risk: snapshotv1.Risk_RISK_DESTRUCTIVE, Position: 1,
	}
	if diff := cmp.Diff(want, tools[1]); diff != "" {
		t.Fatal(diff)
	}
}

func TestSiftRefuses(t *testing.T) {
	schema := `"inputSchema":{"type":"object"}`
	for _, c := range []struct {
		name   string
		raw    [][]byte
		kept   []string
		refuse string // the only refusal, or its beginning
		count  int
	}{
		{"a string", [][]byte{[]byte(`"x"`)}, nil, "#1: its definition is not a JSON object", 1},
		{"an array", [][]byte{[]byte(`[1]`)}, nil, "#1: its definition is not a JSON object", 1},
		{"null", [][]byte{[]byte(`null`)}, nil, "#1: its definition is not a JSON object", 1},
		{"duplicate members", [][]byte{[]byte(`{"name":"a","name":"b",` + schema + `}`)}, nil, "#1: its definition is not a JSON object", 1},
		{"no name", [][]byte{[]byte(`{` + schema + `}`)}, nil, "#1: it has no name", 1},
		{"a number for a name", [][]byte{definition("ok"), []byte(`{"name":1,` + schema + `}`)}, []string{"ok"}, "#2: it has no name", 1},
		{"an empty name", definitions(""), nil, "#1: its name is not", 1},
		{"an overlong name", definitions(strings.Repeat("a", 129)), nil, strings.Repeat("a", 61) + "...: its name is not", 1},
		{"T-06 Cyrillic", definitions("gеt_user"), nil, `g\u0435t_user: its name is not`, 1},
		{"T-06 long s", definitions("get_uſer"), nil, `get_u\u017fer: its name is not`, 1},
		{"T-06 fullwidth", definitions("ｇet"), nil, `\uff47et: its name is not`, 1},
		{"T-06 zero width", definitions("get\u200b"), nil, `get\u200b: its name is not`, 1},
		{"T-06 tag", definitions("get\U000e0041"), nil, `get\U000e0041: its name is not`, 1},
		{"a slash", definitions("a/b"), nil, "a/b: its name is not", 1},
		{"a space", definitions("a b"), nil, "a b: its name is not", 1},
		{"a control byte", definitions("a\x1b[31m"), nil, `a\u001b[31m: its name is not`, 1},
		{"the same name twice", definitions("a", "b", "a"), []string{"b"}, "a: the server offers more than one", 2},
		{"T-05 other case", definitions("getUser", "GetUser", "x"), []string{"getUser", "x"}, "GetUser: its name looks like", 1},
		{"T-05 other separator", definitions("get_user", "get-user"), []string{"get_user"}, "get-user: its name looks like", 1},
		{"T-05 dot", definitions("get_user", "get.user"), []string{"get_user"}, "get.user: its name looks like", 1},
		{"no schema", [][]byte{[]byte(`{"name":"a"}`)}, nil, "a: its inputSchema is not", 1},
		{"a schema that is true", [][]byte{[]byte(`{"name":"a","inputSchema":true}`)}, nil, "a: its inputSchema is not", 1},
		{"P-12 an argument in two headers", [][]byte{[]byte(`{"name":"a","inputSchema":{"type":"object","properties":{"x":{"type":"string","x-mcp-header":"a b"}}}}`)}, nil, "a: it sends arguments in headers", 1},
		{"a huge definition", [][]byte{[]byte(`{"name":"a",` + schema + `,"description":"` + strings.Repeat("x", 2<<10) + `"}`)}, nil, "a: its definition has more than 1 KiB", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			tools, refused := sift("s", listingOf(Tool), c.raw, 1<<10)
			var kept []string
			for _, tool := range tools {
				kept = append(kept, tool.Name)
			}
			if diff := cmp.Diff(c.kept, kept); diff != "" {
				t.Error(diff)
			}
			if len(refused) != c.count {
				t.Fatalf("refused %v, want %d", refused, c.count)
			}
			if got := refused[0].Name + ": " + refused[0].Reason; !strings.HasPrefix(got, c.refuse) {
				t.Errorf("refused %q, want %q", got, c.refuse)
			}
		})
	}
}

func TestSiftAcceptsTheWholeAllowList(t *testing.T) {
	names := []string{"a", "A.b-c_D9", strings.Repeat("x", 128), "0"}
	tools, refused := sift("s", listingOf(Tool), definitions(names...), 1<<10)
	if len(tools) != len(names) || len(refused) != 0 {
		t.Fatalf("tools %d, refused %v", len(tools), refused)
	}
	for _, tool := range tools {
		if len(tool.ExposedName) > 64 {
			t.Errorf("%s is exposed as %s", tool.Name, tool.ExposedName)
		}
	}
}

// of returns definitions of a kind, by the member that names them.
func of(kind Kind, names ...string) (raw [][]byte) {
	for _, name := range names {
		raw = append(raw, fmt.Appendf(nil, `{"title":"x",%q:%s}`, listingOf(kind).key, mcp.AppendString(nil, name)))
	}
	return raw
}

func TestSiftByKind(t *testing.T) {
	for _, c := range []struct {
		name   string
		kind   Kind
		raw    [][]byte
		kept   []string
		refuse string // the only refusal, or its beginning; empty: none
	}{
		{"a prompt with spaces and slashes", Prompt, prompts("Code review/2"), []string{"Code review/2"}, ""},
		{"two prompts of a name", Prompt, append(prompts("a", "b"), prompts("a")...), []string{"b"}, "a: the server offers more than one prompt"},
		{"T-05 prompts alike", Prompt, prompts("get_user", "get-user"), []string{"get_user"}, "get-user: its name looks like that of another prompt"},
		{"T-06 a Cyrillic prompt", Prompt, prompts("g\u0435t"), nil, `g\u0435t: its name is not`},
		{"a prompt with a star", Prompt, prompts("a*"), nil, "a*: its name is not"},
		{"a prompt with space around it", Prompt, prompts(" a"), nil, " a: its name is not"},
		{"resources", Resource, of(Resource, "file:///a b", "file:///\u00fc?x=*", "test+x://y", "https://h/p"), []string{"file:///\u00fc?x=*", "test+x://y", "https://h/p"}, "file:///a b: its uri has spaces"},
		{"a resource listed twice", Resource, of(Resource, "a:1", "a:2", "a:1"), []string{"a:1", "a:2"}, "a:1: the server lists it more than once"},
		{"a relative resource", Resource, of(Resource, "docs/readme"), nil, "docs/readme: its uri is not an absolute"},
		{"a resource without a scheme", Resource, of(Resource, "1a://x"), nil, "1a://x: its uri is not an absolute"},
		{"T-06 a hidden character", Resource, of(Resource, "a://x\u200b"), nil, `a://x\u200b: its uri has spaces or characters`},
		{"a resource without a URI", Resource, [][]byte{[]byte(`{"name":"x"}`)}, nil, "#1: it has no uri"},
		{"a long URI", Resource, of(Resource, "a:"+strings.Repeat("x", maxURI)), nil, "a:xxx"},
		{"templates", Template, of(Template, "file:///{path*}", "a://{x}/{?q,r}"), []string{"file:///{path*}", "a://{x}/{?q,r}"}, ""},
		{"a broken template", Template, of(Template, "a://{x"), nil, "a://{x: its uriTemplate is not"},
		{"a template that is too much work", Template, of(Template, "a://{a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q}", "b://{x}"), []string{"b://{x}"},
			"a://{a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q}: its uriTemplate has more expressions, variables or prefixes than nodes can match"},
		{"an empty template", Template, of(Template, ""), nil, "#1: its uriTemplate is not"},
	} {
		t.Run(c.name, func(t *testing.T) {
			entries, refused := sift("s", listingOf(c.kind), c.raw, 1<<20)
			var kept []string
			for _, e := range entries {
				kept = append(kept, e.Name)
				if e.Kind != c.kind || e.Risk != snapshotv1.Risk_RISK_READ || (e.ExposedName != "") != c.kind.Exposed() {
					t.Errorf("entry %+v", e)
				}
			}
			if diff := cmp.Diff(c.kept, kept); diff != "" {
				t.Error(diff)
			}
			if c.refuse == "" {
				if len(refused) != 0 {
					t.Fatalf("refused %v", refused)
				}
				return
			}
			if len(refused) == 0 || !strings.HasPrefix(refused[0].Name+": "+refused[0].Reason, c.refuse) {
				t.Errorf("refused %v, want %q", refused, c.refuse)
			}
		})
	}
}

func TestTheTemplatesOfAServerAreBounded(t *testing.T) {
	var texts []string
	for i := range maxTemplates + 2 {
		texts = append(texts, fmt.Sprint("a://{x}/", i))
	}
	entries, refused := sift("s", listingOf(Template), of(Template, texts...), 1<<20)
	if len(entries) != maxTemplates || len(refused) != 2 || !strings.Contains(refused[0].Reason, "a server may have 500 templates") {
		t.Errorf("%d entries, refused %v", len(entries), refused)
	}
}

func prompts(names ...string) [][]byte { return of(Prompt, names...) }
