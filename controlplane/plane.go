package controlplane

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warder-gateway/warder/controlplane/internal/admin"
	"github.com/warder-gateway/warder/controlplane/internal/catalog"
	"github.com/warder-gateway/warder/controlplane/internal/compiler"
	"github.com/warder-gateway/warder/controlplane/internal/directory"
	"github.com/warder-gateway/warder/controlplane/internal/ended"
	"github.com/warder-gateway/warder/controlplane/internal/enrollment"
	"github.com/warder-gateway/warder/controlplane/internal/feed"
	"github.com/warder-gateway/warder/controlplane/internal/instance"
	"github.com/warder-gateway/warder/controlplane/internal/ledger"
	"github.com/warder-gateway/warder/controlplane/internal/login"
	"github.com/warder-gateway/warder/controlplane/internal/publisher"
	"github.com/warder-gateway/warder/controlplane/internal/share"
	"github.com/warder-gateway/warder/controlplane/internal/signon"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/seal"
)

// Plane is a control plane. It is safe for concurrent use. Whoever opened it
// runs Run, and calls Close after everything that was begun on it has returned.
type Plane struct {
	config Config
	log    *slog.Logger

	store     *store.Store
	secrets   compiler.Secrets
	authority *enrollment.Authority
	admission *enrollment.Admission
	enroll    *enrollment.Service
	feed      *feed.Feed
	publisher *publisher.Publisher
	sessions  *ended.List
	shares    *share.Allocator
	ledger    *ledger.Ledger
	refresher *catalog.Refresher
	directory *directory.Directory
	setup     *login.SetupToken // nil once an administrator exists
	admin     *admin.API

	// publishing is held by whoever puts a set in force: what was read last must be
	// what is published last.
	publishing sync.Mutex
	compiled   atomic.Int64 // when, in nanoseconds since 1970

	lost      chan history  // what the database may have lost; see watchHistory
	draining  chan struct{} // closed by Drain
	drainOnce sync.Once
}

// Open migrates the database, makes or opens the secrets of the installation,
// and compiles the configuration once. A configuration that does not compile is
// logged, and leaves nodes with what they have: administrators must be able to
// put it right.
func Open(ctx context.Context, config Config) (*Plane, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	p := &Plane{config: config, log: config.Log, lost: make(chan history, 1), draining: make(chan struct{})}
	if err := p.open(ctx); err != nil {
		p.Close()
		return nil, err
	}
	if _, err := p.apply(ctx); err != nil {
		p.log.Error("the configuration does not compile; nodes keep what they have until it does", "error", err)
	}
	return p, nil
}

// open wires the parts, in the order in which they depend on each other.
func (p *Plane) open(ctx context.Context) (err error) {
	p.store, err = store.Open(ctx, store.Config{URL: p.config.DatabaseURL, MigrateURL: p.config.MigrateURL, Log: p.log})
	if err != nil {
		return err
	}
	keys, err := p.openKeys(ctx)
	if err != nil {
		return err
	}
	secrets, err := instance.Load(ctx, p.store, keys)
	if err != nil {
		return err
	}
	p.secrets = compiler.Secrets{Keys: keys, Pepper: secrets.Pepper, DigestKey: secrets.DigestKey}
	if p.authority, err = enrollment.LoadAuthority(ctx, p.store, keys); err != nil {
		return err
	}
	p.admission = enrollment.NewAdmission(p.authority, p.config.Registerer, p.log)
	p.enroll = enrollment.NewService(p.authority, *p.config.RejoinWithin, p.log)
	if err := instance.KeepSealKeys(ctx, p.store, keys, time.Now()); err != nil {
		return err
	}
	p.feed = feed.New(feed.Config{Store: p.store, WentBack: p.suspect, Log: p.log})
	p.directory = directory.New(directory.Config{
		Store: p.store, Keys: keys, Feed: p.feed, Replica: replicaName(), Version: p.config.Version, Log: p.log,
		Ready: func(server string) { p.refresher.Changed(server) },
	})
	p.refresher = catalog.NewRefresher(catalog.Config{
		Store: p.store, Keys: keys, Log: p.log, Age: p.config.DiscoverEvery,
		Discoverer: catalog.NewDiscoverer(p.config.Version).Through(p.directory),
	})
	p.sessions = ended.New(ended.Config{Store: p.store, Log: p.log})
	p.shares = share.New(share.Config{Count: p.countNodes, Log: p.log})
	p.publisher = publisher.New(publisher.Config{
		Key: secrets.Signing, Replica: replicaName(), Book: p.directory, Locations: p.directory, Ahead: p.suspect,
		Sessions: p.sessions, Shares: p.shares, ServerChanged: p.refresher.Changed,
		Registerer: p.config.Registerer, Log: p.log,
	})
	p.ledger = ledger.New(ledger.Config{Store: p.store, Registerer: p.config.Registerer, Log: p.log})
	if err := p.openSetup(ctx); err != nil {
		return err
	}
	return p.openAdmin(keys, secrets)
}

// countNodes returns how many nodes are connected, to whichever replica.
func (p *Plane) countNodes(ctx context.Context) (int, error) {
	n, err := p.store.CountNodes(ctx)
	return int(n), err
}

