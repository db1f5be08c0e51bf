package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

// event is a frame of the WebSocket, with what is shown of it.
type event struct {
	Type   string          `json:"type"`
	Seq    int64           `json:"seq"`
	At     time.Time       `json:"timestamp"`
	NodeID string          `json:"node_id"`
	NodeEx string          `json:"node_execution_id"`
	Pin    string          `json:"output_name"`
	Value  json.RawMessage `json:"output_data"`
	Status string          `json:"status"`
	Text   string          `json:"text"`
	Delta  string          `json:"delta"`
	Error  struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		NodeID  string `json:"node_id"`
	} `json:"error"`
}

func (e *event) ends() bool { return e.Type == "execution.completed" || e.Type == "execution.failed" }

// patience is how long a server may be away before it is given up.
const patience = time.Minute

// errAway says that the connection broke; what was accepted goes on, and so does the reader.
var errAway = errors.New("the connection to the server broke")

// follow hands all events of an execution to watch, up to the terminal one.
func follow(ctx context.Context, server *client, id string, w *watch) error {
	last, since, pause := int64(0), time.Now(), 100*time.Millisecond
	for {
		seen := last
		err := server.listen(ctx, id, &last, w)
		if !errors.Is(err, errAway) {
			return err
		}
		if last > seen {
			since, pause = time.Now(), 100*time.Millisecond
		}
		if time.Since(since) > patience {
			return err
		}
		w.note(err.Error() + ", trying again")
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
			pause = min(2*pause, 2*time.Second)
		}
	}
}

// listen is one connection: it subscribes behind the last event that was seen.
func (c *client) listen(ctx context.Context, id string, last *int64, w *watch) error {
	address := *c.base
	address.Scheme = map[string]string{"http": "ws", "https": "wss"}[c.base.Scheme]
	address.Path += "/ws"
	header := http.Header{"Authorization": {"Bearer " + c.token}}
	conn, response, err := websocket.DefaultDialer.DialContext(ctx, address.String(), header)
	if response != nil {
		_ = response.Body.Close() // of a refused handshake; else there is none
	}
	if ctx.Err() != nil {
		return context.Canceled
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errAway, err)
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	subscribe := map[string]any{"type": "subscribe", "execution_id": id, "after_seq": *last}
	if err := conn.WriteJSON(subscribe); err != nil {
		return fmt.Errorf("%w: %w", errAway, err)
	}
	for {
		e, err := read(conn)
		switch {
		case ctx.Err() != nil:
			return context.Canceled
		case err != nil:
			return err
		case e.Type == "error":
			return fmt.Errorf("follow the execution: %s", e.Error.Message)
		}
		if e.Seq != 0 {
			*last = e.Seq
		}
		w.show(e)
		if e.ends() {
			return nil
		}
	}
}

func read(conn *websocket.Conn) (*event, error) {
	_, reader, err := conn.NextReader()
	if err == nil {
		var raw []byte
		if raw, err = io.ReadAll(reader); err == nil {
			e := &event{}
			if err := json.Unmarshal(raw, e); err != nil {
				return nil, fmt.Errorf("read an event: %w", err)
			}
			return e, nil
		}
	}
	var closed *websocket.CloseError
	if errors.As(err, &closed) && closed.Code >= 4000 {
		return nil, fmt.Errorf("the server refused to show the execution: %s", closed.Text)
	}
	return nil, fmt.Errorf("%w: %w", errAway, err)
}
