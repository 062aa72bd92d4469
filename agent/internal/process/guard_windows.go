package process

// guard has nothing to do: a job ends with the process that holds it.
type guard struct{}

func (*guard) start(int, string) error { return nil }
func (*guard) stop()                   {}
