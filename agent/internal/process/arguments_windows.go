package process

import (
	"fmt"
	"path/filepath"
	"strings"
)

// checkArguments refuses arguments that the command interpreter, which runs batch files, would not pass on as they are:
// there is no quoting that it honours everywhere.
func checkArguments(path string, arguments []string) error {
	if extension := strings.ToLower(filepath.Ext(path)); extension != ".bat" && extension != ".cmd" {
		return nil
	}
	for _, argument := range arguments {
		if strings.ContainsAny(argument, "\"%!^&|<>()\r\n") {
			return fmt.Errorf("argument %q cannot be given to the batch file %s: the command interpreter would read it otherwise", argument, filepath.Base(path))
		}
	}
	return nil
}
