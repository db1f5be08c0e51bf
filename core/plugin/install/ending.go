package install

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
)

// ends remembers that a process of a plugin ends when gone is closed; nil: there was none. It gives the ends that are to
// come yet.
func (s *Service) ends(name string, gone <-chan struct{}) []<-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending[name] = slices.DeleteFunc(s.ending[name], func(gone <-chan struct{}) bool {
		select {
		case <-gone:
			return true
		default:
			return false
		}
	})
	if gone != nil {
		s.ending[name] = append(s.ending[name], gone)
	}
	return slices.Clone(s.ending[name])
}

// later does something when all processes of a plugin have ended that were replaced until now, and does not wait for it.
func (s *Service) later(name string, f func() error) {
	ending := s.ends(name, nil)
	s.wg.Go(func() {
		for _, gone := range ending {
			select {
			case <-gone:
			case <-s.life.Done():
			}
		}
		select {
		case <-s.changing:
			defer s.unlock()
		case <-s.life.Done(): // nothing changes any more
		}
		if err := f(); err != nil {
			s.log.Warn("what is left of a plugin could not be removed", "plugin", name, "error", err)
		}
	})
}

// sweep removes the files of a plugin that has been removed, unless it has come again.
func (s *Service) sweep(name string) error {
	if _, ok := s.Store.current.Load().Plugins[name]; ok {
		return nil
	}
	return os.RemoveAll(filepath.Join(s.Store.folder, name))
}

// prune removes the versions of a plugin that nobody goes back to and no process runs from.
func (s *Service) prune(name string) error {
	e, ok := s.Store.current.Load().Plugins[name]
	if !ok { // it was removed
		return nil
	}
	if len(s.ends(name, nil)) > 0 { // another change has replaced one meanwhile
		if s.life.Err() == nil {
			s.later(name, func() error { return s.prune(name) })
		}
		return nil
	}
	keep := []string{e.Version}
	if e.Previous != nil {
		keep = append(keep, e.Previous.Version)
	}
	entries, err := os.ReadDir(filepath.Join(s.Store.folder, name))
	for _, version := range entries {
		if !slices.Contains(keep, version.Name()) {
			err = cmp.Or(err, os.RemoveAll(filepath.Join(s.Store.folder, name, version.Name())))
		}
	}
	return err
}
