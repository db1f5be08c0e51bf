package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type number struct {
	N int `json:"n"`
}

// late is what a block's stray goroutine learned after its run.
var late = make(chan error, 1)

const (
	count = testID + "01"
	crowd = testID + "02"
	stray = testID + "03"
	large = testID + "04"
)

var sessionBlocks = Blocks(
	Block[number]{
		ID: count, Name: "Count", Outputs: Outputs{Out("output", Any(""))},
		Run: func(_ context.Context, in number, out Emitter) error {
			for i := range in.N {
				if err := out.Emit("output", i); err != nil {
					return err
				}
			}
			return nil
		},
	},
	Block[number]{
		ID: crowd, Name: "Crowd", Outputs: Outputs{Out("output", Any(""))},
		Run: func(_ context.Context, in number, out Emitter) error {
			var all sync.WaitGroup
			for i := range in.N {
				all.Go(func() {
					out.Progress(Progress{Delta: "x"})
					_ = out.Emit("output", i)
				})
			}
			all.Wait()
			return nil
		},
	},
	Block[number]{
		ID: stray, Name: "Stray", Outputs: Outputs{Out("output", Any(""))},
		Run: func(_ context.Context, _ number, out Emitter) error {
			go func() {
				for {
					if err := out.Emit("output", 1); err != nil {
						late <- err
						return
					}
				}
			}()
			return nil
		},
	},
	Block[number]{
		ID: large, Name: "Large", Outputs: Outputs{Out("output", Any(""))},
		Run: func(ctx context.Context, in number, out Emitter) error {
			if err := out.Emit("output", string(make([]byte, proto.InlineLimit))); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		},
	},
)

// dial serves the test's blocks in this process. The server ends with the test, and ended is closed then.
func dial(t *testing.T) (proto.PluginClient, *server, <-chan struct{}) {
	t.Helper()
	plugin := Plugin{Name: "test", Version: "0.0.1", Blocks: sessionBlocks}
	description, err := plugin.Describe()
	if err != nil {
		t.Fatal(err)
	}
	s, err := newServer(plugin, description, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	s.restore.Do(func() {}) // the streams of the test stay
	s.grpc = grpc.NewServer(grpc.MaxRecvMsgSize(proto.MaxMessage))
	proto.RegisterPluginServer(s.grpc, s)
	listener := bufconn.Listen(1 << 20)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.grpc.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	}()
	conn, err := grpc.NewClient("passthrough:test",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		s.grpc.Stop()
		<-ended
		s.runs.Wait()
	})
	return proto.NewPluginClient(conn), s, ended
}

func open(t *testing.T, plugin proto.PluginClient) (context.Context, proto.Plugin_SessionClient) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	stream, err := plugin.Session(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return ctx, stream
}

func startFrame(run uint64, block string, n int, credit uint32) *proto.SessionRequest {
	return &proto.SessionRequest{Frame: &proto.SessionRequest_Start{Start: &proto.Start{
		Run: run, Block: block, Input: fmt.Appendf(nil, `{"n":%d}`, n), Credit: credit,
	}}}
}

func send(t *testing.T, stream proto.Plugin_SessionClient, frames ...*proto.SessionRequest) {
	t.Helper()
	for _, frame := range frames {
		if err := stream.Send(frame); err != nil {
			t.Fatal(err)
		}
	}
}

