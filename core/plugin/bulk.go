package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	protobuf "google.golang.org/protobuf/proto"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// maxValue bounds an output, however it comes.
const maxValue = proto.MaxMessage

// start makes the frame that begins a run. A large input has been brought to the plugin when it returns.
func (s *session) start(ctx context.Context, r *run) (*proto.SessionRequest, error) {
	start := &proto.Start{
		Run:      r.number,
		Block:    r.spec.Block,
		Provider: r.spec.Provider,
		Input:    r.spec.Input,
		Credit:   credit,
		Context:  r.spec.Context,
		Recorded: r.spec.Recorded,
		Calls:    maxCalls,

		Credentials: r.spec.Credentials,
		Gather:      !r.spec.Streaming && r.spec.Provider == nil,
	}
	start.Follow, r.follower = s.following(r.spec.Follow)
	size := 4 << 10 // for all that is small
	if start.Follow != nil {
		size += protobuf.Size(start.Follow)
	}
	for _, c := range r.spec.Credentials {
		size += protobuf.Size(c) + 16
	}
	for _, v := range r.spec.Recorded {
		size += len(v.GetValue()) + len(v.GetPin()) + 32
	}
	if s.bulk && len(r.spec.Input) > proto.InlineLimit {
		start.Input, start.InputBulk = nil, "input-"+strconv.FormatUint(r.number, 10)
		ctx, cancel := s.beside(ctx)
		defer cancel()
		if err := PutValue(ctx, s.client, start.InputBulk, r.spec.Input); err != nil {
			return nil, fmt.Errorf("hand over a large input: %w", err)
		}
	} else {
		size += len(r.spec.Input)
	}
	if size > proto.MaxMessage { // sending it would end the session
		return nil, fmt.Errorf("the input with the outputs recorded so far takes more than %d bytes, all that plugin %s accepts",
			proto.MaxMessage, r.block.Plugin.Name)
	}
	return &proto.SessionRequest{Frame: &proto.SessionRequest_Start{Start: start}}, nil
}

// PutValue brings a value to a plugin beside the session, as PROTOCOL.md has it.
func PutValue(ctx context.Context, client proto.PluginClient, name string, value []byte) error {
	stream, err := client.Put(ctx)
	if err != nil {
		return err
	}
	for first := true; first || len(value) > 0; first = false {
		n := min(len(value), proto.PieceSize)
		piece := &proto.PutRequest{Piece: value[:n]}
		if first {
			piece.Bulk = name
		}
		if err := stream.Send(piece); err != nil {
			break // the answer says why
		}
		value = value[n:]
	}
	_, err = stream.CloseAndRecv()
	return err
}

// value gives an output's value. It is held against the session's limits until release is called.
func (r *run) value(ctx context.Context, o *proto.Output) (value json.RawMessage, release func(), err error) {
	release = func() {}
	switch size := o.GetBulkSize(); {
	case o.GetBulk() == "":
		return o.GetValue(), release, nil
	case !r.session.bulk:
		return nil, release, errors.New("a value beside the session, which it does not declare")
	case size > maxValue:
		return nil, release, fmt.Errorf("a value of %d bytes; at most %d are accepted", size, maxValue)
	default:
		ctx, cancel := r.session.beside(ctx)
		defer cancel()
		if err := r.session.fetched.Acquire(ctx, int64(size)); err != nil {
			return nil, release, fmt.Errorf("a large value, which was not awaited: %w", err)
		}
		value, err = FetchValue(ctx, r.session.client, o.GetBulk(), size)
		return value, func() { r.session.fetched.Release(int64(size)) }, err
	}
}

// FetchValue takes a value of size bytes that a plugin has announced beside the session.
func FetchValue(ctx context.Context, client proto.PluginClient, name string, size uint64) (json.RawMessage, error) {
	stream, err := client.Fetch(ctx, &proto.FetchRequest{Bulk: name})
	if err != nil {
		return nil, fmt.Errorf("a large value that cannot be fetched: %w", err)
	}
	value := make([]byte, 0, min(size, proto.PieceSize))
	for {
		piece, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF) && uint64(len(value)) != size:
			return nil, fmt.Errorf("a value of %d bytes and announced %d", len(value), size)
		case errors.Is(err, io.EOF):
			return value, nil
		case err != nil:
			return nil, fmt.Errorf("a large value that cannot be fetched: %w", err)
		case uint64(len(value)+len(piece.GetPiece())) > size:
			return nil, fmt.Errorf("a value longer than the %d bytes announced", size)
		}
		value = append(value, piece.GetPiece()...)
	}
}

// beside is the context of a call beside the session: it ends with the run's and with the session.
func (s *session) beside(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}
