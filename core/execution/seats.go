package execution

import "time"

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

// Bounds of what waits on a server for its seats, beyond those that are free.
const (
	// aheadFor is how long it takes to begin all that, if executions go on ending as they have. Where no other server
	// lives that may have room sooner, it is aheadAlone.
	aheadFor   = 250 * time.Millisecond
	aheadAlone = 500 * time.Millisecond
	maxQueue   = 256
	// queuedFor is how long it may take in the end, before it is left to whoever has room.
	queuedFor = time.Second
)

// pace is how fast executions end on this server. Where many end every moment, one claim is for many of them, or none is
// needed; where they take long, nothing is taken before there is room for it, so that another server may have it. It is
// used under its owner's lock.
type pace struct {
	began         time.Time // the present span
	ended, before int       // in it, and in the one before
}

const paceSpan = 250 * time.Millisecond

func (p *pace) roll(now time.Time) {
	switch age := now.Sub(p.began); {
	case age < paceSpan:
	case age < 2*paceSpan:
		p.began, p.ended, p.before = p.began.Add(paceSpan), 0, p.ended
	default:
		p.began, p.ended, p.before = now, 0, 0
	}
}

func (p *pace) end(now time.Time) {
	p.roll(now)
	p.ended++
}

// ahead is how many seats will become free within a time.
func (p *pace) ahead(now time.Time, within time.Duration) int {
	p.roll(now)
	return min(maxQueue, int(time.Duration(p.ended+p.before)*within/(paceSpan+now.Sub(p.began))))
}
