package rest

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"
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
	wanted := blockFilter{
		search: strings.ToLower(firstOf(r.Params.Search)), category: firstOf(r.Params.Category),
		kind: firstOf(r.Params.Type), provider: firstOf(r.Params.Provider),
	}
	paged := r.Params.Page != nil || r.Params.PageSize != nil
	if wanted == (blockFilter{}) && !paged {
		body, etag := s.blocks.complete()
		return taggedBlocks{body: body, etag: etag, known: known}, nil
	}
	all := s.blocks.source.Blocks()
	if wanted != (blockFilter{}) {
		all = slices.DeleteFunc(slices.Clone(all), func(b *block.Block) bool { return !wanted.matches(b) })
	}
	pagination := everything(len(all))
	if paged {
		p := pageOf(r.Params.Page, r.Params.PageSize)
		all, pagination = cut(all, p), p.of(len(all))
	}
	body := encodeBlocks(all, pagination)
	return taggedBlocks{body: body, etag: etagOf(body), known: known}, nil
}

// blockFilter chooses blocks; what is empty chooses all.
type blockFilter struct{ search, category, kind, provider string }

func (f blockFilter) matches(b *block.Block) bool {
	return strings.Contains(strings.ToLower(b.Name+"\n"+b.Description), f.search) &&
		(f.category == "" || slices.ContainsFunc(b.Categories, func(c string) bool { return strings.EqualFold(c, f.category) })) &&
		(f.kind == "" || strings.EqualFold(string(b.Kind), f.kind)) &&
		(f.provider == "" || slices.ContainsFunc(b.Credentials, func(c block.CredentialsField) bool { return slices.Contains(c.Providers, f.provider) }))
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
