package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/warder-gateway/warder/internal/legible"
	"github.com/warder-gateway/warder/internal/risk"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// palette are the colours of a terminal; its zero value has none.
type palette struct{ added, removed, warning, reset string }

// palette returns colours if a person looks on, and has not declined them
// (NO_COLOR).
func (c *cli) palette() palette {
	if !isTerminal(c.stdout) || os.Getenv("NO_COLOR") != "" {
		return palette{}
	}
	return palette{added: "\x1b[32m", removed: "\x1b[31m", warning: "\x1b[33m", reset: "\x1b[0m"}
}

func (p palette) paint(colour, text string) string {
	if colour == "" {
		return text
	}
	return colour + text + p.reset
}

// printEntry shows all that a person needs who decides about an entry.
func printEntry(w io.Writer, p palette, e *adminv1.Tool) {
	kind := kindName(e)
	facts(w, strings.ToUpper(kind[:1])+kind[1:], fullName(e), "Exposed as", e.GetExposedName(), "State", stateName(e),
		"Risk", riskName(e), "First seen", ago(e.GetFirstSeenAt()), "Decided by", e.GetDecidedBy(), "Decided", ago(e.GetDecidedAt()),
		"Reason", e.GetDecidedReason(), "Hash", e.GetDefinitionHash(), "Approved hash", e.GetApprovedHash())
	printRiskier(w, p, e)
	printRiskReasons(w, e)
	printFindings(w, p, e)
	fmt.Fprintf(w, "\nDefinition:\n%s\n", visible(indented(e.GetDefinition())))
	if e.GetApprovedDefinition() != "" {
		fmt.Fprintf(w, "\nApproved definition:\n%s\n", visible(indented(e.GetApprovedDefinition())))
	}
	printDifferences(w, p, e)
	printVerdicts(w, e)
}

// riskName is the category, and whose it is.
func riskName(e *adminv1.Tool) string {
	if !e.GetRiskSet() {
		return e.GetRisk()
	}
	who := "a person"
	for _, v := range e.GetVerdicts() {
		if v.GetVerdict() == "risk" {
			who = v.GetActor() + " " + ago(v.GetAt())
			break
		}
	}
	name := e.GetRisk() + ", set by " + who
	if reasons := e.GetRiskReasons(); len(reasons) > 0 {
		name += "; the classifier says " + reasons[0].GetRisk()
	}
	return name
}

// printRiskier warns where a person's category outlived a definition that is riskier by
// now: whoever approves that lets it pass under the old one.
func printRiskier(w io.Writer, p palette, e *adminv1.Tool) {
	reasons := e.GetRiskReasons()
	if !e.GetRiskSet() || len(reasons) == 0 {
		return
	}
	said, err := risk.Parse(reasons[0].GetRisk())
	set, unknown := risk.Parse(e.GetRisk())
	if err != nil || unknown == nil && !risk.Riskier(said, set) {
		return
	}
	fmt.Fprintf(w, "\n%s\n", p.paint(p.warning, fmt.Sprintf("! By its definition of now it is %s, riskier than %s, which a person set and which stays. To change that: warder tool risk %s %s",
		risk.Name(said), visible(e.GetRisk()), visible(fullName(e)), risk.Name(said))))
}

// printRiskReasons says what speaks for which risk category.
func printRiskReasons(w io.Writer, e *adminv1.Tool) {
	if len(e.GetRiskReasons()) == 0 {
		return
	}
	fmt.Fprint(w, "\nWhat speaks of risk:\n")
	for _, reason := range e.GetRiskReasons() {
		what := reason.GetWhat()
		if reason.GetWhere() != "definition" {
			what = fmt.Sprintf("%q in the %s", what, reason.GetWhere())
		}
		fmt.Fprintf(w, "  %-12s  %s\n", reason.GetRisk(), visible(what))
	}
}

