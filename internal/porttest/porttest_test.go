package porttest

import (
	"net"
	"testing"
)

func TestAnAddressIsGivenOnceAndIsNoneOfTheSystems(t *testing.T) {
	seen := map[string]bool{}
	for range size / 2 {
		address := Free(t)
		if seen[address] {
			t.Fatalf("%s is given twice", address)
		}
		seen[address] = true
		at, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if at.Port < 1024 || at.Port >= 32768 || !at.IP.IsLoopback() {
			t.Fatalf("%s is privileged, not loopback, or one that the system gives to connections", address)
		}
	}
}

// The sockets stay open, so that by its second round the range has busy ports in it.
func TestAnAddressInUseIsPassedOver(t *testing.T) {
	for range size / 2 {
		socket, err := net.Listen("tcp", Free(t))
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
	}
	for range size {
		socket, err := net.Listen("tcp", Free(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := socket.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
