package policy

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"sync"
	_ "time/tzdata" // A condition may name a time zone, and a node may run where no files have them.

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
)

// Bounds of conditions. A cost is in units of CEL: about one for each step, and one
// for each ten characters that are looked at; a unit takes some tens of nanoseconds.
const (
	// MaxCondition is the length of the longest condition in bytes.
	MaxCondition = 4 << 10
	// MaxConditions is how many rules of a set may have one.
	MaxConditions = 1000
	// maxCost is what a condition may cost at most: by estimate, where each value of
	// the request counts as presumedSize long, or it does not compile; and in fact,
	// or it fails. The open conditions of one decision may cost about as much
	// together: one that comes when so much is spent fails.
	maxCost = 200_000
	// presumedSize is how long a list, a map or a text of the arguments is taken to be
	// in estimates: a loop over one passes, a loop in a loop does not. presumedNames is
	// the same for what the policy knows of caller, target and client.
	presumedSize  = 1024
	presumedNames = 64
)

// condition is a compiled "when": one boolean expression. It is immutable and safe
// for concurrent use.
type condition struct {
	text    string
	program cel.Program
	// partial is the program where arguments are not known; it is made once somebody
	// asks, which nodes never do.
	partial func() (cel.Program, error)
	reads   reads
}

// reads says what a condition looks at, by bits.
type reads uint16

const (
	readsUser reads = 1 << iota
	readsGroups
	readsRoles
	readsApplication
	readsKey
	readsIssuer
	readsTool
	readsArguments
	readsClient
	readsNow

	readsPrincipal = readsUser | readsGroups | readsRoles | readsApplication | readsKey | readsIssuer
	// readsFacts are what is not known before there is a call.
	readsFacts = readsArguments | readsClient | readsNow
)

// open reports whether the condition waits for the facts of a call.
func (c *condition) open() bool { return c.reads&readsFacts != 0 }

// ofCaller reports whether the caller alone settles the condition.
func (c *condition) ofCaller() bool { return c.reads&(readsFacts|readsTool) == 0 }

// errAt is what is wrong with a condition, and where in its text, both from 1.
type errAt struct {
	line, column int
	text         string
}

func (e *errAt) Error() string { return e.text }

// conditions remembers what was compiled, by text: a node compiles its policy anew
// at each change of anything, and most changes are not about conditions. When it is
// full, it forgets all.
var conditions = struct {
	sync.Mutex
	byText map[string]*condition
}{byText: map[string]*condition{}}

// compileCondition compiles the text of a condition. The error is an *errAt.
func compileCondition(text string) (*condition, error) {
	conditions.Lock()
	known := conditions.byText[text]
	conditions.Unlock()
	if known != nil {
		return known, nil
	}
	made, err := newCondition(text)
	if err != nil {
		return nil, err
	}
	conditions.Lock()
	defer conditions.Unlock()
	if len(conditions.byText) >= 2*MaxConditions {
		clear(conditions.byText)
	}
	conditions.byText[text] = made
	return made, nil
}

func newCondition(text string) (*condition, error) {
	if len(text) > MaxCondition {
		return nil, &errAt{1, 1, fmt.Sprintf("the condition has %d bytes; at most %d are allowed", len(text), MaxCondition)}
	}
	env, err := language()
	if err != nil {
		return nil, &errAt{1, 1, err.Error()}
	}
	tree, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, firstIssue(issues)
	}
	if !tree.OutputType().IsExactType(cel.BoolType) {
		return nil, &errAt{1, 1, fmt.Sprintf("the condition is neither true nor false but %s; compare it with something, as in arguments.force == true", tree.OutputType())}
	}
	if err := affordable(env, tree); err != nil {
		return nil, err
	}
	program, err := env.Program(tree, cel.EvalOptions(cel.OptOptimize, cel.OptTrackCost), cel.CostLimit(maxCost))
	if err != nil {
		return nil, &errAt{1, 1, err.Error()}
	}
	partial := sync.OnceValues(func() (cel.Program, error) {
		return env.Program(tree, cel.EvalOptions(cel.OptOptimize, cel.OptTrackCost, cel.OptPartialEval), cel.CostLimit(maxCost))
	})
	return &condition{text: text, program: program, partial: partial, reads: readsOf(tree.NativeRep())}, nil
}

// language returns the environment of conditions: the standard functions and macros
// of CEL, and the five variables.
var language = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewCustomEnv(
		cel.StdLib(),
		cel.CustomTypeProvider(newRecordTypes()),
		cel.Variable("principal", cel.ObjectType(principalType)),
		cel.Variable("tool", cel.ObjectType(toolType)),
		cel.Variable("client", cel.ObjectType(clientType)),
		cel.Variable("arguments", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("now", cel.TimestampType),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(MaxCondition),
		cel.ParserRecursionLimit(64),
		cel.RegexProgramSizeLimit(1000),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals(),
			cel.ValidateComprehensionNestingLimit(2)),
	)
})

