package store

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// likeness is from where two texts count as one with typing errors in it.
const likeness = "0.4"

// document is what is searched for words: as they are, for their beginnings and for languages that the database does
// not know, and as stems of English. Arguments: name, sub-heading, description.
const document = `setweight(to_tsvector('simple', ?) || to_tsvector('english', ?), 'A') ||
	setweight(to_tsvector('simple', ?) || to_tsvector('english', ?), 'B') ||
	setweight(to_tsvector('simple', ?) || to_tsvector('english', ?), 'D')`

func documentArgs(d *Draft) []any {
	name, heading, description := wordsOf(d.Name), wordsOf(d.SubHeading), wordsOf(d.Description)
	return []any{name, name, heading, heading, description, description}
}

// find lists agents that have what is searched for in name, sub-heading or description: all words, in some form, through
// store_listing_search. Where none has, typing errors are forgiven in name and sub-heading, through store_listing_words.
func (s *Service) find(ctx context.Context, f Filter, where string, args []any) ([]Agent, int, error) {
	searched := words(f.Search)
	if len(searched) == 0 { // nothing but signs: they stand for themselves
		where += ` AND (position(? IN l.name) > 0 OR position(? IN l.sub_heading) > 0 OR position(? IN l.description) > 0)`
		return s.found(ctx, s.DB, f, where, append(args, f.Search, f.Search, f.Search), orders[""], nil)
	}
	text := wordsOf(f.Search)
	const query = `(to_tsquery('simple', ?) || plainto_tsquery('english', ?))`
	list, total, err := s.found(ctx, s.DB, f, where+` AND l.search @@ `+query, append(args, prefixes(searched), text),
		`(lower(l.name) = lower(?))::integer + ts_rank(l.search, `+query+`) DESC, l.runs DESC, l.id`, []any{f.Search, prefixes(searched), text})
	if err != nil || total > 0 || !s.trigrams {
		return list, total, err
	}
	err = s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.ExecContext(ctx, `SELECT set_config('pg_trgm.word_similarity_threshold', ?, true)`, likeness); err != nil {
			return fmt.Errorf("set the likeness of words: %w", err)
		}
		like, args := where, args[:len(args):len(args)]
		for _, w := range searched {
			like, args = like+` AND ? <% l.words`, append(args, w)
		}
		list, total, err = s.found(ctx, tx, f, like, args,
			`word_similarity(?, l.words) DESC, l.runs DESC, l.id`, []any{text})
		return err
	})
	return list, total, err
}

// found counts and lists; the order is that of relevance unless another was asked for.
func (s *Service) found(ctx context.Context, db bun.IDB, f Filter, where string, args []any, relevance string, ranking []any) ([]Agent, int, error) {
	var total int
	if err := db.QueryRowContext(ctx, `SELECT count(*)`+where, args...).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("count found agents: %w", err)
	}
	if total <= f.Offset {
		return []Agent{}, total, nil
	}
	if f.Sort != "" {
		relevance, ranking = orders[f.Sort], nil
	}
	list, err := agents(ctx, db, where, append(args[:len(args):len(args)], ranking...), relevance, f)
	return list, total, err
}
