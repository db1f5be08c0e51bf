package config

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Address is a host and port to listen on.
type Address string

// UnmarshalText takes host:port, :port and [ipv6]:port.
func (a *Address) UnmarshalText(text []byte) error {
	_, port, err := net.SplitHostPort(string(text))
	if err != nil {
		return fmt.Errorf("%q is no address of the form host:port", text)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q has no port between 0 and 65535", text)
	}
	*a = Address(text)
	return nil
}

// UserIDs is a range of the numbers of users, both ends included.
type UserIDs struct{ First, Last int }

// UnmarshalText takes first-last. Root and nobody are not to be in it.
func (u *UserIDs) UnmarshalText(text []byte) error {
	first, last, ok := strings.Cut(string(text), "-")
	from, err := strconv.ParseUint(first, 10, 31)
	to, wrong := strconv.ParseUint(last, 10, 31)
	if !ok || err != nil || wrong != nil || from == 0 || to < from+999 || from <= 65534 && to >= 65534 {
		return fmt.Errorf("%q is no range of at least 1000 users without 0 and 65534, such as 50000-59999", text)
	}
	u.First, u.Last = int(from), int(to)
	return nil
}

// Loopback says whether only this machine can reach the address.
func (a Address) Loopback() bool {
	host, _, err := net.SplitHostPort(string(a))
	if err != nil {
		return false
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback()
	}
	return host == "localhost"
}

// Reachable is the address as a client on this machine writes it.
func (a Address) Reachable() string {
	host, port, err := net.SplitHostPort(string(a))
	if err != nil {
		return string(a)
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// Size is a number of bytes.
type Size int64

var sizeUnits = []struct {
	suffix string
	bytes  float64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9},
	{"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30},
	{"b", 1}, {"", 1},
}

// UnmarshalText takes a number of bytes and numbers with KiB, MiB, GiB, kB, MB and GB behind them.
func (s *Size) UnmarshalText(text []byte) error {
	lower := strings.ToLower(strings.TrimSpace(string(text)))
	for _, unit := range sizeUnits {
		number, ok := strings.CutSuffix(lower, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if bytes := n * unit.bytes; err == nil && bytes >= 1 && bytes < math.MaxInt64 {
			*s = Size(bytes)
			return nil
		}
		break
	}
	return fmt.Errorf("%q is no size such as 32MiB", text)
}

// Limit is a number that is not negative.
type Limit int

// UnmarshalText takes whole numbers from 0.
func (l *Limit) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 10, 31)
	if err != nil {
		return fmt.Errorf("%q is no whole number from 0", text)
	}
	*l = Limit(n)
	return nil
}

// Duration is a length of time.
type Duration time.Duration

// UnmarshalText takes what time.ParseDuration does, and plain numbers as seconds.
func (d *Duration) UnmarshalText(text []byte) error {
	value, err := time.ParseDuration(string(text))
	if seconds, numberErr := strconv.ParseUint(string(text), 10, 31); err != nil && numberErr == nil {
		value, err = time.Duration(seconds)*time.Second, nil
	}
	if err != nil || value < 0 {
		return fmt.Errorf("%q is no length of time such as 10s or 2m", text)
	}
	*d = Duration(value)
	return nil
}

// Network is a network or one address.
type Network struct{ netip.Prefix }

// UnmarshalText takes 10.0.0.0/8, ::1/128 and single addresses.
func (n *Network) UnmarshalText(text []byte) error {
	value := strings.TrimSpace(string(text))
	if prefix, err := netip.ParsePrefix(value); err == nil {
		n.Prefix = prefix.Masked()
		return nil
	}
	address, err := netip.ParseAddr(value)
	if err != nil {
		return fmt.Errorf("%q is no network such as 10.0.0.0/8", value)
	}
	n.Prefix = netip.PrefixFrom(address, address.BitLen())
	return nil
}

// Zone is a time zone of the IANA database.
type Zone string

// UnmarshalText takes names such as Europe/Berlin.
func (z *Zone) UnmarshalText(text []byte) error {
	if _, err := time.LoadLocation(string(text)); err != nil || len(text) == 0 || string(text) == "Local" {
		return fmt.Errorf("%q is no time zone such as Europe/Berlin", text)
	}
	*z = Zone(text)
	return nil
}

// Roles are what a server does.
type Roles struct{ API, Worker bool }

// UnmarshalText takes all, and api and worker separated by commas.
func (r *Roles) UnmarshalText(text []byte) error {
	*r = Roles{}
	for _, role := range strings.Split(string(text), ",") {
		role = strings.TrimSpace(role)
		if !slices.Contains([]string{"all", "api", "worker"}, role) {
			return fmt.Errorf("%q is no role; there are api, worker and all", role)
		}
		r.API = r.API || role != "worker"
		r.Worker = r.Worker || role != "api"
	}
	return nil
}
