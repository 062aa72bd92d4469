package localpg

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

const (
	rootDir      = `C:\`
	installHint  = "winget install PostgreSQL.PostgreSQL.18"
	systemPlaces = `%ProgramFiles%\PostgreSQL\*\bin`
)

func executable(bin, program string) string { return filepath.Join(bin, program+".exe") }

// cleanEnv is the whole environment of the server's programs, which do not load
// their libraries without SystemRoot.
func cleanEnv(bin string) []string {
	root := os.Getenv("SystemRoot")
	return []string{"LC_ALL=C", "TZ=UTC", "SystemRoot=" + root, "PATH=" + bin + ";" + filepath.Join(root, "System32"), "TEMP=" + os.TempDir()}
}

// systemDirs returns where PostgreSQL may be on this machine.
func systemDirs() []string {
	return append(pathDirs(), globs(filepath.Join(os.Getenv("ProgramFiles"), "PostgreSQL", "*", "bin"))...)
}

// Who may write to a file is a matter of access lists here, which the places
// above inherit from Program Files.
func openToAll(string) error       { return nil }
func openToStrangers(string) error { return nil }
func owner(os.FileInfo) int        { return -1 }
func reach(string, identity) error { return nil }
func noExec(string) bool           { return false }

// freeBytes returns what this user may still write on the volume of dir.
func freeBytes(dir string) (uint64, error) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(path, &free, nil, nil); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return free, nil
}
