package isolation

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// A process with the network reaches it through an HTTP proxy of its starter's alone, where the system allows: it has a
// namespace with nothing in it but a loopback interface, and the listener of the proxy on that.

// relayAddress is where the proxy listens in the namespace of a process, which has all ports for itself.
const relayAddress = "127.0.0.1:3128"

// Listener is where a process with the network asks for it, once it was admitted: an HTTP proxy is expected to serve it.
// Whoever takes it closes it. It is nil where the process has no network, or has ended.
func (p *Process) Listener() net.Listener {
	l := p.listener
	p.listener = nil
	return l
}

// listenOutside opens a listener in this process's own namespace, for a process that has no other one.
func (p *Process) listenOutside() (err error) {
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return fmt.Errorf("listen for the plugin's requests: %w", err)
	}
	return nil
}

// proxied is an environment that has HTTP clients of Go, Python, Node and others ask a proxy, but for what listens beside
// them.
func proxied(env []string, address string) []string {
	set := map[string]string{
		"HTTP_PROXY": "http://" + address, "HTTPS_PROXY": "http://" + address, "NO_PROXY": "localhost,127.0.0.1,::1",
		"http_proxy": "http://" + address, "https_proxy": "http://" + address, "no_proxy": "localhost,127.0.0.1,::1",
		"NODE_USE_ENV_PROXY": "1",
	}
	env = slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		_, ours := set[name]
		return ours || strings.EqualFold(name, "ALL_PROXY")
	})
	for name, value := range set {
		env = append(env, name+"="+value)
	}
	return env
}
