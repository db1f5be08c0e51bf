package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"code.dny.dev/ssrf"
)

// Refused is a request that led to an address which is not public and which no setting allows.
type Refused struct {
	Host    string // as the agent, or a redirect, named it
	Address netip.Addr
}

func (e *Refused) Error() string {
	what := e.Address.String()
	if e.Host != "" && e.Host != what {
		what = e.Host + " (" + what + ")"
	}
	return fmt.Sprintf("%s may not be requested: %s. An operator of this server can allow its network with PATCHBAY_ALLOW_PRIVATE_ADDRESSES", what, kind(e.Address))
}

// guard judges addresses when they are dialled, which is behind every name and every redirect.
type guard struct{ guardian *ssrf.Guardian }

// wireServer is where Azure's machines find what is theirs alone. It is the one such address among the public ones.
var wireServer = netip.MustParsePrefix("168.63.129.16/32")

func newGuard(allowed []netip.Prefix) *guard {
	var four, six []netip.Prefix
	for _, p := range allowed {
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		if p.Addr().Is4() {
			four = append(four, p)
		} else {
			six = append(six, p)
		}
	}
	return &guard{ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(four...), ssrf.WithAllowedV6Prefixes(six...), ssrf.WithDeniedV4Prefixes(wireServer))}
}

// check is a net.Dialer's Control.
func (g *guard) check(network, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("judge address %s: %w", address, err)
	}
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	switch err := g.guardian.Safe(network, at.String(), nil); {
	case errors.Is(err, ssrf.ErrProhibitedIP):
		return &Refused{Address: at.Addr()}
	default:
		return err
	}
}

// kind says for people what an address is.
func kind(a netip.Addr) string {
	switch {
	case a.IsUnspecified():
		return "it is no address of a host"
	case a.IsLoopback():
		return "it is a loopback address, the server itself"
	case a.IsLinkLocalUnicast():
		return "it is a link-local address, where clouds tell machines about themselves"
	case a.IsPrivate():
		return "it is a private address"
	case a.IsMulticast():
		return "it is a multicast address"
	case wireServer.Contains(a):
		return "it belongs to the cloud in which servers run"
	default:
		return "it is not an address of the public internet"
	}
}
