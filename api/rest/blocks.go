package rest

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"sync"

	"github.com/patchbay-io/patchbay/core/block"
)

// Blocks lists what graphs can be made of.
type Blocks interface {
	// Blocks are sorted by name. The slice is not changed; when there are other blocks there is another slice.
	Blocks() []*block.Block
}

// ListBlocks is GET /api/v2/builder/blocks.
func (s *server) ListBlocks(_ context.Context, r ListBlocksRequestObject) (ListBlocksResponseObject, error) {
	var known string
	if r.Params.IfNoneMatch != nil {
		known = *r.Params.IfNoneMatch
	}
	if r.Params.Page == nil && r.Params.PageSize == nil {
		body, etag := s.blocks.complete()
		return taggedBlocks{body: body, etag: etag, known: known}, nil
	}
	p := pageOf(r.Params.Page, r.Params.PageSize)
	all := s.blocks.source.Blocks()
	body := encodeBlocks(cut(all, p), p.of(len(all)))
	return taggedBlocks{body: body, etag: etagOf(body), known: known}, nil
}

// blockList keeps the complete answer, half a megabyte with all blocks, as long as the blocks are the same.
type blockList struct {
	source Blocks

	mu   sync.Mutex
	of   []*block.Block
	body []byte
	etag string
}

func (l *blockList) complete() (body []byte, etag string) {
	all := l.source.Blocks()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.body == nil || !slices.Equal(all, l.of) {
		l.of, l.body = all, encodeBlocks(all, everything(len(all)))
		l.etag = etagOf(l.body)
	}
	return l.body, l.etag
}

func encodeBlocks(list []*block.Block, p Pagination) []byte {
	var b bytes.Buffer
	j := &jsonWriter{to: &b}
	j.object(func() {
		j.key("blocks")
		j.open('[')
		for _, one := range list {
			j.block(&one.Definition)
		}
		j.close(']')
		j.pagination(p)
	})
	j.flush() // into memory: no error
	return b.Bytes()
}

func (j *jsonWriter) block(d *block.Definition) {
	j.object(func() {
		j.key("id")
		j.string(d.ID)
		j.key("name")
		j.string(d.Name)
		j.key("description")
		j.string(d.Description)
		j.key("categories")
		j.strings(d.Categories)
		j.key("block_type")
		j.string(string(d.Kind))
		j.key("static_output")
		j.bool(d.StaticOutput)
		j.key("input_schema")
		j.value(d.InputSchema)
		j.key("output_schema")
		j.value(d.OutputSchema)
	})
}

// taggedBlocks answers with blocks, or that the client knows them already.
type taggedBlocks struct {
	body        []byte
	etag, known string
}

// VisitListBlocksResponse implements ListBlocksResponseObject.
func (b taggedBlocks) VisitListBlocksResponse(w http.ResponseWriter) error {
	return answerTagged(w, b.known, b.body, b.etag)
}
