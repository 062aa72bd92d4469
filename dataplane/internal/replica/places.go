package replica

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// Where agents and nodes are is in no snapshot, since it changes more often and is no decision of anybody. It is kept in a
// file of its own, sealed to the node as the snapshot is: whoever could write it would say to whom calls are relayed.
const (
	placesFile = "locations.sealed"
	// placesContext binds the sealed message to its purpose.
	placesContext = "warder/replica/locations/v1"
	// placesRest is how long the writer rests after each time, so that agents which come and go cost two writes in four
	// seconds at the most. It is how old the file may be of a node that is killed: what is out of date there, other nodes
	// refuse, and the control plane corrects.
	placesRest = maxRest
	// maxPlaces bounds the file, in bytes: it is some 100,000 agents with a few servers each. More is not kept.
	maxPlaces = 16 << 20
)

// locate passes on where agents and nodes are, and has it kept unless it is what was kept last.
func (r *Replica[I]) locate(locations *syncv1.Locations, writer *writer) {
	if locations == nil || r.config.Locations == nil {
		return
	}
	r.config.Locations(locations)
	if proto.Equal(locations, r.places) {
		return
	}
	r.places = locations
	writer.put(func(file io.Writer, _ func()) error { return r.encodePlaces(file, locations) })
}

func (r *Replica[I]) encodePlaces(file io.Writer, locations *syncv1.Locations) error {
	plain, err := proto.Marshal(locations)
	if err != nil {
		return err
	}
	sealed, err := r.config.Seal.Seal(plain, placesContext)
	if err != nil {
		return err
	}
	if len(sealed) > maxPlaces {
		return fmt.Errorf("they have %d bytes, and no more than %d are kept", len(sealed), maxPlaces)
	}
	_, err = file.Write(sealed)
	return err
}

// recall tells where agents and nodes were when the node last heard it. A file that cannot be used is as none: the next
// that is heard replaces it.
func (r *Replica[I]) recall() {
	if r.config.Recalled == nil {
		return
	}
	locations, err := r.decodePlaces(filepath.Join(r.config.Dir, placesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		r.config.Log.Warn("where agents were is not known; those that are at other nodes are reached when the control plane has said where", "error", err)
		return
	}
	r.places = locations
	r.config.Recalled(locations)
}

func (r *Replica[I]) decodePlaces(path string) (*syncv1.Locations, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	sealed, err := io.ReadAll(io.LimitReader(file, maxPlaces+1))
	if err != nil {
		return nil, err
	}
	if len(sealed) > maxPlaces {
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxPlaces)
	}
	plain, err := r.config.Seal.Open(sealed, placesContext)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	locations := new(syncv1.Locations)
	if err := proto.Unmarshal(plain, locations); err != nil {
		return nil, fmt.Errorf("decode %s: %w", path, err)
	}
	return locations, nil
}

// startPlacesWriter starts what keeps them on disk.
func (r *Replica[I]) startPlacesWriter() *writer {
	return startWriter(placesRest, func(content content) {
		if err := r.write(placesFile, content); err != nil {
			r.config.Log.Error("where agents are could not be written to disk; a restart without the control plane would go by where they were", "error", err)
		}
	})
}