// findingCount is "2 hard, 1 soft"; empty if there is none.
func findingCount(e *adminv1.Tool) string {
	hard := 0
	for _, f := range e.GetFindings() {
		if f.GetSeverity() == "hard" {
			hard++
		}
	}
	soft := len(e.GetFindings()) - hard
	switch {
	case hard > 0 && soft > 0:
		return fmt.Sprintf("%d hard, %d soft", hard, soft)
	case hard > 0:
		return fmt.Sprintf("%d hard", hard)
	case soft > 0:
		return fmt.Sprintf("%d soft", soft)
	}
	return ""
}

// printFindings says what is suspicious.
func printFindings(w io.Writer, p palette, e *adminv1.Tool) {
	if len(e.GetFindings()) == 0 {
		return
	}
	fmt.Fprint(w, "\nFindings:\n")
	for _, f := range e.GetFindings() {
		colour := p.warning
		if f.GetSeverity() == "hard" {
			colour = p.removed
		}
		fmt.Fprintf(w, "  %s  %s  %s\n    %s\n", p.paint(colour, f.GetSeverity()), visible(f.GetCheck()),
			visible(cmp.Or(f.GetPath(), "(whole)")), visible(f.GetExplanation()))
		if f.GetExcerpt() != "" {
			fmt.Fprintf(w, "    %s\n", inLine(f.GetExcerpt()))
		}
	}
}

// inLine is a text in one line.
func inLine(s string) string { return legible.Line(s) }

// printDifferences says how what is offered differs from what was approved.
func printDifferences(w io.Writer, p palette, e *adminv1.Tool) {
	if e.GetState() == adminv1.ToolState_TOOL_STATE_CHANGED && len(e.GetDifferences()) == 0 {
		fmt.Fprint(w, "\nIt is again what was approved. It stays blocked until a person approves it, because it was something else meanwhile.\n")
	}
	if len(e.GetDifferences()) == 0 {
		return
	}
	fmt.Fprint(w, "\nDifferences from what was approved:\n")
	for _, d := range e.GetDifferences() {
		fmt.Fprintf(w, "  %s %s\n", d.GetChange(), visible(cmp.Or(d.GetPath(), "(whole)")))
		if d.GetBefore() != "" {
			fmt.Fprintf(w, "    %s\n", p.paint(p.removed, "- "+inLine(d.GetBefore())))
		}
		if d.GetAfter() != "" {
			fmt.Fprintf(w, "    %s\n", p.paint(p.added, "+ "+inLine(d.GetAfter())))
		}
		if d.GetNote() != "" {
			fmt.Fprintf(w, "    %s\n", p.paint(p.warning, "! "+inLine(d.GetNote())))
		}
	}
}

// printVerdicts says what was decided, newest first.
func printVerdicts(w io.Writer, e *adminv1.Tool) {
	if len(e.GetVerdicts()) == 0 {
		return
	}
	fmt.Fprint(w, "\nHistory:\n")
	var rows [][]string
	for _, v := range e.GetVerdicts() {
		rows = append(rows, []string{clock(v.GetAt()), v.GetVerdict(), v.GetActor(), short(v.GetDefinitionHash(), 12),
			strings.Join(v.GetFindings(), " "), v.GetReason()})
	}
	columns(w, []string{"AT", "VERDICT", "BY", "DEFINITION", "FINDINGS THEN", "REASON"}, rows)
}

// indented lays JSON out for reading; what is no JSON comes as it is.
func indented(s string) string {
	var b bytes.Buffer
	if json.Indent(&b, []byte(s), "", "  ") != nil {
		return s
	}
	return b.String()
}

// approvalFlags are those of every command that approves.
func approvalFlags(cmd *cobra.Command, request *adminv1.ApproveToolsRequest, yes *bool) {
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why, for the record")
	cmd.Flags().BoolVar(&request.AcceptFindings, "accept-findings", false, "approve also what has hard findings")
	cmd.Flags().BoolVarP(yes, "yes", "y", false, "do not ask on a terminal")
}

// asks reports whether there is a person to ask.
func (c *cli) asks() bool {
	in, ok := c.stdin.(*os.File)
	return ok && isTerminal(in) && isTerminal(c.stdout) && c.output == "table"
}

