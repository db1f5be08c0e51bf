// Package plugins holds the example plugins for those that begin a plugin with what speaks the protocol in them. The
// examples themselves lie in its folders.
package plugins

import "embed"

// Files are those of the examples in languages that have no SDK.
//
//go:embed python/patchbay.py python/plugin.binpb
//go:embed typescript/patchbay.ts typescript/plugin.proto typescript/plugin.d.ts typescript/tsconfig.json
//go:embed typescript/package-lock.json typescript/.npmrc
var Files embed.FS
