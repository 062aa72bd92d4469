package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Collisions are made by so many clients, each of which has so many calls under
// way at a time, until it has made those that WARDER_COLLIDING_CALLS says.
const (
	collidingClients = 200
	collidingAtOnce  = 4
)

// numberFrom returns a number of the environment, for forms of a test that are longer
// than the usual one.
func numberFrom(t *testing.T, variable string, usual int) int {
	t.Helper()
	text, set := os.LookupEnv(variable)
	if !set {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q", variable, text)
	}
	return n
}

// startDelaying is a raw server that answers calls late and out of order, as JSON or
// as a stream, with the nonce that each came with. It fails the test when two calls
// that are under way at once share an id.
func startDelaying(t *testing.T, modern bool) *raw {
	t.Helper()
	var mu sync.Mutex
	under := map[string]bool{}
	s := startRaw(t, modern, nil)
	s.answer = func(w http.ResponseWriter, m *message) {
		var params struct {
			Arguments struct{ Nonce string }
			Meta      struct{ ProgressToken any } `json:"_meta"`
		}
		if err := json.Unmarshal(m.Params, &params); err != nil {
			t.Errorf("a call came as %s: %v", m.body, err)
			return
		}
		id := m.header.Get("Mcp-Session-Id") + string(m.ID)
		mu.Lock()
		if under[id] && !modern {
			t.Errorf("two calls of session %s are under way under the id %s", m.header.Get("Mcp-Session-Id"), m.ID)
		}
		under[id] = true
		mu.Unlock()
		time.Sleep(time.Duration(rand.Int64N(int64(20 * time.Millisecond))))
		mu.Lock()
		delete(under, id)
		mu.Unlock()
		members := fmt.Sprintf(`"content":[{"type":"text","text":%q}]`, params.Arguments.Nonce)
		if rand.IntN(2) == 0 {
			s.result(w, m, members)
			return
		}
		if modern {
			members = `"resultType":"complete",` + members
		}
		var messages []string
		if token := params.Meta.ProgressToken; token != nil {
			quoted, _ := json.Marshal(token)
			messages = append(messages, fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":1,"message":%q}}`, quoted, params.Arguments.Nonce))
		}
		event(w, append(messages, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{%s}}`, m.ID, members))...)
	}
	return s
}

// TestIDsThatCollideNeverMixUpAnswers holds that each of many clients, which all
// count their calls from 1, gets the answers and the progress of its own calls, from
// servers that answer late and out of order, in both eras.
func TestIDsThatCollideNeverMixUpAnswers(t *testing.T) {
	t.Parallel()
	calls := numberFrom(t, "WARDER_COLLIDING_CALLS", 25)
	g, _ := startUp(t)
	w := &world{gateway: g}
	serverAdd(t, g, "old", startDelaying(t, false).url)
	serverAdd(t, g, "new", startDelaying(t, true).url)
	admin(t, g.dataDir, "user", "create", "ana", "--role", "owner")
	keys := make([]string, 10) // one alone may not have so many calls in flight
	for i := range keys {
		keys[i] = w.key(t, "many-"+strconv.Itoa(i))
	}
	w.settled(t, keys[0])
	transport := &http.Transport{MaxIdleConnsPerHost: collidingClients * collidingAtOnce}
	defer transport.CloseIdleConnections()
	door := &http.Client{Transport: transport}
	shared := openVersion(t, g.mcp, keys[0], "2025-11-25", `{}`)

	var clients sync.WaitGroup
	var unrecorded atomic.Int64
	for i := range collidingClients {
		key := keys[i%len(keys)]
		c := &collider{t: t, http: door, url: g.mcp, key: key, name: strconv.Itoa(i), modern: i%2 == 1, quoted: i%3 == 0, unrecorded: &unrecorded}
		if !c.modern {
			// Legacy clients collide within a session, too: one in ten shares one, with
			// ids that are its own as the protocol demands.
			c.session = shared
			if i%10 != 0 {
				c.session = openVersion(t, g.mcp, key, "2025-11-25", `{}`)
			} else {
				c.offset, c.quoted = i*1_000_000, false
			}
		}
		clients.Add(1)
		go func() {
			defer clients.Done()
			c.run(calls)
		}()
	}
	clients.Wait()
	t.Logf("%d clients made %d calls each; %d were made again, as the audit had no room", collidingClients, calls, unrecorded.Load())
}

// collider is a client that makes calls and looks at whose answers it gets.
type collider struct {
	t       *testing.T
	http    *http.Client
	url     string
	key     string
	name    string
	session string
	offset  int
	modern  bool
	quoted  bool // ids are strings
	// unrecorded counts, for all clients, the calls that were refused because the
	// audit had no room, and were made again.
	unrecorded *atomic.Int64
}

func (c *collider) run(calls int) {
	numbers := make(chan int)
	var workers sync.WaitGroup
	for range collidingAtOnce {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for n := range numbers {
				if err := c.call(n); err != nil {
					c.t.Errorf("client %s, call %d: %v", c.name, n, err)
				}
			}
		}()
	}
	for n := range calls {
		if c.t.Failed() {
			break
		}
		numbers <- n + 1
	}
	close(numbers)
	workers.Wait()
}

func (c *collider) call(n int) error {
	id := strconv.Itoa(c.offset + n)
	if c.quoted {
		id = `"` + id + `"`
	}
	nonce := c.name + "/" + id
	quoted, _ := json.Marshal(nonce)
	tool := []string{"old__read", "new__read"}[n%2]
	meta := `"_meta":{"progressToken":` + id + `}`
	if c.modern {
		meta = strings.Replace(modernMeta, `{`, `{"progressToken":`+id+`,`, 1)
	}
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":%q,"arguments":{"nonce":%s},%s}}`, id, tool, quoted, meta)
	messages, err := c.post(body, tool)
	// So many calls may outrun the audit: one that cannot be recorded is not made.
	for ; err == nil && len(messages) == 1 && strings.Contains(messages[0], `"id":`+id+`,"error":{"code":1507,`); messages, err = c.post(body, tool) {
		time.Sleep(50 * time.Millisecond)
		c.unrecorded.Add(1)
	}
	if err != nil {
		return err
	}
	for i, message := range messages {
		last := i == len(messages)-1
		switch {
		case last && !(strings.Contains(message, `"id":`+id+`,`) && strings.Contains(message, `"text":`+string(quoted))):
			return fmt.Errorf("answered %s", message)
		case !last && !(strings.Contains(message, `"progressToken":`+id+`,`) && strings.Contains(message, `"message":`+string(quoted))):
			return fmt.Errorf("told of progress %s", message)
		}
	}
	if len(messages) == 0 {
		return fmt.Errorf("not answered")
	}
	return nil
}

// post sends a call and returns the messages of its answer.
func (c *collider) post(body, tool string) (messages []string, err error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), within)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Authorization": {"Bearer " + c.key}}
	if c.modern {
		for i, header := 0, modernHeader("tools/call", tool); i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
	} else {
		r.Header.Set("Mcp-Session-Id", c.session)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%d %s %w", response.StatusCode, data, err)
	}
	if !strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		return []string{string(data)}, nil
	}
	for line := range bytes.Lines(data) {
		if message, ok := bytes.CutPrefix(line, []byte("data:")); ok && len(bytes.TrimSpace(message)) > 0 {
			messages = append(messages, string(bytes.TrimSpace(message)))
		}
	}
	return messages, nil
}
