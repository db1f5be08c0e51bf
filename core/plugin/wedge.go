package plugin

import (
	"context"
	"fmt"
	"time"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// strikes is how many questions in a row a process may leave without an answer.
const strikes = 3

// heed asks the process for its description again and again while runs are in it, and kills one that does not answer: it
// hangs, and all runs with it. A process may be busy and the machine slow, so that it gets much time.
func (in *instance) heed(every, limit time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	client, missed := proto.NewPluginClient(in.conn), 0
	for {
		select {
		case <-in.process.exited:
			return
		case <-in.session.ctx.Done():
			return
		case <-tick.C:
		}
		if !in.session.busy() {
			missed = 0
			continue
		}
		ctx, cancel := context.WithTimeout(in.session.ctx, limit)
		_, _ = client.Describe(ctx, &proto.DescribeRequest{}) // an error is an answer too
		silent := ctx.Err() == context.DeadlineExceeded
		cancel()
		if !silent || !in.session.busy() {
			missed = 0
			continue
		}
		if missed++; missed == strikes {
			in.process.kill(fmt.Sprintf("it hangs: it was asked %d times and did not answer within %s", strikes, limit))
			return
		}
	}
}

// busy says that runs are in the process.
func (s *session) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.runs) > 0
}
