// Package launch reads commands that fetch the program they run, as 'npx PACKAGE' does.
//
// Such a command runs what its publisher has released last, unless it names an exact version: a release that is malicious,
// or a publisher whose account was taken over, runs code wherever the server does (security.md T-44). Nothing here decides
// what may run; it is for telling people.
package launch

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Warning returns a sentence about a command that does not say exactly which program it fetches, and else "". The
// sentence names the package as the command does, and has no full stop.
func Warning(command []string) string {
	what, example := unpinned(command)
	if what == "" {
		return ""
	}
	return fmt.Sprintf("the command fetches %q in the version that is newest when it starts, whoever publishes that; name one, as in %q", what, example)
}

// runner is a program that fetches others.
type runner struct {
	verbs [][]string // what comes before the package; nil: nothing does
	// from are options whose value is the package, in the place of the first argument.
	from []string
	// valued are options whose value is the next argument.
	valued []string
	exact  func(spec string) bool
	repair func(spec string) string
}

var (
	npm = runner{
		from:   []string{"-p", "--package"},
		valued: []string{"-c", "--call", "-w", "--workspace", "--registry", "--cache", "--prefix", "--loglevel", "--userconfig"},
		exact:  exactNPM, repair: func(spec string) string { return bare(spec) + "@1.2.3" },
	}
	python = runner{
		from:   []string{"--from", "--spec"},
		valued: []string{"--with", "-p", "--python", "-i", "--index", "--index-url", "--default-index", "--extra-index-url", "--env-file", "-c", "--constraints", "--directory", "--pip-args"},
		exact:  exactPython, repair: func(spec string) string { return bare(nameOf.FindString(spec)) + "==1.2.3" },
	}
	container = runner{exact: exactImage, repair: func(spec string) string { return spec + "@sha256:…" }}
	source    = runner{exact: exactGo, repair: func(spec string) string { return bare(spec) + "@v1.2.3" }}
)

// with returns the runner for a program that takes verbs before the package.
func (r runner) with(verbs ...[]string) runner {
	r.verbs = verbs
	return r
}

var runners = map[string]runner{
	"npx": npm, "pnpx": npm, "bunx": npm,
	"npm":    npm.with([]string{"exec"}, []string{"x"}),
	"pnpm":   npm.with([]string{"dlx"}, []string{"exec"}),
	"yarn":   npm.with([]string{"dlx"}),
	"bun":    npm.with([]string{"x"}),
	"uvx":    python,
	"uv":     python.with([]string{"tool", "run"}),
	"pipx":   python.with([]string{"run"}),
	"docker": container.with([]string{"run"}, []string{"container", "run"}),
	"podman": container.with([]string{"run"}, []string{"container", "run"}),
	"go":     source.with([]string{"run"}),
}

// unpinned returns what a command fetches without naming an exact version, and what would be one; else "".
func unpinned(command []string) (what, example string) {
	if len(command) == 0 {
		return "", ""
	}
	program := strings.ToLower(path.Base(strings.ReplaceAll(command[0], `\`, "/")))
	for _, extension := range []string{".cmd", ".exe", ".bat", ".ps1"} {
		program = strings.TrimSuffix(program, extension)
	}
	r, ok := runners[program]
	if !ok {
		return "", ""
	}
	args, ok := r.after(command[1:])
	if !ok {
		return "", ""
	}
	for _, spec := range r.packages(args, program == "docker" || program == "podman") {
		if spec != "" && !isLocal(spec) && !r.exact(spec) {
			return spec, r.repair(spec)
		}
	}
	return "", ""
}

// after returns the arguments behind the verbs, and false if other verbs are there.
func (r *runner) after(args []string) ([]string, bool) {
	if r.verbs == nil {
		return args, true
	}
	for _, verbs := range r.verbs {
		if len(args) >= len(verbs) && slices.Equal(args[:len(verbs)], verbs) {
			return args[len(verbs):], true
		}
	}
	return nil, false
}

// packages returns what is fetched: what options name, or else the first argument. Of a container's options nearly all
// have a value.
func (r *runner) packages(args []string, container bool) (named []string) {
	for i := 0; i < len(args); i++ {
		option, value, joined := strings.Cut(args[i], "=")
		switch {
		case args[i] == "--":
			if len(named) == 0 {
				named = args[i+1 : min(i+2, len(args))]
			}
			return named
		case !strings.HasPrefix(option, "-"):
			if len(named) == 0 {
				named = args[i : i+1]
			}
			return named
		case slices.Contains(r.from, option) && joined:
			named = append(named, value)
		case slices.Contains(r.from, option):
			if i++; i < len(args) {
				named = append(named, args[i])
			}
		case joined:
		case slices.Contains(r.valued, option), container && !isSwitch(option):
			i++
		}
	}
	return named
}

// isSwitch reports whether an option of 'docker run' has no value.
func isSwitch(option string) bool {
	switch option {
	case "--rm", "--init", "--interactive", "--tty", "--detach", "--privileged", "--read-only", "--no-healthcheck", "--publish-all", "--quiet":
		return true
	}
	return !strings.HasPrefix(option, "--") && strings.Trim(option[1:], "itdPq") == ""
}

func isLocal(spec string) bool {
	return strings.HasPrefix(spec, ".") || strings.HasPrefix(spec, "/") || strings.HasPrefix(spec, "file:") || len(spec) > 1 && spec[1] == ':'
}

var (
	semver  = regexp.MustCompile(`^v?[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]+)?$`)
	release = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*((a|b|rc|\.post|\.dev|\+)[0-9A-Za-z.]*)?$`)
	commit  = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)
	digest  = regexp.MustCompile(`@sha256:[0-9a-f]{64}$`)
	nameOf  = regexp.MustCompile(`^[A-Za-z0-9._-]+`)
)

// bare returns a package's name without its version.
func bare(spec string) string {
	if at := strings.LastIndexByte(spec, '@'); at > 0 {
		return spec[:at]
	}
	return spec
}

// version returns what stands behind the last separator, if that is not the first character.
func version(spec, separator string) string {
	if at := strings.LastIndex(spec, separator); at > 0 {
		return spec[at+len(separator):]
	}
	return ""
}

func exactNPM(spec string) bool {
	return semver.MatchString(version(spec, "@")) || commit.MatchString(version(spec, "#"))
}

func exactPython(spec string) bool {
	return release.MatchString(strings.TrimSpace(version(spec, "=="))) || release.MatchString(version(spec, "@")) || commit.MatchString(version(spec, "@"))
}

func exactImage(spec string) bool { return digest.MatchString(spec) }

// exactGo also takes what has no version: that is of the module at hand.
func exactGo(spec string) bool {
	v := version(spec, "@")
	return v == "" || strings.HasPrefix(v, "v") && semver.MatchString(v) || commit.MatchString(v)
}
