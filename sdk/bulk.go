package sdk

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// bulk holds the values that travel beside the session until they are taken, each once.
type bulk struct {
	mu      sync.Mutex
	last    uint64
	inputs  map[string][]byte
	outputs map[string]announced
}

type announced struct {
	run   uint64
	value []byte
}

func newBulk() *bulk {
	return &bulk{inputs: map[string][]byte{}, outputs: map[string]announced{}}
}

// announce keeps an output for Fetch and gives its name.
func (b *bulk) announce(run uint64, value []byte) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	name := fmt.Sprintf("output-%d", b.last)
	b.outputs[name] = announced{run, value}
	return name
}

// drop forgets what a cancelled run announced: a host that cancels, before a run's end or after it, fetches no more.
func (b *bulk) drop(run uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, output := range b.outputs {
		if output.run == run {
			delete(b.outputs, name)
		}
	}
}

func (b *bulk) input(name string) ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	value, ok := b.inputs[name]
	delete(b.inputs, name)
	return value, ok
}

func (b *bulk) output(name string) ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	output, ok := b.outputs[name]
	delete(b.outputs, name)
	return output.value, ok
}

// Put takes a large input.
func (s *server) Put(stream proto.Plugin_PutServer) error {
	var name string
	var value []byte
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if name == "" {
			name = request.Bulk
		}
		value = append(value, request.Piece...)
	}
	if name == "" {
		return status.Error(codes.InvalidArgument, "the value has no name")
	}
	s.bulk.mu.Lock()
	_, known := s.bulk.inputs[name]
	if !known {
		s.bulk.inputs[name] = value
	}
	s.bulk.mu.Unlock()
	if known {
		return status.Errorf(codes.AlreadyExists, "value %q was put before", name)
	}
	return stream.SendAndClose(&proto.PutResponse{})
}

// Fetch gives a large output.
func (s *server) Fetch(r *proto.FetchRequest, stream proto.Plugin_FetchServer) error {
	value, ok := s.bulk.output(r.Bulk)
	if !ok {
		return status.Errorf(codes.NotFound, "there is no value %q", r.Bulk)
	}
	for len(value) > 0 {
		n := min(len(value), proto.PieceSize)
		if err := stream.Send(&proto.FetchResponse{Piece: value[:n]}); err != nil {
			return err
		}
		value = value[n:]
	}
	return nil
}
