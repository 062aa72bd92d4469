package tunnel

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// kind is the number of the field that says what a frame is.
type kind = protowire.Number

// The numbers are those of proto/warder/tunnel/v1.
const (
	kindHello   kind = 2
	kindOpen    kind = 3
	kindHead    kind = 4
	kindData    kind = 5
	kindReset   kind = 6
	kindCredit  kind = 7
	kindPing    kind = 8
	kindPong    kind = 9
	kindDrain   kind = 10
	kindServers kind = 11
)

// frame is one that was received. Its bytes are those of the message, and good as long as that.
type frame struct {
	stream uint64
	kind   kind
	number uint64 // of credit, ping and pong

	message []byte // of Hello and Servers, which are rare and read by the generated code

	server, method, agent, errand []byte  // of Open
	caller                        []byte  // of Open
	timeout                       uint64  // of Open, microseconds
	status                        uint64  // of Head
	fields                        []field // of Open and Head
	body                          []byte  // of Open, Head and Data
	end                           bool    // of Open, Head and Data
	code                          uint64  // of Reset
	reason                        []byte  // of Reset
}

type field struct{ name, value []byte }

var errEncoding = broken("frames are well-formed messages of protobuf")

// eachField calls f with the fields of a message: number is the value of a varint, bytes that of anything with a length.
func eachField(message []byte, f func(n protowire.Number, t protowire.Type, number uint64, bytes []byte) error) error {
	for len(message) > 0 {
		n, t, size := protowire.ConsumeTag(message)
		if size < 0 || n > protowire.MaxValidNumber {
			return errEncoding
		}
		message = message[size:]
		var number uint64
		var bytes []byte
		switch t {
		case protowire.VarintType:
			number, size = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			bytes, size = protowire.ConsumeBytes(message)
		default:
			size = protowire.ConsumeFieldValue(n, t, message)
		}
		if size < 0 {
			return errEncoding
		}
		message = message[size:]
		if err := f(n, t, number, bytes); err != nil {
			return err
		}
	}
	return nil
}

// wrongType returns an error unless a field is encoded as it should be. Fields that are not known are skipped.
func wrongType(t protowire.Type, want protowire.Type) error {
	if t != want {
		return errEncoding
	}
	return nil
}

// parse reads one frame, in place of what f held.
func (f *frame) parse(message []byte) error {
	*f = frame{fields: f.fields[:0]}
	var content []byte
	err := eachField(message, func(n protowire.Number, t protowire.Type, number uint64, bytes []byte) error {
		switch {
		case n == 1:
			f.stream = number
			return wrongType(t, protowire.VarintType)
		case n > kindServers:
			return nil
		case f.kind != 0:
			return broken("a frame is of one kind")
		}
		f.kind, f.number, content = n, number, bytes
		if n == kindCredit || n == kindPing || n == kindPong {
			return wrongType(t, protowire.VarintType)
		}
		return wrongType(t, protowire.BytesType)
	})
	if err != nil {
		return err
	}
	return f.parseContent(content)
}

func (f *frame) parseContent(content []byte) error {
	switch f.kind {
	case kindOpen:
		return eachField(content, f.openField)
	case kindHead:
		return eachField(content, f.headField)
	case kindData:
		return eachField(content, f.dataField)
	case kindReset:
		return eachField(content, f.resetField)
	case kindCredit, kindPing, kindPong, kindDrain:
		return nil
	case kindHello, kindServers:
		f.message = content
		return nil
	}
	return broken("a frame is of a kind that the revision has")
}

func (f *frame) openField(n protowire.Number, t protowire.Type, number uint64, bytes []byte) error {
	switch n {
	case 1:
		return text(&f.server, t, bytes)
	case 2:
		return text(&f.method, t, bytes)
	case 3:
		return f.addField(t, bytes)
	case 4:
		f.body = bytes
		return wrongType(t, protowire.BytesType)
	case 5:
		f.end = number != 0
		return wrongType(t, protowire.VarintType)
	case 6:
		f.timeout = number
		return wrongType(t, protowire.VarintType)
	case 7:
		return text(&f.agent, t, bytes)
	case 8:
		return text(&f.errand, t, bytes)
	case 9:
		f.caller = bytes
		return wrongType(t, protowire.BytesType)
	}
	return nil
}

