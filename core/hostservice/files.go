package hostservice

import (
	"strconv"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/file"
	"github.com/patchbay-io/patchbay/core/postgres"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// maxFiles is how many files a node execution creates.
const maxFiles = 1000

// filesOfCalls is the namespace of the ids of files that blocks create.
var filesOfCalls = uuid.MustParse("8e1f5b0e-7d2f-4c53-9a64-5b1c2f7f0d11")

// createFile begins the nth file of a node execution. A later attempt's takes the same id.
func (a *Attempt) createFile(number uint64, c *proto.CreateFile) (*proto.Reply, error) {
	if c.GetNth() == 0 || c.GetNth() > maxFiles {
		return nil, refuse("a node execution creates %d files, numbered from 1", maxFiles)
	}
	var execution uuid.UUID
	lifetime := file.UploadLifetime // nobody finds it by an execution
	if !a.alone {
		var err error
		if execution, err = uuid.Parse(a.run.GetExecutionId()); err != nil {
			return nil, err
		}
		lifetime = file.RunLifetime
	}
	h := &handle{}
	if err := a.open(number, h); err != nil {
		return nil, err
	}
	defer h.ready()
	info := file.Info{ID: uuid.NewSHA1(filesOfCalls, []byte(a.run.GetNodeExecutionId()+"/"+strconv.FormatUint(uint64(c.GetNth()), 10)))}
	w, err := postgres.Lasting(h.ctx, func() (*file.Writer, error) {
		return a.s.Files.Create(h.ctx, file.New{
			ID: info.ID, User: a.run.GetUserId(), ExecutionID: execution,
			Name: c.GetName(), MediaType: c.GetMediaType(), Lifetime: lifetime,
		})
	})
	if err != nil {
		a.Close(number)
		return nil, err
	}
	h.writer, h.free = w, w.Abort
	h.finish = func() error {
		_, err := w.Commit()
		return err
	}
	return &proto.Reply{Result: &proto.Reply_FileCreated{FileCreated: &proto.FileCreated{Uri: info.URI()}}}, nil
}

func (a *Attempt) openFile(number uint64, c *proto.OpenFile) (*proto.Reply, error) {
	id, err := file.ParseURI(c.GetUri())
	if err != nil {
		return nil, err
	}
	h := &handle{}
	if err := a.open(number, h); err != nil {
		return nil, err
	}
	defer h.ready()
	r, err := postgres.Lasting(h.ctx, func() (*file.Reader, error) { return a.s.Files.Open(h.ctx, a.run.GetUserId(), id.String()) })
	if err != nil {
		a.Close(number)
		return nil, err
	}
	h.reader = r
	return &proto.Reply{Result: &proto.Reply_FileOpened{FileOpened: &proto.FileOpened{
		Name: r.Name, MediaType: r.MediaType, Size: r.Size,
	}}}, nil
}
