package localpg

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// address is where a server listens: a directory for its socket, or a port of
// the loopback interface.
type address struct {
	host string // directory or IP address
	port int
}

// vacate removes the directory of the socket, which postgres has emptied. The
// next start makes it again, so that failing to do so is no loss.
func (a address) vacate() {
	if filepath.IsAbs(a.host) {
		_ = os.Remove(a.host)
	}
}

// socketPort is part of the socket's name; no port is opened.
const socketPort = 5432

// socketMax is the longest path that a socket may have: the size of sun_path,
// less its closing zero.
func socketMax() int {
	if runtime.GOOS == "linux" {
		return 107
	}
	return 103
}

// dsn returns the connection string of a role.
func (a address) dsn(role, password, database string) string {
	q := url.Values{"host": {a.host}, "port": {strconv.Itoa(a.port)}, "sslmode": {"disable"}}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(role, password), Path: "/" + database, RawQuery: q.Encode()}
	return u.String()
}

// socketDir returns the directory for the server's socket, made and given to the
// identity: beside the data, or under /tmp if that path is too long, or holds a
// comma, which connection strings take for a list.
func socketDir(cl cluster, as identity) (string, error) {
	dir := filepath.Join(cl.dir, "run")
	if len(dir)+len("/.s.PGSQL.5432") > socketMax() || strings.Contains(dir, ",") {
		hash := sha256.Sum256([]byte(cl.dir))
		dir = filepath.Join("/tmp", fmt.Sprintf("warder-%d-%s", as.uid, hex.EncodeToString(hash[:4])))
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", unwritable(filepath.Dir(dir), err)
	}
	if err := privateDir(dir, filepath.Dir(dir) == cl.dir, as); err != nil {
		return "", problem{
			what: "the directory for the embedded PostgreSQL's socket is not safe to use: " + dir,
			why:  err.Error(), cause: err,
			fix: []string{"remove it: " + dir},
		}.fault()
	}
	// What a killed server left. None is alive: settle saw to that.
	for _, name := range []string{".s.PGSQL.5432", ".s.PGSQL.5432.lock"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", unwritable(dir, err)
		}
	}
	return dir, nil
}

// privateDir makes sure that dir is the identity's and closed to others. In a
// parent of our own, ours says so, it may have belonged to an earlier identity.
// In /tmp anybody may have been first, so there it is taken as it is or not at all.
func privateDir(dir string, ours bool, as identity) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return errors.New("it is not a directory")
	}
	if perm := info.Mode().Perm(); perm != 0o700 {
		return fmt.Errorf("its mode is %04o, and only its owner may enter it (0700)", perm)
	}
	uid := owner(info)
	if uid == as.uid {
		return nil
	}
	if uid != os.Geteuid() && !ours {
		return fmt.Errorf("it belongs to uid %d", uid)
	}
	return os.Lchown(dir, as.uid, as.gid)
}

// settings returns what postgres is started with. They win over the
// postgresql.conf in the data directory.
func (c Config) settings(a address) []string {
	set := map[string]string{
		"max_connections":     "60",
		"shared_buffers":      "64MB",
		"min_wal_size":        "64MB",
		"logging_collector":   "off",
		"log_destination":     "stderr",
		"log_line_prefix":     "",
		"port":                strconv.Itoa(a.port),
		"password_encryption": "scram-sha-256",
	}
	if filepath.IsAbs(a.host) {
		set["listen_addresses"] = ""
		set["unix_socket_directories"] = `"` + strings.ReplaceAll(a.host, `"`, `""`) + `"`
		set["unix_socket_permissions"] = "0700"
		set["dynamic_shared_memory_type"] = "posix"
	} else {
		set["listen_addresses"] = a.host
	}
	if c.Fast {
		fast(set)
	}
	args := make([]string, 0, 2*len(set))
	for name, value := range set {
		args = append(args, "-c", name+"="+value)
	}
	return args
}

// fast gives up what makes data survive a crash, and what tests do not need.
func fast(set map[string]string) {
	for _, name := range []string{"fsync", "synchronous_commit", "full_page_writes", "autovacuum"} {
		set[name] = "off"
	}
	set["wal_level"] = "minimal"
	set["max_wal_senders"] = "0"
	set["max_connections"] = "200"
}
