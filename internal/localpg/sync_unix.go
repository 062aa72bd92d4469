//go:build unix

package localpg

import (
	"errors"
	"os"
)

// syncDir makes what was renamed in dir survive the machine.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