// review shows what is about to be approved, and asks. Of a single entry it asks
// for the definition that was shown.
func (c *cli) review(ctx context.Context, f *family, request *adminv1.ApproveToolsRequest) (agreed bool, err error) {
	if names := request.GetNames(); len(names) == 1 && !strings.Contains(names[0], "*") {
		response, err := c.findEntry(ctx, f, names[0])
		if err != nil {
			return false, err
		}
		printEntry(c.stdout, c.palette(), response.GetTool())
		request.DefinitionHash = cmp.Or(request.GetDefinitionHash(), response.GetTool().GetDefinitionHash())
		return c.confirm(nil), nil
	}
	response, err := c.api().tools.ListTools(ctx, connect.NewRequest(&adminv1.ListToolsRequest{Server: request.GetServer(), Kinds: f.kinds}))
	if err != nil {
		return false, err
	}
	if request.GetAll() {
		return c.confirm(waiting(response.Msg.GetTools())), nil
	}
	return c.confirm(named(response.Msg.GetTools(), request.GetNames())), nil
}

// waiting returns what is pending or changed, and offered.
func waiting(entries []*adminv1.Tool) (wait []*adminv1.Tool) {
	for _, e := range entries {
		state := e.GetState()
		if (state == adminv1.ToolState_TOOL_STATE_PENDING || state == adminv1.ToolState_TOOL_STATE_CHANGED) && !e.GetMissing() {
			wait = append(wait, e)
		}
	}
	return wait
}

// named returns those of the names, and for a glob all that wait: what a glob
// selects, the control plane decides.
func named(entries []*adminv1.Tool, names []string) (chosen []*adminv1.Tool) {
	byName := make(map[string]bool)
	globs := false
	for _, name := range names {
		byName[name] = true
		globs = globs || strings.Contains(name, "*")
	}
	for _, e := range entries {
		if byName[fullName(e)] || globs && len(waiting([]*adminv1.Tool{e})) > 0 {
			chosen = append(chosen, e)
		}
	}
	return chosen
}

// confirm shows entries with their findings and asks. Anything but yes is no.
func (c *cli) confirm(entries []*adminv1.Tool) bool {
	if len(entries) > 0 {
		printEntries(c.stdout, "entry", entries)
		for _, e := range entries {
			if len(e.GetFindings()) > 0 {
				fmt.Fprintf(c.stdout, "\n%s", visible(fullName(e)))
				printFindings(c.stdout, c.palette(), e)
			}
		}
	}
	fmt.Fprint(c.stdout, "\nApprove? [y/N] ")
	answer, err := bufio.NewReader(c.stdin).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	if err == nil && (answer == "y" || answer == "yes") {
		return true
	}
	fmt.Fprintln(c.stdout, "Nothing was approved.")
	return false
}

// printApproved says what is approved now, and what was passed over.
func (c *cli) printApproved(m *adminv1.ApproveToolsResponse, entries []*adminv1.Tool) error {
	var approved []*adminv1.Tool
	for _, e := range entries {
		if e.GetState() == adminv1.ToolState_TOOL_STATE_APPROVED {
			approved = append(approved, e)
		}
	}
	if err := c.printDecided(m, "Approved", approved); err != nil || c.output != "table" {
		return err
	}
	printSkipped(c.stdout, c.palette(), m.GetSkipped())
	return nil
}

// printSkipped says what still waits because of what the scanner found.
func printSkipped(w io.Writer, p palette, entries []*adminv1.Tool) {
	for _, e := range entries {
		var checks []string
		for _, f := range e.GetFindings() {
			if !strings.Contains(strings.Join(checks, " "), f.GetCheck()) {
				checks = append(checks, f.GetCheck())
			}
		}
		fmt.Fprintf(w, "%s %s: %s\n", p.paint(p.warning, "Skipped"), visible(fullName(e)), visible(strings.Join(checks, ", ")))
	}
	if len(entries) > 0 {
		fmt.Fprintln(w, "What was skipped looks dangerous. Look at each with 'show'; --accept-findings approves it all the same.")
	}
}
