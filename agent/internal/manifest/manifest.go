package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/warder-gateway/warder/agent/internal/endpoint"
	"github.com/warder-gateway/warder/agent/internal/process"
	"github.com/warder-gateway/warder/internal/fault"
)

// Limits of a file.
const (
	maxFile    = 1 << 20 // bytes
	maxServers = 200
	maxRules   = 1000
)

// File is an agent's file. It is immutable.
type File struct {
	Servers  []Server `yaml:"servers"`
	Allow    []Rule   `yaml:"allow"`
	AllowAny bool     `yaml:"allow_any"`
	// Path is where it was read from; empty: from a text.
	Path string `yaml:"-"`
}

// Server is a server that the file declares: a command, or a URL.
type Server struct {
	Name        string            `yaml:"name"`
	Command     []string          `yaml:"command"`
	Directory   string            `yaml:"directory"`
	Environment map[string]string `yaml:"environment"`
	Pass        []string          `yaml:"pass"`
	Shared      bool              `yaml:"shared"`
	URL         string            `yaml:"url"`
	Headers     map[string]string `yaml:"headers"`
}

// Spec returns what to run, of a server with a command.
func (s *Server) Spec() process.Spec {
	return process.Spec{Command: s.Command, Directory: s.Directory, Environment: s.Environment, Pass: s.Pass}
}

// Load reads a file. Where files have an owner and a mode, one that others than the agent's own user and root may write to is
// refused: whoever can, has the agent run what he likes. Errors are fault.Invalid and name line and column.
func Load(name string) (*File, error) { return load(name, self()) }

// load is Load for an agent of a user.
func load(name string, user int) (*File, error) {
	opened, err := os.Open(name)
	if err != nil {
		return nil, unread(name, err)
	}
	defer opened.Close()
	info, err := opened.Stat() // Of what is read, and not of what has the name by then.
	if err != nil {
		return nil, unread(name, err)
	}
	if err := private(name, info, user); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(opened, maxFile+1))
	if err != nil {
		return nil, unread(name, err)
	}
	if len(text) > maxFile {
		return nil, fault.Newf(fault.Invalid, "%s has more than %d bytes", name, maxFile)
	}
	file, err := Parse(text)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, name+": "+fault.Text(err), err)
	}
	file.Path = name
	return file, nil
}

// private holds a file to be nobody's to write but the user's and root's. The owner counts as one who may, whatever the mode:
// he changes that as he likes.
func private(name string, info fs.FileInfo, user int) error {
	uid, known := owner(info)
	switch {
	case !known:
		return nil
	case uid != user && uid != 0:
		return fault.Newf(fault.Invalid, "%s belongs to another user (%d) than the one that the agent runs as (%d), who could have it run anything; chown %d %s",
			name, uid, user, user, name)
	case info.Mode().Perm()&0o022 != 0:
		return fault.Newf(fault.Invalid, "%s can be written to by others than its owner (mode %04o), who could have the agent run anything; chmod go-w %s",
			name, info.Mode().Perm(), name)
	}
	return nil
}

// unread words why a file cannot be read, and what to do about it.
func unread(name string, err error) error {
	why := err.Error()
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		why = path.Err.Error() // The name is said already.
	}
	return fault.Wrap(fault.Precondition, fmt.Sprintf("cannot read the agent's file %s: %s; make it, or name another with --config", name, why), err)
}

// Parse reads the text of a file.
func Parse(text []byte) (*File, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, fault.New(fault.Invalid, "the file is empty; 'servers: []' means no servers")
	}
	tree, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, misread(err)
	}
	file := &File{}
	if err := yaml.UnmarshalWithOptions(text, file, yaml.Strict()); err != nil {
		return nil, misread(err)
	}
	if err := (&checker{tree}).file(file); err != nil {
		return nil, err
	}
	return file, nil
}

// misread words an error of the YAML package, whose own text repeats the file's, secrets and all.
func misread(err error) error {
	if e, ok := errors.AsType[yaml.Error](err); ok && e.GetToken() != nil {
		return at(e.GetToken(), expected(e))
	}
	return fault.Wrap(fault.Invalid, "the file is not YAML of this form", err)
}

// expected says what is to stand where something else does, without repeating that.
func expected(err yaml.Error) string {
	if e, ok := errors.AsType[*yaml.TypeError](err); ok {
		switch e.DstType.Kind() {
		case reflect.Bool:
			return "this must be true or false"
		case reflect.String:
			return "this must be a text"
		}
	}
	e, ok := errors.AsType[*yaml.UnexpectedNodeTypeError](err)
	switch {
	case ok && e.Expected == ast.SequenceType:
		return "this must be a list" + suchAs(e.Token, map[string]string{"command": "[npx, -y, foo]", "args": `["-y", "foo", "..."]`, "pass": "[HTTPS_PROXY]"})
	case ok && e.Expected == ast.MappingType:
		return "this must have keys and values" + suchAs(e.Token, map[string]string{"environment": "{LOG: debug}", "headers": "{Authorization: Bearer 123}"})
	}
	return err.GetMessage()
}

