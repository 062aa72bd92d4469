// Command validateproto prints buf/validate/validate.proto from the Go module
// that carries its compiled descriptor, so that buf needs no registry of its
// own to resolve the import.
//
// Usage: validateproto > proto/buf/validate/validate.proto
package main

import (
	"fmt"
	"os"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/jhump/protoreflect/desc"
	"github.com/jhump/protoreflect/desc/protoprint"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "validateproto:", err)
		os.Exit(1)
	}
}

func run() error {
	file, err := desc.WrapFile(validate.File_buf_validate_validate_proto)
	if err != nil {
		return fmt.Errorf("wrap validate.proto: %w", err)
	}
	text, err := new(protoprint.Printer).PrintProtoToString(file)
	if err != nil {
		return fmt.Errorf("print validate.proto: %w", err)
	}
	_, err = fmt.Printf("// Printed by tools/validateproto from the protovalidate module\n// (Apache-2.0, Buf Technologies, Inc.). Do not edit.\n\n%s", text)
	return err
}