// firstIssue returns what the compiler says first, by place.
func firstIssue(issues *cel.Issues) error {
	var first *errAt
	for _, issue := range issues.Errors() {
		at := &errAt{max(issue.Location.Line(), 1), max(issue.Location.Column(), 0) + 1, plainIssue(issue.Message)}
		if first == nil || cmp.Or(cmp.Compare(at.line, first.line), cmp.Compare(at.column, first.column)) < 0 {
			first = at
		}
	}
	if first == nil {
		return &errAt{1, 1, issues.Err().Error()}
	}
	return first
}

// plainIssue words a message of the compiler for people who know neither containers
// nor overloads.
func plainIssue(message string) string {
	message = strings.ReplaceAll(message, " (in container '')", "")
	if name, found := strings.CutPrefix(message, "undeclared reference to "); found {
		return fmt.Sprintf("there is no %s; conditions know principal, tool, arguments, client and now, and the functions of CEL", name)
	}
	return message
}

// affordable refuses what may cost too much.
func affordable(env *cel.Env, tree *cel.Ast) error {
	estimate, err := env.EstimateCost(tree, sizes{})
	if err != nil {
		return &errAt{1, 1, err.Error()}
	}
	if estimate.Max > maxCost {
		return &errAt{1, 1, fmt.Sprintf("the condition may cost %d units where values have %d entries; at most %d are allowed: leave out loops in loops", estimate.Max, presumedSize, maxCost)}
	}
	return nil
}

// sizes presumes how long the values of a request are.
type sizes struct{}

// EstimateSize implements the estimator of CEL.
func (sizes) EstimateSize(node cost.AstNode) *cost.SizeEstimate {
	if len(node.Path()) == 0 {
		return nil
	}
	if node.Path()[0] != "arguments" {
		return &cost.SizeEstimate{Min: 0, Max: presumedNames}
	}
	return &cost.SizeEstimate{Min: 0, Max: presumedSize}
}

// EstimateCallCost implements the estimator of CEL.
func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// readsOf walks a checked expression. What it takes for a variable may be the
// variable of a macro that has the same name; that makes the condition wait for
// more than it needs, and never for less.
func readsOf(tree *ast.AST) reads {
	var all, wholes, fields reads
	selected := map[int64]bool{} // operands that are principal, with a field selected
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.SelectKind:
			operand := e.AsSelect().Operand()
			if operand.Kind() == ast.IdentKind && variable(operand.AsIdent()) == "principal" {
				selected[operand.ID()] = true
				fields |= principalReads(e.AsSelect().FieldName())
			}
		case ast.IdentKind:
			if name := variable(e.AsIdent()); name != "principal" {
				all |= variableReads[name]
			} else if !selected[e.ID()] {
				wholes |= readsPrincipal
			}
		}
	}))
	return all | wholes | fields
}

// variable returns the name that an identifier stands for: a leading dot only says
// that it is no variable of a macro.
func variable(name string) string { return strings.TrimPrefix(name, ".") }

var variableReads = map[string]reads{"tool": readsTool, "arguments": readsArguments, "client": readsClient, "now": readsNow}

// outcome is what a condition says of a request.
type outcome uint8

const (
	no          outcome = iota // it is not satisfied, or an attribute is absent
	yes                        // it is satisfied
	failed                     // it could not be evaluated
	undecided                  // it waits for the facts of a call
	unsatisfied                // no or failed: which of the two waits for the facts of a call
)

// evaluate evaluates the condition; the error says why it failed, for those who may
// see the arguments.
func (c *condition) evaluate(e *evaluation) (outcome, error) {
	if e.spent > maxCost {
		return failed, errors.New("the conditions before it cost too much")
	}
	out, details, err := c.program.Eval(e)
	if spent := details.ActualCost(); spent != nil && c.open() {
		e.spent += *spent
	}
	switch {
	case err != nil && absent(err):
		return no, nil
	case err != nil:
		return failed, err
	case out == types.True:
		return yes, nil
	case out == types.False:
		return no, nil
	}
	return failed, fmt.Errorf("it gives %v", out)
}

// absent reports whether an error of CEL says that an attribute is not there. CEL
// has no exported error for it; the tests hold it to these words.
func absent(err error) bool {
	text := err.Error()
	return strings.HasPrefix(text, absentAttribute) || strings.HasPrefix(text, "no such key: ")
}

// absentAttribute begins the error about a variable, or a field of one, that the
// request does not have.
const absentAttribute = "no such attribute(s): "
