//go:build linux && !amd64 && !arm64

package isolation

const canFilter = false

func filter(bool) error { return nil }
