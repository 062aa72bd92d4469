package spool

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/warder-gateway/warder/internal/audit"
)

// ring is a bounded log of records in one piece of memory, which a file may keep. It is not safe for concurrent use, but
// records before the head never change until they are acked, so that one goroutine may read them while another appends.
// Whoever appends sees to it that the ring has room: with at most len(records)-maxRecord bytes that are not acked, a record
// never meets one of those, though one may not be split and leaves its length unused at the end of the memory.
type ring struct {
	epoch      uint64
	generation uint64 // of rings in one directory: a later one has a larger
	secret     uint32 // what checksums of records begin with
	memory     *mapping
	records    []byte // of memory, behind the head page
	head       position
	slot       int // of the head page, where the next checkpoint goes
}

// position is a place between two records.
type position struct {
	sequence uint64 // of the record before it; 0 at the beginning
	offset   int    // where the next record begins, unless it did not fit there and is at 0
}

// checkpoint is how far something has come.
type checkpoint struct {
	position
	hash  [audit.HashSize]byte // of the record before it
	total int64                // bytes of records since some beginning
}

// What a ring consists of, in bytes.
const (
	pageLen   = 4096 // the head page
	headLen   = 24   // what is in front of an event
	align     = 8
	maxRecord = (headLen + MaxEvent + resultRoom + align - 1) &^ (align - 1)
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// recordLen is how many bytes of a ring an event of so many bytes takes.
func recordLen(event int64) int64 { return (headLen + event + align - 1) &^ (align - 1) }

// checksum is the part of a record's checksum that is computed before its place is known.
func checksum(event []byte) uint32 { return crc32.Checksum(event, castagnoli) }

// seal returns the checksum of a record, given that of its event and what is in front of it. It covers all of that but
// itself, and a secret, which leaves the file never: so nothing that another ring left in the same memory is taken for a
// record of this one, nor what somebody has written into an event, such as the error text of a server, to look like one.
func (r *ring) seal(sum uint32, head []byte) uint32 {
	sum ^= r.secret
	return crc32.Update(crc32.Update(sum, castagnoli, head[:4]), castagnoli, head[8:headLen])
}

// append writes a record at the head. Sum is the checksum of the event, and at when it came.
func (r *ring) append(event []byte, sum uint32, at time.Time) error {
	size, offset := int(recordLen(int64(len(event)))), r.head.offset
	if len(r.records)-offset < size {
		offset = 0
	}
	sequence := r.head.sequence + 1
	err := r.memory.change(pageLen+offset, size, func(to []byte) {
		binary.LittleEndian.PutUint32(to[0:], uint32(len(event)))
		binary.LittleEndian.PutUint64(to[8:], sequence)
		binary.LittleEndian.PutUint64(to[16:], uint64(at.UnixNano()))
		binary.LittleEndian.PutUint32(to[4:], r.seal(sum, to))
		copy(to[headLen:], event)
	})
	if err == nil {
		r.head = position{sequence, offset + size}
	}
	return err
}

// record is one that was read. Its event is memory of the ring.
type record struct {
	event []byte
	at    time.Time
	end   position
}

// next returns the record behind a position. There is none where ok is false, or it is not whole.
func (r *ring) next(p position) (found record, ok bool) {
	if found, ok = r.read(p.offset); ok && found.end.sequence == p.sequence+1 {
		return found, true
	}
	found, ok = r.read(0)
	return found, ok && found.end.sequence == p.sequence+1
}

// read returns the record that begins at an offset.
func (r *ring) read(offset int) (record, bool) {
	if offset < 0 || len(r.records)-offset < headLen {
		return record{}, false
	}
	head := r.records[offset : offset+headLen]
	length, sequence := int64(binary.LittleEndian.Uint32(head)), binary.LittleEndian.Uint64(head[8:])
	size := recordLen(length)
	if sequence == 0 || size > maxRecord || size > int64(len(r.records)-offset) {
		return record{}, false
	}
	event := r.records[offset+headLen : offset+headLen+int(length)]
	if binary.LittleEndian.Uint32(head[4:]) != r.seal(checksum(event), head) {
		return record{}, false
	}
	return record{event, time.Unix(0, int64(binary.LittleEndian.Uint64(head[16:]))), position{sequence, offset + int(size)}}, true
}

// follow returns the checkpoint behind a record that comes right behind c. Sequences of the chain are those of the ring
// less base.
func (c checkpoint) follow(found record, epoch, base uint64) checkpoint {
	next := checkpoint{position: found.end, total: c.total + recordLen(int64(len(found.event)))}
	audit.AppendChain(next.hash[:0], c.hash[:], epoch, found.end.sequence-base, found.event)
	return next
}

// The head page: magic, epoch, generation, secret, their checksum; and two slots for checkpoints, which are written in turns,
// so that one of them is whole whenever the process ends.
const (
	magic     = "warder spool 1\n\x00"
	slotAt    = 128
	slotLen   = 64
	slotWhole = 8 + 8 + audit.HashSize // and a checksum behind it
)

// introduction returns what the head page of a new ring begins with.
func introduction(epoch, generation uint64, secret uint32) []byte {
	page := binary.LittleEndian.AppendUint64([]byte(magic), epoch)
	page = binary.LittleEndian.AppendUint64(page, generation)
	page = binary.LittleEndian.AppendUint32(page, secret)
	return binary.LittleEndian.AppendUint32(page, checksum(page))
}

// introduce reads the head page of a ring, up to its slots, and reports whether it is one.
func (r *ring) introduce() bool {
	page := r.memory.bytes[:slotAt]
	values := page[len(magic):]
	r.epoch, r.generation = binary.LittleEndian.Uint64(values), binary.LittleEndian.Uint64(values[8:])
	r.secret = binary.LittleEndian.Uint32(values[16:])
	whole := introduction(r.epoch, r.generation, r.secret)
	return bytes.Equal(page[:len(whole)], whole)
}

// note writes down how far acks have come.
func (r *ring) note(c *checkpoint) error {
	err := r.memory.change(slotAt+r.slot*slotLen, slotLen, func(to []byte) {
		binary.LittleEndian.PutUint64(to, c.sequence)
		binary.LittleEndian.PutUint64(to[8:], uint64(c.offset))
		copy(to[16:], c.hash[:])
		binary.LittleEndian.PutUint32(to[slotWhole:], checksum(to[:slotWhole]))
	})
	r.slot = 1 - r.slot
	return err
}

// noted returns the latest checkpoint that note wrote; the beginning, if there is none.
func (r *ring) noted() (latest checkpoint) {
	for slot := range 2 {
		text := r.memory.bytes[slotAt+slot*slotLen:][:slotLen]
		if binary.LittleEndian.Uint32(text[slotWhole:]) != checksum(text[:slotWhole]) {
			continue
		}
		sequence, offset := binary.LittleEndian.Uint64(text), binary.LittleEndian.Uint64(text[8:])
		if sequence > latest.sequence && offset <= uint64(len(r.records)) {
			latest = checkpoint{position: position{sequence, int(offset)}, hash: [audit.HashSize]byte(text[16:])}
			r.slot = 1 - slot
		}
	}
	return latest
}

// forget tells that the records between two offsets are not needed any more. A piece of the ring at a time leaves the
// memory that counts as this process's.
func (r *ring) forget(from, to int) {
	const piece = 1 << 20
	if to < from {
		r.memory.forget(pageLen+from/piece*piece, len(r.memory.bytes))
		from = 0
	}
	if from/piece < to/piece {
		r.memory.forget(pageLen+from/piece*piece, pageLen+to/piece*piece)
	}
}
