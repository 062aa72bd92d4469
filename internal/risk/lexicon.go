package risk

import (
	"strings"

	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// lexicon gives the category of a word that does something. Words that name
// things (file, user, info) are not in it: they say nothing of what is done.
var lexicon = table(map[snapshotv1.Risk]string{
	read: `
		get list read search find fetch show view describe lookup query count
		check inspect browse retrieve explain summarize summarise compare diff
		preview status stat stats tail head validate verify analyze analyse
		calculate compute convert parse echo ping help whoami return trace watch
		monitor discover detect estimate lint scan blame aggregate capture
		screenshot snapshot wait print geocode poll examine extract translate
		identify determine provide display gather collect profile measure
		tree locate enumerate peek suggest recommend introspect dump simulate
		render encode decode hash sort filter lookup visualize visualise`,
	write: `
		create add write update set edit insert append put post reply comment
		save store rename move copy assign unassign label tag close reopen open
		merge patch modify change upsert import restore replace toggle enable
		disable start stop pause resume schedule submit approve reject star
		subscribe unsubscribe commit branch fork link unlink pin unpin archive
		unarchive draft mark click type fill press select drag complete register
		sync transfer lock unlock react attach detach generate cancel export
		upload push pull rebase checkout stash init initialize configure scale
		rollout reconnect disconnect connect resize emulate hover swipe tap
		scroll handle allocate reserve confirm pick stage unstage activate
		deactivate switch allow record navigate request release undo retry apply
		prepare finish begin give duplicate clone mutate adjust download touch
		mkdir join leave follow unfollow mute unmute log ingest index reindex
		seed backup restart reboot abort skip revise extend renew increment
		decrement swap transform acknowledge escalate dismiss hide vote review
		load mount encrypt decrypt enroll associate disassociate link bookmark
		annotate schedule reschedule reorder highlight bulk migrate process`,
	external: `
		send email mail sms tweet publish webhook notify broadcast forward share
		http curl crawl scrape call dial message pay purchase order charge refund
		buy sell trade withdraw deposit book dispatch`,
	destructive: `
		delete remove destroy drop purge wipe erase truncate nuke clear reset
		uninstall kill terminate prune trash overwrite revert rollback rm rmdir
		shred format discard flush evict clean cleanup drain del unpublish
		expunge obliterate shutdown forget deregister unregister halt dispose`,
	admin: `
		grant revoke admin sudo impersonate chmod chown invite ban unban suspend
		promote demote rotate provision deprovision elevate authorize
		deauthorize authenticate login logout kick protect unprotect`,
	execute: `
		execute exec run rerun eval evaluate bash shell sh zsh powershell cmd
		command commands script terminal spawn invoke subprocess python
		javascript compile deploy redeploy build install upgrade launch repl
		trigger`,
})

// ambiguous words of the lexicon are as often things as deeds.
var ambiguous = set(`
	count check view post reply comment label tag branch fork link pin star
	draft patch type press drag fill lock schedule archive register edit
	email mail sms tweet message order request call charge share export http
	command commands cmd script terminal shell build trash status stat stats
	head tail trace format echo query transfer reset merge commit monitor
	forward release webhook profile tree snapshot screenshot capture log pull
	stage record stash upload download login pick switch trigger help clean
	rollback upgrade change move start stop watch schedule python javascript
	find set diff open close run clone init scale aggregate crawl index
	review vote load backup book trade hash sort filter dump process bulk
	migrate swap bookmark seed render`)

// manifold verbs do whatever the rest of the description lists.
var manifold = set(`manage manages managing handle handles interact interacts perform performs management operations control controls`)

// authority names what decides who may do what, and settings names what sets up
// a system. To change either is administration, whatever the verb.
var (
	authority = set(`
		permission permissions role roles acl policy policies credential
		credentials secret secrets password passwords token tokens user users
		member members membership memberships collaborator collaborators account
		accounts auth oauth sso saml mfa apikey apikeys`)
	settings = set(`config configuration setting settings preferences`)
	// secrets are worth having: to get hold of one is administration.
	secrets = set(`secret secrets password passwords credential credentials env apikey apikeys`)
)

// Phrases that make reading administration, in a name or where a description
// says what the tool gets.
var secretPhrases = phrasebook{}.with(admin,
	"api key", "anon key", "secret key", "private key", "connection string", "environment variable", "access token", "signing key")

// pairs are two words of a name, in any order, that say more than each alone.
var pairs = []struct {
	verbs, things map[string]bool
	reading       bool // counts also where the name says that something is read
	last          bool // counts only if the thing is the last word
	risk          snapshotv1.Risk
}{
	{verbs: set(`web internet website websites site`), things: set(`search browse research fetch read extract map`), reading: true, risk: external},
	{verbs: set(`push`), things: set(`message messages notification notifications sms alert alerts`), risk: external},
	{verbs: set(`create add register update set`), things: set(`webhook webhooks`), risk: external},
	{verbs: set(`create`), things: set(`deployment pipeline job pod container process deployments jobs`), last: true, risk: execute},
	{verbs: set(`apply prepare complete finish create commit confirm`), things: set(`migration migrations`), risk: execute},
	{verbs: set(`send interact write input`), things: set(`process terminal shell repl`), risk: execute},
	{verbs: set(`start create`), things: set(`process terminal shell repl`), risk: execute},
}

// joints join two verbs in a name.
var joints = set(`and then or`)

// negations turn what follows into its contrary, or into another tool's deed.
var negations = set(`not never no without cannot nor avoid instead rather unlike neither prevent prevents except`)

// openings may stand before the first verb of a description.
var openings = set(`
	this the tool function endpoint api operation you can will use used to is it
	helps allow allows for a an quickly easily safely simply let lets us`)

// runners are verbs of execution that may have any object, in prose; only to run
// one of codeThings is execution there.
var runners = set(`execute run invoke trigger evaluate build launch rerun`)

// needs stand before a credential that a tool is used with, not one that it gets.
var needs = set(`using with via by require requires required need needs given your for from about`)

// clauses stand before a verb in s: "a tool that deletes".
var clauses = set(`that which and or it tool`)

// codeThings are what is run when a description says so; to run anything else
// ("Run a search") may be harmless.
var codeThings = set(`
	sql ddl command commands code script scripts javascript python typescript
	shell bash program statement statements expression expressions graphql
	cypher kubectl migration migrations test tests workflow workflows job jobs
	pipeline pipelines function functions binary executable process snippet
	lambda task tasks container`)

// alarms are telling wherever they stand in a description, unless negated.
var alarms = phrasebook{}.
	with(destructive,
		"cannot be undone", "can not be undone", "can't be undone", "irreversible", "irreversibly", "permanently delete",
		"permanently remove", "permanently erase", "permanently destroy", "permanently lost", "is destructive", "destructive operation",
		"will be lost", "completely overwrite", "overwrite existing").
	with(execute,
		"arbitrary code", "arbitrary command", "arbitrary sql", "arbitrary javascript", "arbitrary python", "arbitrary script",
		"execute shell command", "run shell command", "execute a shell command", "run a shell command",
		"raw sql", "execute sql", "run sql", "execute code", "run code").
	with(admin, "grant access", "change permission")

// web says that something is got from the open web, if it stands in the first
// two sentences.
var web = phrasebook{}.with(external,
	"search the web", "search the internet", "web search", "the internet", "browse the web", "live web", "from a website", "from url",
	"from a url", "from the web", "crawl a website", "any website", "a web page", "web scraping", "any url", "a given url", "a website")

// words of the web, beside which openWorldHint counts.
var webWords = set(`web internet website websites webpage webpages online`)

// Parameters that carry something to run, whatever the tool is called.
var (
	runs        = set(`command commands cmd script argv bash sql shellcommand`)
	runsBeside  = set(`code expression statement statements query cypher graphql snippet function mutation`)
	carriers    = set(`command commands cmd script argv bash sql query code text string line source body`)
	languages   = set(`sql javascript python typescript cypher graphql shell bash ddl kql hql`)
	manifests   = set(`manifest`)
	addressees  = set(`recipient recipients webhook webhooks`)
	addresses   = set(`url urls website websites`)
	erasers     = set(`delete drop purge overwrite wipe erase destroy`)
	choosers    = set(`action mode operation op command subcommand method verb`)
	filters     = set(`list search find count query`)
	mailParts   = set(`subject body message text html cc bcc`)
	contents    = set(`content contents`)
	texts       = set(`data text`)
	paths       = set(`path file filename filepath`)
	places      = set(`output save local target destination dest`)
	directories = set(`path dir directory folder`)
)

// phrase is words that follow each other, each as it is or in another form.
type phrase struct {
	words []string
	risk  snapshotv1.Risk
}

func (p phrase) String() string { return strings.Join(p.words, " ") }

// phrasebook holds phrases by the beginning of their first word, which its
// forms share, so that a text is gone through once for all of them.
type phrasebook map[string][]phrase

// begin is as much of a word as all of its forms have in common.
func begin(word string) string { return word[:min(3, len(word))] }

// with adds phrases of one category to a book, and returns it.
func (b phrasebook) with(r snapshotv1.Risk, texts ...string) phrasebook {
	for _, text := range texts {
		words := strings.Fields(text)
		b[begin(words[0])] = append(b[begin(words[0])], phrase{words, r})
	}
	return b
}

// each calls found for each place of a sentence where a phrase stands that is
// not negated there.
func (b phrasebook) each(s sentence, found func(i int, p phrase)) {
	for i, word := range s {
		for _, p := range b[begin(word)] {
			if s.has(i, p.words) && !s.negated(i) {
				found(i, p)
			}
		}
	}
}

// table turns lists of words into a look-up. A word in two lists has the riskier
// category of the two.
func table(lists map[snapshotv1.Risk]string) map[string]snapshotv1.Risk {
	out := map[string]snapshotv1.Risk{}
	for r, list := range lists {
		for _, word := range strings.Fields(list) {
			if Riskier(r, out[word]) {
				out[word] = r
			}
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
