package admin

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// explainViolations is a sentence a field: its name, and what it may be. It never
// says the value, which may be a secret.
func explainViolations(broken *protovalidate.ValidationError) string {
	var lines []string
	for _, v := range broken.Violations {
		line := protovalidate.FieldPathString(v.Proto.GetField()) + ": " + rangeOf(v)
		if !slices.Contains(lines, line) { // Several rules of a field have one sentence.
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}

// rangeOf says what a field may be, by the rules that its proto gives it. A rule
// with a message of its own speaks for itself, and so does one that is not known
// here.
func rangeOf(v *protovalidate.Violation) string {
	own := v.Proto.GetMessage()
	if own == "" {
		own = "breaks rule " + v.Proto.GetRuleId()
	}
	if v.FieldDescriptor == nil || v.FieldDescriptor.Options() == nil {
		if known, list := strings.CutPrefix(own, "must be in list ["); list { // An item of a list has no descriptor.
			return "it is one of " + strings.TrimSuffix(known, "]")
		}
		return own
	}
	rules, _ := proto.GetExtension(v.FieldDescriptor.Options(), validate.E_Field).(*validate.FieldRules)
	switch {
	case rules.GetRequired() && v.Proto.GetRuleId() == "required":
		return "it must be given"
	case rules.GetString() != nil:
		return textRange(rules.GetString(), own)
	case rules.GetInt32() != nil:
		return fmt.Sprintf("it is a number from %d to %d", rules.GetInt32().GetGte(), rules.GetInt32().GetLte())
	case rules.GetDuration() != nil:
		return timeRange(rules.GetDuration())
	case rules.GetRepeated() != nil:
		return countRange(rules.GetRepeated(), own)
	}
	return own
}

func textRange(rules *validate.StringRules, own string) string {
	switch known := slices.DeleteFunc(slices.Clone(rules.GetIn()), func(s string) bool { return s == "" }); {
	case len(known) > 0:
		return "it is one of " + strings.Join(known, ", ")
	case rules.HasPattern() && !rules.HasMaxLen():
		return own
	case rules.HasPattern():
		return fmt.Sprintf("it is up to %d characters that a header may have", rules.GetMaxLen())
	case rules.GetMinLen() > 0 && rules.HasMaxLen():
		return fmt.Sprintf("it has %d to %d characters", rules.GetMinLen(), rules.GetMaxLen())
	case rules.GetMinLen() == 1:
		return "it must not be empty"
	case rules.GetMinLen() > 1:
		return fmt.Sprintf("it has at least %d characters", rules.GetMinLen())
	case rules.HasMaxLen():
		return fmt.Sprintf("it has at most %d characters", rules.GetMaxLen())
	}
	return own
}

func timeRange(rules *validate.DurationRules) string {
	least := "more than 0"
	if rules.HasGte() {
		least = "at least " + spoken(rules.GetGte())
	}
	return fmt.Sprintf("it is a time of %s and at most %s", least, spoken(rules.GetLte()))
}

// spoken is a duration in its largest whole unit.
func spoken(d *durationpb.Duration) string {
	switch t := d.AsDuration(); {
	case t == 0:
		return "0"
	case t%(24*time.Hour) == 0:
		return fmt.Sprintf("%d days", t/(24*time.Hour))
	case t%time.Hour == 0:
		return fmt.Sprintf("%dh", t/time.Hour)
	default:
		return t.String()
	}
}

func countRange(rules *validate.RepeatedRules, own string) string {
	switch {
	case rules.GetMinItems() > 0 && rules.HasMaxItems():
		return fmt.Sprintf("there are %d to %d of them", rules.GetMinItems(), rules.GetMaxItems())
	case rules.GetUnique():
		return fmt.Sprintf("there are at most %d of them, and none twice", rules.GetMaxItems())
	case rules.HasMaxItems():
		return fmt.Sprintf("there are at most %d of them", rules.GetMaxItems())
	}
	return own
}
