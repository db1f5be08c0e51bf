package execution

// seats are what runs on this server at once, and who may run more. They are used under their owner's lock.
type seats struct {
	total    int
	perUser  int // of one user's at most; 0: no bound
	perGraph int // of one user's executions of one graph at most; 0: no bound
	taken    int
	users    map[string]int
	graphs   map[userGraph]int
}

type userGraph struct{ user, graph string }

// spareShare of the seats are there in addition, for users of whom nothing runs: what takes long holds nobody else up.
const spareShare = 4

func newSeats(total, perUser, perGraph int) seats {
	return seats{total: total, perUser: perUser, perGraph: perGraph, users: map[string]int{}, graphs: map[userGraph]int{}}
}

// free is how many more may run. It is negative while spare seats are taken.
func (s *seats) free() int { return s.total - s.taken }

// spare is how many seats there are in addition.
func (s *seats) spare() int {
	if s.total == 0 {
		return 0
	}
	return max(1, s.total/spareShare)
}

// admits says whether one more execution may run.
func (s *seats) admits(who userGraph) bool { return s.room(who) && !s.bounded(who) }

// room says whether there is a seat, or a spare one.
func (s *seats) room(who userGraph) bool {
	return s.free() > 0 || s.users[who.user] == 0 && s.free()+s.spare() > 0
}

// bounded says that no more of the user's executions, or of those of this graph, may run.
func (s *seats) bounded(who userGraph) bool {
	return s.perUser > 0 && s.users[who.user] >= s.perUser || s.perGraph > 0 && s.graphs[who] >= s.perGraph
}

func (s *seats) take(who userGraph) {
	s.taken++
	s.users[who.user]++
	if s.perGraph > 0 {
		s.graphs[who]++
	}
}

// leave says whether others of the user's may run that could not before.
func (s *seats) leave(who userGraph) (unbound bool) {
	unbound = s.bounded(who)
	s.taken--
	if s.users[who.user]--; s.users[who.user] == 0 {
		delete(s.users, who.user)
	}
	if s.perGraph > 0 {
		if s.graphs[who]--; s.graphs[who] == 0 {
			delete(s.graphs, who)
		}
	}
	return unbound
}