// openKeys reads the key-encryption key. The data directory is made only when it is
// known that this installation may be served from it.
func (p *Plane) openKeys(ctx context.Context) (*seal.Vault, error) {
	if p.config.KEK == "" {
		return instance.OpenKeys(ctx, p.store, p.config.KEKFile, p.config.makeDataDir)
	}
	vault, err := seal.ParseVault(p.config.KEK)
	if err != nil {
		return nil, fault.Wrap(fault.Precondition, "the key-encryption keys of WARDER_KEK cannot be used: "+fault.Text(err), err).Coded(instance.CodeKey)
	}
	return vault, p.config.makeDataDir()
}

// openAdmin wires the API of the administration.
func (p *Plane) openAdmin(keys *seal.Vault, secrets *instance.Secrets) error {
	desk := login.NewDesk(login.Config{Book: login.NewBook(p.store), Setup: p.setup, DeviceKey: deviceKey(secrets.Pepper), Log: p.log})
	publicURL, err := p.config.publicURL()
	if err != nil {
		return err
	}
	signOn, err := signon.New(signon.Config{
		Store: p.store, Desk: desk, Keys: keys, CookieKey: secrets.SignOnKey, PublicURL: publicURL, Log: p.log,
	})
	if err != nil {
		return fmt.Errorf("open sign-on: %w", err)
	}
	p.admin, err = admin.New(admin.Config{
		Store:      p.store,
		Desk:       desk,
		SignOn:     signOn,
		Guard:      login.Guard{Hosts: p.config.hosts(), Secure: p.config.BehindProxy},
		Refresher:  p.refresher,
		Keys:       keys,
		Pepper:     secrets.Pepper,
		CurrentSet: p.publisher.Current,
		AwaitNodes: p.publisher.AwaitNodes,
		Authority:  p.authority,
		ForPeers:   p.config.NodeAddress,
		Version:    p.config.Version,
		StartedAt:  time.Now(),
		Log:        p.log,
	})
	if err != nil {
		return fmt.Errorf("open the admin API: %w", err)
	}
	return nil
}

// deviceKey derives the key of devices' cookies, so that every replica knows those
// of the others.
func deviceKey(pepper []byte) []byte {
	mac := hmac.New(sha256.New, pepper)
	mac.Write([]byte("warder/device-key/v1"))
	return mac.Sum(nil)
}

// replicaName names this process among replicas.
func replicaName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s:%d", host, os.Getpid())
}

// openSetup makes the setup token while nobody can sign in as an owner, and puts
// it into a file for whoever may read it.
func (p *Plane) openSetup(ctx context.Context) error {
	exists, err := p.store.AdministratorExists(ctx)
	if err != nil {
		return fmt.Errorf("look for an administrator: %w", err)
	}
	if exists {
		return p.removeSetupFile()
	}
	now := time.Now()
	p.setup = login.NewSetupToken(now)
	// Not through a link or onto a file of somebody else's: it is made anew.
	if err := p.removeSetupFile(); err != nil {
		return err
	}
	file, err := os.OpenFile(p.setupFile(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write setup token: %w", err)
	}
	_, err = file.WriteString(p.setup.Reveal(now) + "\n")
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write setup token: %w", err)
	}
	return nil
}

// setupFile is where the setup token lies.
func (p *Plane) setupFile() string { return filepath.Join(p.config.DataDir, "setup-token") }

// removeSetupFile removes the file, if there is one.
func (p *Plane) removeSetupFile() error {
	if err := os.Remove(p.setupFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove setup token: %w", err)
	}
	return nil
}

// SetupTokenLife is how long the setup token of a process is valid.
const SetupTokenLife = login.SetupTokenLife

// SetupToken returns the secret with which the first administrator can be made;
// empty once one exists or the token expired.
func (p *Plane) SetupToken() string { return p.setup.Reveal(time.Now()) }

// announceSetup says how the first administrator is made, while there is none: by a link
// with what lies in a file. The token itself is in no log, which many may read.
func (p *Plane) announceSetup(people net.Addr) {
	if p.SetupToken() == "" {
		return
	}
	at := p.config
	at.Listen = people.String()
	base, err := at.publicURL()
	if err != nil || base == "" {
		base = "https://HOST[:PORT]" // Whatever leads here.
	}
	p.log.Info("there is no administrator yet: open the link with the token of the file to make the first",
		"link", base+"/setup#t=TOKEN", "token_file", p.setupFile(), "valid_for", SetupTokenLife.String())
}

// Admit lets a peer in that runs in this process, as a join token does with others.
func (p *Plane) Admit(ctx context.Context, c identity.Config, name string) (*identity.Identity, error) {
	return p.enroll.Admit(ctx, c, name)
}

// Drain ends the streams of the admin API, which would otherwise last as long as
// those who read them. Register it with the shutdown of the servers that serve
// the handlers.
func (p *Plane) Drain() { p.drainOnce.Do(func() { close(p.draining) }) }

// Close releases the database. Nothing of the plane works after it; a setup token
// that was not used is worthless.
func (p *Plane) Close() {
	p.Drain()
	if p.setup != nil {
		if err := p.removeSetupFile(); err != nil {
			p.log.Warn("the setup token is worthless, but its file stays", "error", err)
		}
	}
	if p.store != nil {
		p.store.Close()
	}
}
