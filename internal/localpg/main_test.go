//go:build linux

package localpg

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"

	"testing"
)

// childMode names the variable that makes this binary a child of a test.
const childMode = "LOCALPG_CHILD"

func TestMain(m *testing.M) {
	mode := os.Getenv(childMode)
	if mode == "" {
		os.Exit(m.Run())
	}
	if err := child1(mode); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child1 is what a child of a test does: hold a server until it is killed, live
// a server's whole life, or try what this user may do.
func child1(mode string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	switch mode {
	case "namespace":
		in := installation{bin: "/bin", as: selfIdentity(os.Geteuid(), os.Getegid())}
		cmd := in.command("true")
		p, err := spawn(cmd, in.as, deathKill)
		if err != nil {
			return err
		}
		return p.wait(ctx)
	case "powerless":
		runtime.LockOSThread()
		return dropCapabilities()
	}
	c := Config{
		Root: os.Getenv("CHILD_ROOT"), Tree: os.Getenv("CHILD_TREE"), BinDir: os.Getenv("CHILD_BIN"),
		Fast: true, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	if as := os.Getenv("CHILD_AS"); as != "" {
		c.on.identities = only(as)
	}
	s, err := Start(ctx, c)
	if err != nil {
		return err
	}
	if mode == "hold" {
		fmt.Println(s.postmaster.pid(), s.OwnerDSN)
		select {}
	}
	return s.Stop(ctx)
}
