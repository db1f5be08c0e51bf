package hostservice

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

func TestAnOutageDelaysACallAndFailsNone(t *testing.T) {
	t.Parallel()
	tries := 0
	reply, err := lasting(t.Context(), func() (*proto.Reply, error) {
		if tries++; tries < 3 {
			return nil, io.ErrUnexpectedEOF // as of a connection whose server died
		}
		return &proto.Reply{Number: 7}, nil
	})
	if err != nil || reply.GetNumber() != 7 || tries != 3 {
		t.Errorf("%v, %v after %d tries", reply, err, tries)
	}

	other := errors.New("no outage")
	tries = 0
	if _, err := lasting(t.Context(), func() (*proto.Reply, error) { tries++; return nil, other }); !errors.Is(err, other) || tries != 1 {
		t.Errorf("%v after %d tries", err, tries)
	}

	ctx, cancel := context.WithCancel(t.Context())
	if _, err := lasting(ctx, func() (*proto.Reply, error) { cancel(); return nil, io.EOF }); !errors.Is(err, context.Canceled) {
		t.Errorf("at the run's end: %v", err)
	}
}
