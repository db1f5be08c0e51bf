package execution

// seats are what runs on this server at once, and who may run more. They are used under their owner's lock.
type seats struct {
	total int
	taken int
	users map[string]int
}

type userGraph struct{ user, graph string }

// spareShare of the seats are there in addition, for users of whom nothing runs: what takes long holds nobody else up.
const spareShare = 4

func newSeats(total int) seats { return seats{total: total, users: map[string]int{}} }

// free is how many more may run. It is negative while spare seats are taken.
func (s *seats) free() int { return s.total - s.taken }

// spare is how many seats there are in addition.
func (s *seats) spare() int {
	if s.total == 0 {
		return 0
	}
	return max(1, s.total/spareShare)
}

// room says whether there is a seat, or a spare one.
func (s *seats) room(who userGraph) bool {
	return s.free() > 0 || s.users[who.user] == 0 && s.free()+s.spare() > 0
}

func (s *seats) take(who userGraph) {
	s.taken++
	s.users[who.user]++
}

func (s *seats) leave(who userGraph) {
	s.taken--
	if s.users[who.user]--; s.users[who.user] == 0 {
		delete(s.users, who.user)
	}
}