func receive(t *testing.T, stream proto.Plugin_SessionClient) *proto.SessionResponse {
	t.Helper()
	frame, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// untilDone collects a run's frames and its end.
func untilDone(t *testing.T, stream proto.Plugin_SessionClient) (outputs []*proto.Output, progress int, done *proto.Done) {
	t.Helper()
	for {
		switch frame := receive(t, stream).Frame.(type) {
		case *proto.SessionResponse_Output:
			outputs = append(outputs, frame.Output)
		case *proto.SessionResponse_Progress:
			progress++
		case *proto.SessionResponse_Done:
			return outputs, progress, frame.Done
		}
	}
}

func TestSessionEndsTheServerAndItsRuns(t *testing.T) {
	t.Parallel()
	plugin, s, ended := dial(t)
	_, stream := open(t, plugin)
	for run := range uint64(200) { // they wait for credit
		send(t, stream, startFrame(run+1, count, 2, 1))
	}
	for range 200 {
		receive(t, stream)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	<-ended
	s.runs.Wait()
}

func TestEmitFromManyGoroutines(t *testing.T) {
	t.Parallel()
	plugin, _, _ := dial(t)
	_, stream := open(t, plugin)
	send(t, stream, startFrame(1, crowd, 300, 100),
		&proto.SessionRequest{Frame: &proto.SessionRequest_Credit{Credit: &proto.Credit{Run: 1, N: 200}}},
		&proto.SessionRequest{Frame: &proto.SessionRequest_Credit{Credit: &proto.Credit{Run: 77, N: 1}}},
		&proto.SessionRequest{}, // of a later protocol
	)
	outputs, progress, done := untilDone(t, stream)
	if len(outputs) != 300 || progress != 300 || done.Error != nil {
		t.Errorf("%d outputs, %d progress, end %v", len(outputs), progress, done)
	}
}

func TestNothingFollowsDone(t *testing.T) {
	t.Parallel()
	plugin, _, _ := dial(t)
	_, stream := open(t, plugin)
	send(t, stream, startFrame(1, stray, 0, 1000))
	if _, _, done := untilDone(t, stream); done.Error != nil {
		t.Fatal(done.Error)
	}
	if err := <-late; err == nil {
		t.Error("an output was taken after the run")
	}
	send(t, stream, startFrame(2, count, 1, 1))
	outputs, _, done := untilDone(t, stream)
	if len(outputs) != 1 || outputs[0].Run != 2 || done.Run != 2 {
		t.Errorf("after the run's end came %v, %v", outputs, done)
	}
}

func TestCancelledRunDropsItsLargeOutputs(t *testing.T) {
	t.Parallel()
	plugin, s, _ := dial(t)
	ctx, stream := open(t, plugin)
	send(t, stream, startFrame(1, large, 0, 1))
	output := receive(t, stream).GetOutput()
	if output.Bulk == "" || output.Value != nil || output.BulkSize < proto.InlineLimit {
		t.Fatalf("the output came as %v", output)
	}
	send(t, stream, &proto.SessionRequest{Frame: &proto.SessionRequest_Cancel{Cancel: &proto.Cancel{Run: 1}}})
	if _, _, done := untilDone(t, stream); done.Error.GetKind() != proto.ErrorKind_ERROR_KIND_CANCELLED {
		t.Fatalf("the run ended with %v", done)
	}
	s.bulk.mu.Lock()
	left := len(s.bulk.outputs)
	s.bulk.mu.Unlock()
	if left != 0 {
		t.Errorf("%d values are kept", left)
	}
	fetch, err := plugin.Fetch(ctx, &proto.FetchRequest{Bulk: output.Bulk})
	if err == nil {
		_, err = fetch.Recv()
	}
	if status.Code(err) != codes.NotFound {
		t.Errorf("fetching it gave %v", err)
	}
}

func TestProtocolErrorsEndTheSession(t *testing.T) {
	t.Parallel()
	plugin, _, ended := dial(t)
	ctx, stream := open(t, plugin)
	send(t, stream, startFrame(1, count, 2, 1))
	receive(t, stream)
	if _, err := plugin.Configure(ctx, &proto.ConfigureRequest{}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("settings during the session: %v", err)
	}
	second, err := plugin.Session(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Recv(); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a second session: %v", err)
	}
	send(t, stream, startFrame(1, count, 2, 1))
	for err = nil; err == nil; {
		_, err = stream.Recv()
	}
	if errors.Is(err, io.EOF) {
		t.Error("a run number that is used twice was taken")
	}
	<-ended
}

func TestInputsArriveBeside(t *testing.T) {
	t.Parallel()
	plugin, _, _ := dial(t)
	ctx, stream := open(t, plugin)
	put := func(pieces ...*proto.PutRequest) error {
		t.Helper()
		s, err := plugin.Put(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, piece := range pieces {
			if err := s.Send(piece); err != nil {
				break
			}
		}
		_, err = s.CloseAndRecv()
		return err
	}
	if err := put(&proto.PutRequest{Bulk: "a", Piece: []byte(`{"n"`)}, &proto.PutRequest{Piece: []byte(`:3}`)}); err != nil {
		t.Fatal(err)
	}
	if err := put(&proto.PutRequest{Bulk: "a"}); status.Code(err) != codes.AlreadyExists {
		t.Errorf("the same name again: %v", err)
	}
	if err := put(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("no name: %v", err)
	}
	start := startFrame(1, count, 0, 5)
	start.GetStart().Input, start.GetStart().InputBulk = nil, "a"
	send(t, stream, start)
	if outputs, _, done := untilDone(t, stream); len(outputs) != 3 || done.Error != nil {
		t.Errorf("%d outputs, end %v", len(outputs), done)
	}
	start.GetStart().Run = 2 // a value is taken once
	send(t, stream, start)
	if _, _, done := untilDone(t, stream); done.Error.GetKind() != proto.ErrorKind_ERROR_KIND_INVALID_INPUT {
		t.Errorf("a missing input gave %v", done)
	}
}
