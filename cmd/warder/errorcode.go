package main

import (
	"strings"

	"connectrpc.com/connect"

	"github.com/warder-gateway/warder/internal/localpg"
	"github.com/warder-gateway/warder/internal/localsock"
)

// The codes that the command itself gives. Those of a start come with its faults.
const (
	codeInternal     = "WARDER-INTERNAL-001"
	codeUsage        = "WARDER-USAGE-001"
	codeInvalid      = "WARDER-USAGE-002"
	codeCheckFailed  = "WARDER-CHECK-001"
	codeNotFound     = "WARDER-NAME-001"
	codeExists       = "WARDER-NAME-002"
	codeDenied       = "WARDER-ACCESS-001"
	codeSignIn       = "WARDER-ACCESS-002"
	codeConflict     = "WARDER-STATE-001"
	codePrecondition = "WARDER-STATE-002"
	codeUnavailable  = "WARDER-AVAILABLE-001"
	codeTooMuch      = "WARDER-AVAILABLE-002"
	codeUndiscovered = "WARDER-SERVER-001"
	codeStart        = "WARDER-START-001"
	codePort         = "WARDER-START-002"
)

// errorCode is what is known of an error by its code.
type errorCode struct {
	kind  string // the class of the error, a word for scripts
	means string // for the documentation
	hint  string // what to do
}

// errorCodes are all that a command may end with. docs/error-codes.md is made of
// them.
var errorCodes = map[string]errorCode{
	codeInternal:     {"internal", "Something failed that nobody foresaw.", "Look at the log of the running instance; it has the cause."},
	codeUsage:        {"usage", "The command line is wrong.", "Run the command with --help to see how it is used."},
	codeInvalid:      {"invalid_argument", "What the command sent was refused; the message names the field and what it may be.", "Correct what the message names, and run the command again."},
	codeCheckFailed:  {"check_failed", "A check answered no, as 'policy lint', 'policy test' and 'policy explain --expect' do.", "Look at the result on standard output: it says why."},
	codeNotFound:     {"not_found", "What was named is not there.", "List what there is with the 'list' of the same command."},
	codeExists:       {"already_exists", "The name is taken.", "Choose another name, or remove what has it."},
	codeDenied:       {"permission_denied", "The caller may not do this.", "Ask an owner; 'warder role list' shows what roles may do."},
	codeSignIn:       {"unauthenticated", "The caller is not signed in.", "Run the command as the user who runs the instance."},
	codeConflict:     {"aborted", "Somebody changed the same thing at the same time.", "Look at it again, then repeat the command."},
	codePrecondition: {"failed_precondition", "Something else must be put right first; the message says what.", "Do what the message says, then repeat the command."},
	codeUnavailable:  {"unavailable", "What is needed does not answer now.", "Try again in a moment; 'warder health' says how the instance is."},
	codeTooMuch:      {"resource_exhausted", "Too much was asked at a time.", "Ask for less, or wait a moment."},
	codeUndiscovered: {"unavailable", "The server was saved, but what it offers could not be discovered.", "Put right what the message names, then 'warder server refresh NAME'."},
	codeStart:        {"start_precondition", "The process cannot start; the message says why.", "Do what the message says, then start it again."},
	codePort:         {"start_precondition", "The address to listen on is taken, or is not one of this machine.", "Stop who holds it, or choose another with --listen."},

	localpg.Code:             {"start_precondition", "The private PostgreSQL cannot run; the message has the reason and the ways.", "Follow one of the lines 'fix:' of the message."},
	"WARDER-DB-002":          {"start_precondition", "The database of --database-url cannot be connected to.", "Check the URL, and that PostgreSQL runs there and lets this user in."},
	"WARDER-DB-003":          {"start_precondition", "The database is of a version that this build cannot work with.", "Use PostgreSQL 15 or later, and a build that is not older than the schema."},
	"WARDER-JOIN-001":        {"start_precondition", "The node or agent has no identity that is good, and the control plane does not exchange the one that it had; the message says why.", "Do what the message says: most often, make a join token with 'warder join-token create', and start it with that."},
	"WARDER-KEK-001":         {"start_precondition", "The key-encryption key is missing, cannot be read, or is not the one that the database was set up with.", "Restore the kek file of the data directory from its backup, or use an empty database."},
	localsock.CodeNoInstance: {"unavailable", "No instance runs on the data directory.", "Start one with 'warder up', or name its directory with --data-dir."},
	localsock.CodeNotOurs:    {"permission_denied", "The instance belongs to another user of this machine.", "Run the command as that user."},
	localsock.CodeTaken:      {"start_precondition", "Another Warder serves this data directory.", "Stop that one, or use another --data-dir."},
}

// codeOfExit is the code of errors of which no more is known than how they exit.
var codeOfExit = map[int]string{
	exitUsage: codeUsage, exitCheckFailed: codeCheckFailed, exitPrecondition: codeStart, exitError: codeInternal,
}

// codeOf is the code of an answer of the API.
func codeOf(code connect.Code) string {
	switch code {
	case connect.CodeInvalidArgument, connect.CodeOutOfRange:
		return codeInvalid
	case connect.CodeNotFound:
		return codeNotFound
	case connect.CodeAlreadyExists:
		return codeExists
	case connect.CodePermissionDenied:
		return codeDenied
	case connect.CodeUnauthenticated:
		return codeSignIn
	case connect.CodeAborted:
		return codeConflict
	case connect.CodeFailedPrecondition:
		return codePrecondition
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded:
		return codeUnavailable
	case connect.CodeResourceExhausted:
		return codeTooMuch
	default:
		return codeInternal
	}
}

// docsOf is where a code is explained.
func docsOf(code string) string {
	return "https://github.com/warder-gateway/warder/blob/main/docs/error-codes.md#" + strings.ToLower(code)
}
