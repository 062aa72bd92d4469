package localpg

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/warder-gateway/warder/internal/ownfile"
)

// cluster is the data of one major version, and what lies beside it. Its zero
// value is no cluster.
type cluster struct {
	dir      string // <Root>/postgres/<major>
	data     string // <dir>/data
	major    int    // of the data; the directory's name only says what it was meant for
	password string // of SuperRole
}

func clusterIn(home string, major int) cluster {
	dir := filepath.Join(home, strconv.Itoa(major))
	return cluster{dir: dir, data: filepath.Join(dir, "data"), major: major}
}

// findCluster returns the newest cluster under home, or none. What looks like
// one and is not is an error: it may be somebody's data.
func findCluster(home string) (cluster, error) {
	var newest cluster
	for _, data := range globs(filepath.Join(escapeGlob(home), "*", "data")) {
		major, err := dataVersion(data)
		if err != nil {
			return cluster{}, err
		}
		if major > newest.major {
			newest = cluster{dir: filepath.Dir(data), data: data, major: major}
		}
	}
	return newest, nil
}

// dataVersion returns the major version of a data directory, 0 if it is empty.
func dataVersion(data string) (int, error) {
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, fs.ErrPermission) {
		return 0, foreignData(data, err)
	}
	if errors.Is(err, fs.ErrNotExist) {
		entries, err := os.ReadDir(data)
		if err != nil {
			return 0, unwritable(data, err)
		}
		if len(entries) == 0 {
			return 0, nil
		}
		return 0, unknownData(data, fmt.Sprintf("it holds %q and no PG_VERSION", entries[0].Name()))
	}
	if err != nil {
		return 0, unwritable(data, err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || major <= 0 {
		return 0, unknownData(data, fmt.Sprintf("its PG_VERSION says %q", text))
	}
	return major, nil
}

func unknownData(data, why string) error {
	return problem{
		what: "not a PostgreSQL data directory, and not empty: " + data,
		why:  why + "; Warder never empties a directory",
		fix:  []string{"move it away, or choose another place: --data-dir /path (or WARDER_DATA_DIR)"},
	}.fault()
}

func foreignData(data string, err error) error {
	have := -1
	if info, err := os.Stat(data); err == nil {
		have = owner(info)
	}
	return problem{
		what: "the data directory belongs to somebody else: " + data,
		why:  fmt.Sprintf("its owner is uid %d, and Warder runs as %s", have, whoami()), cause: err,
		fix: []string{
			"run Warder as the user who ran it first",
			"give this user a data directory of its own: --data-dir /path (or WARDER_DATA_DIR)",
		},
	}.fault()
}

// escapeGlob returns path as a pattern that matches itself alone.
func escapeGlob(path string) string {
	return strings.NewReplacer(`*`, `[*]`, `?`, `[?]`, `[`, `[[]`).Replace(path)
}

// prepare returns a cluster that the installation can run: an old one whose last
// server is gone, or a new one.
func (c Config) prepare(ctx context.Context, home string, cl cluster, in installation) (cluster, error) {
	isNew := cl.major == 0
	if isNew {
		cl = clusterIn(home, in.major)
	}
	if err := makeDirs(cl.dir); err != nil {
		return cl, unwritable(cl.dir, err)
	}
	var err error
	if cl.password, err = password(cl.dir, isNew); err != nil {
		return cl, err
	}
	if isNew {
		return cl, c.initialise(ctx, cl, in)
	}
	if err := settle(ctx, cl.data); err != nil {
		return cl, err
	}
	return cl, c.handOver(cl.data, in.as)
}

// password returns the superuser's password. Only a new cluster gets a new one.
func password(dir string, mayMake bool) (string, error) {
	path := filepath.Join(dir, "postgres.password")
	text, err := os.ReadFile(path)
	if err == nil && len(bytes.TrimSpace(text)) > 0 {
		return string(bytes.TrimSpace(text)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", unwritable(path, err)
	}
	if !mayMake {
		return "", problem{
			what: "the password of the embedded PostgreSQL is missing: " + path,
			why:  "the data beside it was made with that password, and only it opens the data",
			fix:  []string{"put the file back from a backup", "start with empty data elsewhere: --data-dir /path (or WARDER_DATA_DIR)"},
		}.fault()
	}
	secret := make([]byte, 32)
	rand.Read(secret) // It never fails.
	pw := hex.EncodeToString(secret)
	if err := ownfile.Replace(path, []byte(pw+"\n")); err != nil {
		return "", unwritable(path, err)
	}
	return pw, nil
}

// handOver gives the data to the identity that postgres runs as, if it belongs
// to another: the best identity that a machine offers may change.
func (c Config) handOver(data string, as identity) error {
	info, err := os.Stat(data)
	if err != nil {
		return unwritable(data, err)
	}
	have := owner(info)
	if as.uid < 0 || have == as.uid {
		return nil
	}
	if os.Geteuid() != 0 {
		return foreignData(data, nil)
	}
	c.Log.Info("the data directory changes hands", "dir", data, "from", have, "to", as.uid)
	return chownAll(data, as)
}

// chownAll gives a directory and all in it to the identity. It neither follows a
// link nor leaves the directory, whatever its present owner does meanwhile.
func chownAll(dir string, as identity) error {
	if as.uid < 0 {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("change owner: %w", err)
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("change owner: %w", err)
		}
		return root.Lchown(path, as.uid, as.gid)
	})
}
