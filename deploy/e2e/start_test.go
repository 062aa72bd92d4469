package e2e_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestUpOnTheDatabaseOfAnotherInstallationWritesNothing holds that 'warder up' with
// an empty data directory refuses a database that was set up with another one,
// before it leaves a key there that looks like the right one.
func TestUpOnTheDatabaseOfAnotherInstallationWritesNothing(t *testing.T) {
	t.Parallel()
	root := scratch(t)
	a := &apart{root: root}
	a.startDatabase(t)
	t.Cleanup(func() { _ = a.database.Stop(context.Background()) })
	url := "WARDER_DATABASE_URL=" + a.database.OwnerDSN

	first := filepath.Join(root, "first")
	up := start(t, root, []string{url}, binary, "up", "--data-dir", first, "--listen", "127.0.0.1:0")
	up.waitFor(t, "Ctrl-C stops everything")
	up.stop()

	second := filepath.Join(root, "second")
	for range 2 { // What the first try left behind must not make the second one another.
		up = start(t, root, []string{url}, binary, "up", "--data-dir", second, "--listen", "127.0.0.1:0", "-o", "json")
		<-up.done
		if text := up.output.String(); up.cmd.ProcessState.ExitCode() != 10 || !strings.Contains(text, "WARDER-KEK-001") ||
			!strings.Contains(text, filepath.Join(second, "kek")) || !strings.Contains(text, "restore that file") {
			t.Errorf("exit %d, %s", up.cmd.ProcessState.ExitCode(), text)
		}
		if _, err := os.Stat(second); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the data directory: %v", err)
		}
	}

	up = start(t, root, []string{url}, binary, "up", "--data-dir", first, "--listen", "127.0.0.1:0")
	up.waitFor(t, "Ctrl-C stops everything")
}
