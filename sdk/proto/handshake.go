// Package proto is the plugin protocol: the messages and the service generated from plugin.proto, and the constants
// on which host and plugin agree before the first message. It must never hold behaviour of either side.
package proto

import (
	"context"
	"errors"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

const (
	// Version of the protocol that this package speaks.
	Version = 1
	// Kind is the one name under which go-plugin dispenses a plugin.
	Kind = "blocks"
	// InlineLimit is the size in bytes up to which a value travels in the session. Larger ones go beside it by Put and
	// Fetch, so that they do not delay small ones.
	InlineLimit = 256 << 10
	// PieceSize is the size in bytes in which Put and Fetch cut values.
	PieceSize = 1 << 20
	// MaxValue is the largest value in bytes that either side takes, inline or beside the session.
	MaxValue = 64 << 20
	// CallPiece is the largest piece of a file or body in bytes that one call reads or writes.
	CallPiece = 256 << 10
	// MaxCall is the largest call in bytes.
	MaxCall = 2 << 20
	// MaxMessage is the largest message in bytes that either side accepts.
	MaxMessage = 64 << 20
)

// Handshake is the cookie by which a process knows that a host started it. It is no secret.
var Handshake = goplugin.HandshakeConfig{
	MagicCookieKey:   "PATCHBAY_PLUGIN",
	MagicCookieValue: "ef2c1f0a5ab04f3e9ea4f1c9c2d3a7b6",
}

// Versions is what a host passes to go-plugin: dispensing Kind gives a PluginClient.
func Versions() map[int]goplugin.PluginSet {
	return map[int]goplugin.PluginSet{Version: {Kind: client{}}}
}

type client struct {
	goplugin.NetRPCUnsupportedPlugin
}

func (client) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return NewPluginClient(conn), nil
}

func (client) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return errors.New("this is the host's side of the protocol")
}
