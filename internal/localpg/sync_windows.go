package localpg

// syncDir has no meaning here.
func syncDir(string) error { return nil }
