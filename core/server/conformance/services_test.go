package conformance

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// asking is a block that asks its host for what the script says, and an output with what comes of it.
func asking(block, script string) *scenario {
	return &scenario{id: block, nodes: "s " + block + ` {"script":[` + script + "]}\ny OUT", links: "s.p -> y.value"}
}

// values are those of the output y, as JSON.
func (d *details) values(t *testing.T) []string {
	t.Helper()
	var raw []json.RawMessage
	if len(d.Outputs["y"]) > 0 {
		if err := json.Unmarshal(d.Outputs["y"], &raw); err != nil {
			t.Fatal(err)
		}
	}
	list := make([]string, len(raw))
	for i, v := range raw {
		list[i] = compact(v)
	}
	return list
}

// ask runs a script to its end.
func (w *world) ask(t *testing.T, c *client, block, script string) *details {
	t.Helper()
	return w.finish(t, c, c.execute(t, asking(block, script).store(t, c).ID, ""))
}

const (
	counting = `{"do":"count","key":"n"}`
	holding  = `{"do":"@","key":"held"}`
)

// What an attempt asked of its host before it was cut off is there once when the execution has ended, whoever died.
func TestServicesOfAnAttemptThatIsCutOff(t *testing.T) {
	t.Parallel()
	t.Run("the plugin dies", func(t *testing.T) {
		t.Parallel()
		h := ownHost(t)
		w := newWorld(t, h, 0)
		surviveServices(t, w, w.client(), func(*client) {
			if err := syscall.Kill(h.pid(), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		})
	})
	t.Run("the server dies", func(t *testing.T) {
		t.Parallel()
		f := startLife(t, hosts[effectPlugin])
		surviveServices(t, f.world, f.client(), func(c *client) {
			f.kill(t)
			f.rise(t, c)
		})
	})
}

func surviveServices(t *testing.T, w *world, c *client, kill func(*client)) {
	plain := asking("SERVE", counting+`,{"do":"remember"},{"do":"store","key":"a.txt","text":"content"},`+holding)
	stream := asking("STREAM", `{"do":"deadline"},{"do":"remember"},`+holding+`,{"do":"count","key":"m"}`)
	first, second := c.execute(t, plain.store(t, c).ID, ""), c.execute(t, stream.store(t, c).ID, "")
	gates.await(t, first, "s", "held", 1)
	gates.await(t, second, "s", "held", 1)
	awaitCompleted(t, c, second, "y")
	kill(c)
	// Those that were cut off together are repeated in an order that nobody knows.
	var repeats errgroup.Group
	for _, id := range []string{first, second} {
		repeats.Go(func() error {
			at, err := gates.wait(t.Context(), place{id, "s", "held"}, 2)
			if err == nil {
				at.release()
			}
			return err
		})
	}
	if err := repeats.Wait(); err != nil {
		t.Fatal(err)
	}
	d := w.finish(t, c, first)
	got := d.values(t)
	if d.Status != "COMPLETED" || len(got) != 3 || got[0] != "1" || !strings.HasPrefix(got[1], `"1 `) || d.of("s")[0].Attempt != 2 {
		t.Fatalf("%s with %v, %+v", d.Status, got, d.Error)
	}
	// A stream must repeat what it has yielded, so that it fails if deadline or memory differ.
	if d := w.finish(t, c, second); d.Status != "COMPLETED" || len(d.values(t)) != 3 || d.of("s")[0].Attempt != 2 {
		t.Errorf("%s with %v, %+v", d.Status, d.values(t), d.Error)
	}
	var files, keys int
	if err := w.db.QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM file WHERE user_id = ?), (SELECT count(*) FROM stored_key WHERE value = '1')`, c.user).
		Scan(&files, &keys); err != nil || files != 1 || keys != 2 {
		t.Errorf("%d files and %d keys are there, %v", files, keys, err)
	}
	if got := w.ask(t, c, "SERVE", `{"do":"open","key":`+got[2]+`},`+counting).values(t); strings.Join(got, " ") != `"content" 2` {
		t.Errorf("afterwards there is %v", got)
	}
	stranger := newClient(w.api)
	if d := w.ask(t, stranger, "SERVE", counting); strings.Join(d.values(t), "") != "1" {
		t.Errorf("somebody else counts %v", d.values(t))
	}
	if d := w.ask(t, stranger, "SERVE", `{"do":"open","key":`+got[2]+`}`); d.Status != "FAILED" {
		t.Errorf("somebody else reads %v", d.values(t))
	}
}

// What a block sets before its own error counts, and a stop forgets it.
func TestKeysOfBlocksThatDoNotComplete(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	if d := w.ask(t, c, "SERVE", counting+`,{"do":"nonsense"}`); d.Status != "FAILED" || strings.Join(d.values(t), "") != "1" {
		t.Errorf("%s with %v", d.Status, d.values(t))
	}
	id := c.execute(t, asking("SERVE", counting+","+holding).store(t, c).ID, "")
	gates.await(t, id, "s", "held", 1)
	c.stop(t, id)
	if got := w.ask(t, c, "SERVE", counting).values(t); strings.Join(got, "") != "2" {
		t.Errorf("after a failure and a stop the count is %v", got)
	}
}

// loopback serves on the loopback address that the worlds' egress guard allows.
func loopback(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(handler)
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

func TestRequestsOfBlocks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	begun, broken := make(chan struct{}), make(chan struct{})
	secret := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the guard let a request pass") }))
	defer secret.Close()
	url := loopback(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/echo":
			_, _ = io.Copy(w, r.Body)
		case "/lure":
			http.Redirect(w, r, secret.URL, http.StatusTemporaryRedirect)
		case "/hang":
			close(begun)
			<-r.Context().Done()
			close(broken)
		}
	})
	text := strings.Repeat("0123456789", 50_000)
	if d := w.ask(t, c, "SERVE", `{"do":"post","key":"`+url+`/echo","text":"`+text+`"}`); strings.Join(d.values(t), "") != "[200,500000]" {
		t.Errorf("%s with %v, %+v", d.Status, d.values(t), d.Error)
	}
	for _, address := range []string{secret.URL, url + "/lure"} {
		d := w.ask(t, c, "SERVE", `{"do":"post","key":"`+address+`","text":"x"}`)
		if d.Status != "FAILED" || !strings.Contains(d.Error.Message, "loopback address") {
			t.Errorf("%s: %s %+v", address, d.Status, d.Error)
		}
	}
	id := c.execute(t, asking("SERVE", `{"do":"hang","key":"`+url+`/hang"}`).store(t, c).ID, "")
	<-begun
	c.stop(t, id)
	select {
	case <-broken:
	case <-time.After(time.Second):
		t.Error("a stopped execution's request goes on")
	}
}
