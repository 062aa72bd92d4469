//go:build unix

package localpg

func (c Config) address(cl cluster, as identity) (address, error) {
	dir, err := socketDir(cl, as)
	return address{host: dir, port: socketPort}, err
}
