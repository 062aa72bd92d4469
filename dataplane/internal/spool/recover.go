package spool

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
)

// run is consecutive records of a ring that an earlier process left behind.
type run struct {
	ring  *ring
	epoch uint64
	base  uint64     // what the sequences of the ring are more than those of the chain
	start checkpoint // behind which it begins
	end   position
}

// recover returns what nobody has acked in a ring that was left behind, in order.
//
//	process killed   [ acked │ run │ perhaps half a record ]
//	power lost       [ acked │ run │ ??? │ another run, which the disk had earlier │ ??? ]
//
// What is half, nobody was promised: the process ended while it wrote it. A hole, with whole records behind it, comes from a
// machine that ended. What follows what behind it cannot be known, so each further run is handed over under an epoch of
// its own, made of its place so that it is the same at every try, and with the hole in its sequences: the ledger shows it.
func (r *ring) recover() (runs []run, err error) {
	failed := touching(func() {
		start := r.noted()
		end := r.walk(start.position)
		if end.sequence > start.sequence {
			runs = append(runs, run{r, r.epoch, 0, start, end})
		}
		for _, first := range r.scattered(end.sequence) {
			if first.sequence < end.sequence {
				continue // Part of the run before.
			}
			base := end.sequence
			end = r.walk(first)
			runs = append(runs, run{r, salvageEpoch(r.epoch, first.sequence), base, checkpoint{position: first}, end})
		}
		r.shrink(start.offset, runs)
	})
	return runs, failed
}

// walk returns the position behind the last of the whole records that follow one position without a gap.
func (r *ring) walk(p position) position {
	for {
		found, ok := r.next(p)
		if !ok {
			return p
		}
		p = found.end
	}
}

// scattered returns the positions before all whole records whose sequence is larger than one, in the order of sequences. It
// goes from record to record where it can, for what is inside of one is not ours to read.
func (r *ring) scattered(after uint64) []position {
	var all []position
	for offset := 0; offset < len(r.records); {
		found, ok := r.read(offset)
		if !ok {
			offset += align
			continue
		}
		if found.end.sequence > after {
			all = append(all, position{found.end.sequence - 1, offset})
		}
		offset = found.end.offset
	}
	slices.SortFunc(all, func(a, b position) int { return cmp.Compare(a.sequence, b.sequence) })
	return all
}

// shrink gives back the space behind the last record, if no run goes around the end: a node that is killed again and again
// while nobody takes its events must not fill the disk with rings. The place where acks have come to stays, or the next
// process would not believe the checkpoint.
func (r *ring) shrink(acked int, runs []run) {
	used := acked
	for _, run := range runs {
		if run.end.offset < run.start.offset {
			return
		}
		used = max(used, run.end.offset)
	}
	if r.memory.file.Truncate(int64(pageLen+used)) == nil { // Else it is only larger.
		r.records = r.records[:used]
	}
}

// salvageEpoch returns the epoch of a run behind a hole.
func salvageEpoch(epoch, sequence uint64) uint64 {
	var place [16]byte
	binary.BigEndian.PutUint64(place[:8], epoch)
	binary.BigEndian.PutUint64(place[8:], sequence)
	sum := sha256.Sum256(place[:])
	return binary.BigEndian.Uint64(sum[:]) | 1 // Never 0.
}

// size returns how many records a run has, and how many bytes of the ring they take.
func (u *run) size() (events int, bytes int64, err error) {
	err = touching(func() {
		for p := u.start.position; p.sequence < u.end.sequence; events++ {
			found, ok := u.ring.next(p)
			if !ok {
				break
			}
			bytes += recordLen(int64(len(found.event)))
			p = found.end
		}
	})
	if err == nil && uint64(events) != u.end.sequence-u.start.sequence {
		err = errors.New("a record changed while it was read")
	}
	return events, bytes, err
}
