package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// choice is the value of a flag that takes one of a few words. Any other word is a
// mistake that is answered with all of them: taken as it stands, it would match
// nothing, and an empty list looks like good news.
type choice struct {
	value *string
	known []string
}

// choose adds a flag that takes one of the words; a shell completes them.
func choose(cmd *cobra.Command, value *string, name, usual, usage string, known ...string) {
	*value = usual
	cmd.Flags().Var(&choice{value, known}, name, usage+": "+either(known))
	suggest(cmd, name, known)
}

func (c *choice) String() string { return *c.value }
func (c *choice) Type() string   { return "string" }

func (c *choice) Set(s string) error {
	if s == "" {
		return nil // As if it had not been given: scripts pass what may be empty.
	}
	if !slices.Contains(c.known, s) {
		return fmt.Errorf("it is %s", either(c.known))
	}
	*c.value = s
	return nil
}

// choices is a choice that may be made more than once.
type choices struct {
	values *[]string
	known  []string
}

func chooseSome(cmd *cobra.Command, values *[]string, name, usage string, known ...string) {
	cmd.Flags().Var(&choices{values, known}, name, usage+": "+either(known)+"; may be given again")
	suggest(cmd, name, known)
}

func (c *choices) String() string { return strings.Join(*c.values, ",") }
func (c *choices) Type() string   { return "string" }

func (c *choices) Set(s string) error {
	if !slices.Contains(c.known, s) {
		return fmt.Errorf("it is %s", either(c.known))
	}
	*c.values = append(*c.values, s)
	return nil
}

// suggest completes the words of a flag. It fails only for a flag that is not there.
func suggest(cmd *cobra.Command, name string, known []string) {
	if err := cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(known, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err)
	}
}

// either lists words as people do: "a, b or c".
func either(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// number is the value of a flag that takes a whole number within bounds.
type number[N ~int | ~int32] struct {
	value    *N
	min, max N
}

// count adds a flag that takes a number from min to max.
func count[N ~int | ~int32](flags *pflag.FlagSet, value *N, name string, usual, min, max N, usage string) {
	*value = usual
	flags.Var(&number[N]{value, min, max}, name, fmt.Sprintf("%s, from %d to %d", usage, min, max))
}

func (n *number[N]) String() string { return fmt.Sprint(*n.value) }
func (n *number[N]) Type() string   { return "int" }

func (n *number[N]) Set(s string) error {
	given, err := strconv.ParseInt(s, 10, 32)
	if err != nil || given < int64(n.min) || given > int64(n.max) {
		return fmt.Errorf("it is a number from %d to %d", n.min, n.max)
	}
	*n.value = N(given)
	return nil
}