func (f *frame) headField(n protowire.Number, t protowire.Type, number uint64, bytes []byte) error {
	switch n {
	case 1:
		f.status = number
		return wrongType(t, protowire.VarintType)
	case 2:
		return f.addField(t, bytes)
	case 3:
		f.body = bytes
		return wrongType(t, protowire.BytesType)
	case 4:
		f.end = number != 0
		return wrongType(t, protowire.VarintType)
	}
	return nil
}

func (f *frame) dataField(n protowire.Number, t protowire.Type, number uint64, bytes []byte) error {
	switch n {
	case 1:
		f.body = bytes
		return wrongType(t, protowire.BytesType)
	case 2:
		f.end = number != 0
		return wrongType(t, protowire.VarintType)
	}
	return nil
}

func (f *frame) resetField(n protowire.Number, t protowire.Type, number uint64, bytes []byte) error {
	switch n {
	case 1:
		f.code = number
		return wrongType(t, protowire.VarintType)
	case 2:
		return text(&f.reason, t, bytes)
	}
	return nil
}

func (f *frame) addField(t protowire.Type, message []byte) error {
	if err := wrongType(t, protowire.BytesType); err != nil {
		return err
	}
	if len(f.fields) == maxFields {
		return errFields
	}
	var one field
	err := eachField(message, func(n protowire.Number, t protowire.Type, _ uint64, bytes []byte) error {
		switch n {
		case 1:
			return text(&one.name, t, bytes)
		case 2:
			return text(&one.value, t, bytes)
		}
		return nil
	})
	f.fields = append(f.fields, one)
	return err
}

var errFields = broken("a head has no more fields than are allowed")

// text takes a string, which must be UTF-8: the generated code of other ends would refuse it.
func text(to *[]byte, t protowire.Type, bytes []byte) error {
	if t != protowire.BytesType || !utf8.Valid(bytes) {
		return errEncoding
	}
	*to = bytes
	return nil
}

// headSize is how many bytes of text a head has.
func (f *frame) headSize() int {
	size := len(f.server) + len(f.agent) + len(f.errand)
	for _, field := range f.fields {
		size += len(field.name) + len(field.value)
	}
	return size
}

// texts is all text of a frame as one string, of which parts are cut in the same order: one allocation for all.
type texts struct{ all string }

func (f *frame) texts() texts {
	buf := newBuffer(f.headSize())
	defer buf.free()
	for _, one := range [...][]byte{f.server, f.agent, f.errand} {
		buf.bytes = append(buf.bytes, one...)
	}
	for _, field := range f.fields {
		buf.bytes = append(append(buf.bytes, field.name...), field.value...)
	}
	return texts{all: string(buf.bytes)}
}

func (t *texts) next(b []byte) string {
	s := t.all[:len(b)]
	t.all = t.all[len(b):]
	return s
}

// header returns the fields as strings; the names before them were taken already.
func (t *texts) header(from []field) []Field {
	if len(from) == 0 {
		return nil
	}
	header := make([]Field, len(from))
	for i, one := range from {
		header[i] = Field{Name: t.next(one.name), Value: t.next(one.value)}
	}
	return header
}

// resetCode is the code of a reset; one that is not known is a failure.
func (f *frame) resetCode() tunnelv1.ResetCode {
	switch code := tunnelv1.ResetCode(min(f.code, 1<<20)); code {
	case tunnelv1.ResetCode_RESET_CODE_CANCELLED, tunnelv1.ResetCode_RESET_CODE_REFUSED:
		return code
	}
	return tunnelv1.ResetCode_RESET_CODE_FAILED
}
