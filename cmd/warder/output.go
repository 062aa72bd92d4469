package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/internal/legible"
)

// print writes one result: as protojson, or by table.
func (c *cli) print(message proto.Message, table func(w io.Writer)) error {
	if c.output == "json" {
		return c.printJSON(message, true)
	}
	table(c.stdout)
	return nil
}

// printJSON writes message as protojson; several lines if indent.
func (c *cli) printJSON(message proto.Message, indent bool) error {
	options := protojson.MarshalOptions{EmitDefaultValues: true}
	if indent {
		options.Multiline, options.Indent = true, "  "
	}
	data, err := options.Marshal(message)
	if err != nil {
		return fmt.Errorf("encode the result: %w", err)
	}
	_, err = fmt.Fprintf(c.stdout, "%s\n", data)
	return err
}

// columns writes rows under headings, aligned. Cells are made visible: what a
// server says of itself must not move the cursor of a terminal.
func columns(w io.Writer, headings []string, rows [][]string) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, strings.Join(headings, "\t"))
	for _, row := range rows {
		for i := range row {
			row[i] = visible(row[i])
			if row[i] == "" {
				row[i] = "-"
			}
		}
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	tw.Flush()
}

// facts writes pairs of a name and a value, one a line.
func facts(w io.Writer, pairs ...string) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(tw, "%s\t%s\n", pairs[i], visible(pairs[i+1]))
		}
	}
	tw.Flush()
}

// visible returns s with everything that a terminal would act on written as an
// escape. Line ends stay.
func visible(s string) string { return legible.Text(s) }

// ago says how long ago t was; empty if it is absent.
func ago(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	d := time.Since(t.AsTime())
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(max(d, 0).Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd ago", int(d.Hours()/24))
	}
}

// clock prints t in local time; empty if it is absent.
func clock(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().Local().Format("2006-01-02 15:04:05")
}

// minute is clock for what is known to the minute only.
func minute(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().Local().Format("2006-01-02 15:04")
}

// colour reports whether results are for a terminal that shows colours.
func (c *cli) colour() bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(c.stdout)
}

// enumName turns TOOL_STATE_PENDING into "pending".
func enumName(value fmt.Stringer, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(value.String(), prefix))
}

// short cuts s to n runes and to its first line.
func short(s string, n int) string {
	s, _, _ = strings.Cut(s, "\n")
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

// days parses a duration that may also be in days: "30d", "12h".
func days(s string) (time.Duration, error) {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		count, err := strconv.ParseFloat(n, 64)
		if err != nil || count <= 0 || count > 36500 {
			return 0, fmt.Errorf("%q is no time span; write for example 30d or 12h", s)
		}
		return time.Duration(count * float64(24*time.Hour)), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is no time span; write for example 30d or 12h", s)
	}
	return d, nil
}
