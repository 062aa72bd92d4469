package process

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
)

// Spec says what to run.
type Spec struct {
	// Command is the program and its arguments. A program without a path is looked up in the agent's PATH.
	Command []string
	// Directory is where it runs. Empty: the agent's own working directory.
	Directory string
	// Environment is set for it. The values are secret: they are redacted from its log.
	Environment map[string]string
	// Pass names further variables of the agent's own environment that it gets.
	Pass []string
}

// Inherited are the variables of the agent's own environment that every program gets: what programs need to be found, to
// find their user's files, and to speak his language. What may hold a credential, such as a proxy's address, is not among
// them: it is named by Pass.
func Inherited() []string {
	if runtime.GOOS == "windows" {
		return []string{
			"PATH", "PATHEXT", "COMSPEC", "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "TEMP", "TMP", "USERNAME", "USERPROFILE",
			"HOMEDRIVE", "HOMEPATH", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "PROGRAMFILES", "PROGRAMFILES(X86)",
			"PROCESSOR_ARCHITECTURE", "NUMBER_OF_PROCESSORS",
		}
	}
	return []string{"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "TZ", "TMPDIR"}
}

// mark names a variable by which the processes of one program are found again.
const mark = "WARDER_PROCESS"

// environment returns the whole environment of the program. What the Spec sets goes before what is inherited.
func (s *Spec) environment(tag string) []string {
	variables := map[string]string{}
	for _, name := range slices.Concat(Inherited(), s.Pass) {
		if value, ok := os.LookupEnv(name); ok {
			variables[name] = value
		}
	}
	maps.Copy(variables, s.Environment)
	variables[mark] = tag
	environment := make([]string, 0, len(variables))
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		environment = append(environment, name+"="+variables[name])
	}
	return environment
}

// Check refuses what cannot be run on any machine.
func (s *Spec) Check() error {
	if len(s.Command) == 0 || s.Command[0] == "" {
		return errors.New("the command is empty")
	}
	for _, argument := range s.Command {
		if strings.IndexByte(argument, 0) >= 0 {
			return errors.New("the command holds a zero byte")
		}
	}
	for name, value := range s.Environment {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.IndexByte(value, 0) >= 0 {
			return fmt.Errorf("variable %q cannot be set", name)
		}
	}
	return nil
}

// path finds the program.
func (s *Spec) path() (string, error) {
	path, err := exec.LookPath(s.Command[0])
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", fmt.Errorf("command not found: there is no program %q in the PATH of the agent; install it there, or name it by its full path", s.Command[0])
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("command not found: there is no program %q on the agent's machine; install it there, or name another one", s.Command[0])
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("the program %q may not be run by the agent's user; make it executable", s.Command[0])
	case err != nil:
		return "", fmt.Errorf("find the program: %w", err)
	}
	return path, nil
}

// Digest tells commands apart: equal ones run the same program in the same way. It says nothing of what is in it.
func (s *Spec) Digest() [sha256.Size]byte {
	hash := sha256.New()
	put := func(texts ...string) {
		for _, text := range texts {
			var size [8]byte
			binary.BigEndian.PutUint64(size[:], uint64(len(text)))
			hash.Write(size[:])
			hash.Write([]byte(text))
		}
	}
	put(fmt.Sprint(len(s.Command)))
	put(s.Command...)
	put(s.Directory)
	for _, name := range slices.Sorted(maps.Keys(s.Environment)) {
		put(name, s.Environment[name])
	}
	put("pass")
	put(s.Pass...)
	return [sha256.Size]byte(hash.Sum(nil))
}

// String returns the command for people: quoted where it must be, without its environment.
func (s *Spec) String() string {
	parts := make([]string, len(s.Command))
	for i, argument := range s.Command {
		parts[i] = argument
		if argument == "" || strings.ContainsFunc(argument, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`"'\$*?`, r) || !isPrint(r) }) {
			parts[i] = fmt.Sprintf("%q", argument)
		}
	}
	return strings.Join(parts, " ")
}
