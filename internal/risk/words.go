package risk

import (
	"strings"
	"unicode"

	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// words returns the words of a text in lower case, split where letters end, at
// digits, and where case changes: "deleteFile", "delete_file" and
// "HTTPDelete2" each hold a delete. A word is whole: "thread" holds no read.
func words(text string) []string {
	var out []string
	runes := []rune(text)
	start := -1
	for i, c := range runes {
		switch {
		case !unicode.IsLetter(c):
			out, start = cut(out, runes, start, i), -1
		case start < 0:
			start = i
		case begins(runes, i):
			out, start = cut(out, runes, start, i), i
		}
	}
	return cut(out, runes, start, len(runes))
}

// begins reports whether an upper-case letter at i begins a word: after a
// lower-case one, or as the last of several before a lower-case one.
func begins(runes []rune, i int) bool {
	if !unicode.IsUpper(runes[i]) {
		return false
	}
	return unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])
}

func cut(out []string, runes []rune, start, end int) []string {
	if start < 0 {
		return out
	}
	return append(out, strings.ToLower(string(runes[start:end])))
}

// stems returns a word and what it may be a form of: "deletes" and "deleting"
// of "delete", "copies" of "copy", "fetched" of "fetch".
func stems(word string) []string {
	out := []string{word}
	for _, ending := range [...]struct{ cut, add string }{
		{"s", ""}, {"es", ""}, {"ies", "y"}, {"ing", ""}, {"ing", "e"}, {"ed", ""}, {"ed", "e"},
	} {
		if stem, found := strings.CutSuffix(word, ending.cut); found && len(stem) > 1 {
			out = append(out, stem+ending.add)
		}
	}
	return out
}

// lexicon gives the category of a word that does something. Words that name
// things (file, user, info) are not in it: they say nothing of what is done.
var lexicon = table(map[snapshotv1.Risk]string{
	snapshotv1.Risk_RISK_READ: `
		get list read search find fetch show view describe lookup query count
		check inspect browse retrieve explain summarize summarise compare diff
		preview status stat tail head validate verify analyze analyse calculate
		compute convert parse echo ping help whoami return download
		resolve trace watch monitor discover detect estimate lint scan`,
	snapshotv1.Risk_RISK_WRITE: `
		create add write update set edit insert append put post reply comment
		save store rename move copy assign unassign label tag close reopen open
		merge patch modify change upsert import restore replace toggle enable
		disable start stop pause resume schedule submit approve reject star
		subscribe unsubscribe commit branch fork link unlink pin unpin archive
		unarchive draft mark click type fill press select drag complete register
		sync transfer lock unlock react attach detach generate`,
	snapshotv1.Risk_RISK_DESTRUCTIVE: `
		delete remove destroy drop purge wipe erase truncate nuke clear reset
		uninstall kill terminate prune trash overwrite revert rollback rm rmdir
		shred format discard cancel flush evict`,
	snapshotv1.Risk_RISK_ADMIN: `
		grant revoke admin sudo impersonate chmod chown invite ban unban suspend
		promote demote rotate provision deprovision elevate authorize deauthorize`,
	snapshotv1.Risk_RISK_EXECUTE: `
		execute exec run eval evaluate bash shell sh zsh powershell cmd command
		script terminal spawn invoke subprocess python javascript compile
		deploy build install repl`,
	snapshotv1.Risk_RISK_EXTERNAL: `
		send email mail sms tweet publish upload webhook notify broadcast
		forward share export http curl request crawl scrape navigate call dial
		message pay purchase order charge refund push`,
})

// ambiguous words of the lexicon are as often things as deeds.
var ambiguous = set(`
	count check view post reply comment label tag branch fork link pin star
	draft patch type press drag fill lock schedule archive register edit
	email mail sms tweet message order request call charge share export http
	command cmd script terminal shell build trash status stat head tail trace
	format echo query transfer reset merge commit`)

// authority names what decides who may do what. With a word that changes
// something it makes an administrator's tool.
var authority = set(`
	permission permissions role roles acl policy policies credential credentials
	secret secrets password passwords token tokens user users member members
	collaborator collaborators account accounts`)

// joints join two verbs in a name.
var joints = set(`and then or`)

// parameters gives the category of a parameter whose name carries something to
// run or somewhere to go.
var parameters = table(map[snapshotv1.Risk]string{
	snapshotv1.Risk_RISK_EXECUTE:  `command cmd script shell argv bash sql`,
	snapshotv1.Risk_RISK_EXTERNAL: `url webhook recipient recipients`,
})

// phrases are alarming wherever they stand in a description.
var phrases = []struct {
	text string
	risk snapshotv1.Risk
}{
	{"cannot be undone", snapshotv1.Risk_RISK_DESTRUCTIVE},
	{"can not be undone", snapshotv1.Risk_RISK_DESTRUCTIVE},
	{"permanently", snapshotv1.Risk_RISK_DESTRUCTIVE},
	{"irreversible", snapshotv1.Risk_RISK_DESTRUCTIVE},
	{"irreversibly", snapshotv1.Risk_RISK_DESTRUCTIVE},
	{"arbitrary code", snapshotv1.Risk_RISK_EXECUTE},
	{"arbitrary command", snapshotv1.Risk_RISK_EXECUTE},
	{"arbitrary commands", snapshotv1.Risk_RISK_EXECUTE},
	{"shell command", snapshotv1.Risk_RISK_EXECUTE},
	{"shell commands", snapshotv1.Risk_RISK_EXECUTE},
}

// table turns lists of words into a look-up. A word in two lists has the riskier
// category of the two.
func table(lists map[snapshotv1.Risk]string) map[string]snapshotv1.Risk {
	out := map[string]snapshotv1.Risk{}
	for r, list := range lists {
		for _, word := range strings.Fields(list) {
			out[word] = riskier(out[word], r)
		}
	}
	return out
}

func set(list string) map[string]bool {
	out := map[string]bool{}
	for _, word := range strings.Fields(list) {
		out[word] = true
	}
	return out
}
