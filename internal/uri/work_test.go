package uri

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// heavy are the templates that are the most work for their size among those that are taken.
var heavy = []string{
	strings.Repeat("{+a}", maxWeight) + "!", strings.Repeat("{a}", maxWeight) + "!", strings.Repeat("{a}", maxWeight/2) + "{a:16}!",
	"{a*" + strings.Repeat(",a*", maxWeight-1) + "}!", strings.Repeat("{&a*}", maxWeight/2) + "!", strings.Repeat("{?a*}", maxWeight/2) + "!",
}

// What a template weighs is bounded, and what it weighs says how long it takes: a server's templates, all together, hold a
// node up for no more than some milliseconds of each look-up.
func TestTheWorkOfALookUpIsBounded(t *testing.T) {
	for _, text := range heavy {
		template, err := ParseTemplate("x:" + text)
		if err != nil {
			t.Fatalf("%.40s: %v", text, err)
		}
		for _, fill := range []string{"a", "%41", "&a=", "=", "ü"} {
			uri := "x:" + strings.Repeat(fill, MaxLength/len(fill)/4) + "?!"
			looks := max(MaxWork/max(template.Work(uri), 1), 1)
			start := time.Now()
			for range looks {
				template.Matches(uri)
			}
			// A hundred times of what it takes on a quiet machine.
			if took := time.Since(start); took > 500*time.Millisecond {
				t.Errorf("%.20s: %d look-ups that are work enough for one take %v", text, looks, took)
			}
		}
	}
	for _, text := range []string{
		strings.Repeat("{+a}", maxWeight+1), strings.Repeat("{a}", maxWeight+1), strings.Repeat("{/a*}", maxWeight+1), strings.Repeat("{&a*}", maxWeight),
		strings.Repeat("{a}", maxWeight) + "{a:3}",
	} {
		if _, err := ParseTemplate(text); !errors.Is(err, ErrTooMuch) {
			t.Errorf("%.40s: %v", text, err)
		}
	}
	for _, text := range []string{"repo://{owner}/{repo}/refs/heads/{branch}/contents{/path*}{?a,b,c,d,e,f,g,h,i,j,k,l}{#x}", "{a:9999}"} {
		if _, err := ParseTemplate(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Literals that are not there cost nothing, and no match is lost by looking at them first.
func TestLiteralsTellMostTemplatesApart(t *testing.T) {
	template, err := ParseTemplate("repo://{owner}/{repo}/issues/{n}/x")
	if err != nil {
		t.Fatal(err)
	}
	for uri, want := range map[string]bool{
		"repo://a/b/issues/1/x": true, "repo://a/b/pulls/1/x": false, "repo://a/b/issues/1/y": false, "other://a/b/issues/1/x": false,
		"repo://a/issues/x": false, "repo:///x": false, "": false,
	} {
		if got := template.Work(uri) > 0; got != want {
			t.Errorf("%q: %v", uri, got)
		}
	}
	plain, err := ParseTemplate("a:b")
	if err != nil {
		t.Fatal(err)
	}
	if !plain.Matches("a:b") || plain.Work("a:bc") != 0 || plain.Work("a:") != 0 {
		t.Error("a template without an expression is not just its text")
	}
}

func FuzzNoMatchIsLostByLookingAtLiteralsFirst(f *testing.F) {
	f.Add("repo://{owner}/{repo}/contents{/path*}{?ref}", "repo://a/b/contents/c?ref=d")
	f.Add("x{#a:3}{+b}{&c*}y{;d,e}{.f}z", "x#abcyz")
	f.Add("{a}aa{b}a", "aaa")
	f.Fuzz(func(t *testing.T, text, uri string) {
		template, err := ParseTemplate(text)
		if err == nil && len(uri) <= MaxLength && template.pattern.MatchString(uri) && !template.Matches(uri) {
			t.Fatalf("%q names %q", text, uri)
		}
	})
}

func BenchmarkHeaviestMatch(b *testing.B) {
	template, err := ParseTemplate("x:" + heavy[0])
	if err != nil {
		b.Fatal(err)
	}
	uri := "x:" + strings.Repeat("a", MaxWork/maxWeight-4) + "?!"
	b.ReportMetric(float64(template.Work(uri))/MaxWork, "look-ups")
	for b.Loop() {
		template.Matches(uri)
	}
}
