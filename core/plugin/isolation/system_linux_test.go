package isolation

import (
	"errors"
	"testing"
)

func TestMeansAreTakenOneByOne(t *testing.T) {
	t.Parallel()
	broken := errors.New("no")
	for name, test := range map[string]struct {
		root  bool
		works func(m means, network bool) bool
		want  means
	}{
		"all":              {true, func(means, bool) bool { return true }, means{users: true, network: true, root: true, ends: true, relay: true}},
		"an ordinary user": {false, func(m means, _ bool) bool { return !m.users }, means{network: true, root: true, ends: true, relay: true}},
		"no users":         {true, func(m means, _ bool) bool { return !m.users }, means{network: true, root: true, ends: true, relay: true}},
		"no namespaces":    {true, func(m means, _ bool) bool { return !m.network }, means{users: true, root: true, ends: true}},
		"no listener":      {true, func(_ means, network bool) bool { return !network }, means{users: true, network: true, root: true, ends: true}},
		"no processes":     {true, func(m means, _ bool) bool { return !m.ends }, means{users: true, network: true, root: true, relay: true}},
		"no own root":      {true, func(m means, _ bool) bool { return !m.root }, means{users: true, network: true, relay: true, ends: true}},
		"either":           {true, func(m means, _ bool) bool { return !m.users || !m.network }, means{users: true, root: true, ends: true}},
		"nothing":          {true, func(m means, _ bool) bool { return !m.users && !m.network && !m.root && !m.ends }, means{}},
		"once, at the start": {true, func() func(means, bool) bool {
			tries := 0
			return func(means, bool) bool { tries++; return tries > 1 }
		}(), means{users: true, network: true, root: true, ends: true, relay: true}},
	} {
		got, err := choose(means{}, test.root, func(m means, network bool) error {
			if !test.works(m, network) {
				return broken
			}
			return nil
		})
		told := got.users == (test.root && got.usersFail == nil) && got.network == (got.netFail == nil) && got.root == (got.rootFail == nil) && got.relay == (got.relayFail == nil) && got.ends == (got.endsFail == nil)
		if err != nil || got.users != test.want.users || got.network != test.want.network || got.root != test.want.root || got.relay != test.want.relay || got.ends != test.want.ends || !told {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
	if _, err := choose(means{}, true, func(means, bool) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("nothing works: %v", err)
	}
}
