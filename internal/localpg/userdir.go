package localpg

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
)

// userDataDir returns where programs keep a user's data on this system.
func userDataDir() (string, error) {
	if dir := os.Getenv("XDG_DATA_HOME"); runtime.GOOS != "windows" && filepath.IsAbs(dir) {
		return dir, nil
	}
	if runtime.GOOS == "windows" {
		if dir := os.Getenv("LocalAppData"); dir != "" {
			return dir, nil
		}
		return "", errors.New("%LocalAppData% is not set")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Application Support"), nil
	}
	return filepath.Join(home, ".local", "share"), nil
}
