package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

// Suite is one way to run one version of the suites.
type Suite struct {
	// Name is for people.
	Name string
	// pack is the directory under node_modules, and flags choose the scenarios.
	pack  string
	flags []string
}

// Suites are run against servers that do all that they look for: all scenarios of the older version, and what the newer
// one requires of a server for each era, with the scenarios that do not count yet.
var Suites = []Suite{
	{Name: "0.1.16, all", pack: "conformance-0-1", flags: []string{"--suite", "all"}},
	{Name: "0.2.0-alpha.12, 2025-11-25", pack: "conformance-0-2", flags: []string{"--requirements", "2025-11-25"}},
	{Name: "0.2.0-alpha.12, 2026-07-28", pack: "conformance-0-2", flags: []string{"--requirements", "2026-07-28"}},
}

// Resumption is the one scenario that needs a server which keeps its events. That of the Go SDK keeps none.
var Resumption = Suite{Name: "0.2.0-alpha.12, resumption", pack: "conformance-0-2", flags: []string{"--scenario", "server-sse-polling"}}

// Tally counts the checks of one name in a scenario by how they ended. What only informs is not counted.
type Tally struct{ Passed, Failed, Warned, Skipped int }

func (t *Tally) add(o Tally) {
	t.Passed += o.Passed
	t.Failed += o.Failed
	t.Warned += o.Warned
	t.Skipped += o.Skipped
}

// Results holds the checks of a run: by scenario, then by the check's id.
type Results map[string]map[string]Tally

// Total counts all checks.
func (r Results) Total() (total Tally) {
	for _, checks := range r {
		for _, t := range checks {
			total.add(t)
		}
	}
	return total
}

// Run runs a suite against the server at url. Modules is the node_modules directory with the suites, and node the program
// that runs them. What the suite says goes to a file in dir, which must be empty, beside its results.
func (s *Suite) Run(ctx context.Context, node, modules, dir, url string) (Results, error) {
	args := append([]string{filepath.Join(modules, s.pack, "dist/index.js"), "server", "--url", url, "--output-dir", filepath.Join(dir, "results")}, s.flags...)
	command := exec.CommandContext(ctx, node, args...)
	command.Dir = dir
	command.Env = []string{"LC_ALL=C.UTF-8", "NO_COLOR=1", "PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	failed := command.Run()
	if err := os.WriteFile(filepath.Join(dir, "output.txt"), output.Bytes(), 0o644); err != nil {
		return nil, fmt.Errorf("keep the suite's output: %w", err)
	}
	// It ends with 1 if a check failed, which is not for it to judge.
	if exit, ok := errors.AsType[*exec.ExitError](failed); failed != nil && (!ok || exit.ExitCode() != 1) {
		return nil, fmt.Errorf("run the suite %q: %w\n%s", s.Name, failed, tail(output.Bytes()))
	}
	results, err := Read(filepath.Join(dir, "results"))
	if err != nil {
		return nil, fmt.Errorf("read what the suite %q wrote: %w\n%s", s.Name, err, tail(output.Bytes()))
	}
	return results, nil
}

// tail is the end of an output: enough to see what happened.
func tail(output []byte) []byte {
	const enough = 4 << 10
	return output[max(0, len(output)-enough):]
}

// scenarioDir is how the suites name the directory of a scenario's results.
var scenarioDir = regexp.MustCompile(`^server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$`)

// Read reads the results that a suite wrote to a directory. That there are none is an error.
func Read(dir string) (Results, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	results := Results{}
	for _, entry := range entries {
		match := scenarioDir.FindStringSubmatch(entry.Name())
		if match == nil {
			return nil, fmt.Errorf("%q is not named like the results of a scenario", entry.Name())
		}
		if err := results.read(match[1], filepath.Join(dir, entry.Name(), "checks.json")); err != nil {
			return nil, err
		}
	}
	if len(results) == 0 {
		return nil, errors.New("no results")
	}
	return results, nil
}

// read adds the checks of one file.
func (r Results) read(scenario, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var checks []struct{ ID, Status string }
	if err := json.Unmarshal(data, &checks); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if r[scenario] == nil {
		r[scenario] = map[string]Tally{}
	}
	for _, check := range checks {
		t := r[scenario][check.ID]
		switch check.Status {
		case "SUCCESS":
			t.Passed++
		case "FAILURE":
			t.Failed++
		case "WARNING":
			t.Warned++
		case "SKIPPED":
			t.Skipped++
		case "INFO":
			continue
		default:
			return fmt.Errorf("%s: a check has the status %q", file, check.Status)
		}
		r[scenario][check.ID] = t
	}
	return nil
}
