package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/term"
)

// listen takes the address that a flag gave, or says who holds it.
func listen(flag, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err == nil {
		return l, nil
	}
	_, port, _ := net.SplitHostPort(address)
	other := flag + " or " + variable(flag)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return nil, portError(fmt.Errorf("listen on %s: %w; choose another address with %s", address, err, other))
	}
	holder := "another process"
	if n, convErr := strconv.ParseUint(port, 10, 16); convErr == nil {
		if found := portHolder(uint16(n)); found != "" {
			holder = found
		}
	}
	return nil, portError(fmt.Errorf("port %s is used by %s; choose another with %s", port, holder, other))
}

func portError(err error) error { return &exitCodeError{exitPrecondition, codePort, err} }

// portHolder names the process that listens on a TCP port, as "pid 812
// (grafana)". It is empty where the system does not say: it reads /proc, which
// only Linux has.
func portHolder(port uint16) string {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		if inode := listeningInode(table, port); inode != "" {
			return socketOwner(inode)
		}
	}
	return ""
}

// listeningInode finds the socket that listens on port in a table of
// /proc/net/tcp's form: its second field is address:port in hex, its fourth the
// state (0A is LISTEN), its tenth the inode.
func listeningInode(table string, port uint16) string {
	f, err := os.Open(table)
	if err != nil {
		return ""
	}
	defer f.Close()
	suffix := fmt.Sprintf(":%04X", port)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 9 && strings.HasSuffix(fields[1], suffix) && fields[3] == "0A" {
			return fields[9]
		}
	}
	return ""
}

func socketOwner(inode string) string {
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || target != "socket:["+inode+"]" {
			continue
		}
		pid := strings.Split(link, "/")[2]
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			return "pid " + pid
		}
		return fmt.Sprintf("pid %s (%s)", pid, strings.TrimSpace(string(name)))
	}
	return ""
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