// suchAs is the example of the key whose value a token is, if there is one.
func suchAs(value *token.Token, examples map[string]string) string {
	if value.Prev == nil || value.Prev.Type != token.MappingValueType || value.Prev.Prev == nil {
		return ""
	}
	if text := examples[value.Prev.Prev.Value]; text != "" {
		return ", for example " + text
	}
	return ""
}

func at(t *token.Token, text string) error {
	return fault.Newf(fault.Invalid, "line %d, column %d: %s", t.Position.Line, t.Position.Column, text)
}

// checker holds a file to its rules, and finds the places of what breaks them.
type checker struct{ tree *ast.File }

// wrong returns an error about a place, given as a YAML path.
func (c *checker) wrong(path, format string, args ...any) error {
	text := strings.TrimPrefix(path, "$.") + ": " + fmt.Sprintf(format, args...)
	if p, err := yaml.PathString(path); err == nil {
		if node, err := p.FilterFile(c.tree); err == nil && node != nil {
			return at(beginning(node), text)
		}
	}
	return fault.New(fault.Invalid, text)
}

// beginning returns the token at which people see a value begin: of a mapping, its first key.
func beginning(value ast.Node) *token.Token {
	switch v := value.(type) {
	case *ast.MappingNode:
		if !v.IsFlowStyle && len(v.Values) > 0 {
			return v.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		return v.Key.GetToken()
	}
	return value.GetToken()
}

func (c *checker) file(f *File) error {
	if len(f.Servers) > maxServers || len(f.Allow) > maxRules {
		return fault.Newf(fault.Invalid, "at most %d servers and %d rules are allowed", maxServers, maxRules)
	}
	seen := map[string]bool{}
	for i := range f.Servers {
		path := fmt.Sprintf("$.servers[%d]", i)
		if err := c.server(path, &f.Servers[i]); err != nil {
			return err
		}
		if name := f.Servers[i].Name; seen[name] {
			return c.wrong(path+".name", "%q is declared twice", name)
		}
		seen[f.Servers[i].Name] = true
	}
	for i := range f.Allow {
		if err := c.rule(fmt.Sprintf("$.allow[%d]", i), &f.Allow[i]); err != nil {
			return err
		}
	}
	return nil
}

var slug = regexp.MustCompile(`^[a-z][a-z0-9-]{0,19}$`)

func (c *checker) server(path string, s *Server) error {
	switch {
	case s.Name == "":
		return c.wrong(path, "a server needs a name")
	case !slug.MatchString(s.Name):
		return c.wrong(path+".name", "a name is 1 to 20 characters of a-z, 0-9 and -, and begins with a letter")
	case (len(s.Command) > 0) == (s.URL != ""):
		return c.wrong(path, "a server has either a command or a url")
	case s.URL != "":
		return c.url(path, s)
	case len(s.Headers) > 0:
		return c.wrong(path+".headers", "only a server with a url has headers")
	}
	spec := s.Spec()
	if err := spec.Check(); err != nil {
		return c.wrong(path, "%v", err)
	}
	return nil
}

func (c *checker) url(path string, s *Server) error {
	if s.Directory != "" || len(s.Environment) > 0 || len(s.Pass) > 0 || s.Shared {
		return c.wrong(path, "directory, environment, pass and shared are for servers with a command")
	}
	if _, err := endpoint.CheckURL(s.URL); err != nil {
		return c.wrong(path+".url", "%v", err)
	}
	server, err := endpoint.New(endpoint.Config{Name: s.Name, URL: s.URL, Header: s.Headers})
	if err != nil {
		return c.wrong(path+".headers", "%v", err)
	}
	server.Close()
	return nil
}

func (c *checker) rule(path string, r *Rule) error {
	switch {
	case (r.Command != "") == (r.URL != ""):
		return c.wrong(path, "a rule allows either a command or a url")
	case r.URL != "" && (len(r.Args) > 0 || len(r.Environment) > 0 || len(r.Directories) > 0):
		return c.wrong(path, "args, environment and directories are for rules with a command")
	case strings.Contains(r.Command, "*"):
		return c.wrong(path+".command", "a command is named in full; patterns are for args")
	}
	for i, pattern := range r.Args {
		if pattern == rest && i != len(r.Args)-1 {
			return c.wrong(fmt.Sprintf("%s.args[%d]", path, i), "%q stands for all arguments that follow, so it comes last", rest)
		}
	}
	return nil
}
