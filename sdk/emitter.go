package sdk

// Emitter takes what a block gives while it runs. Its methods may be called from several goroutines, until Run returns.
type Emitter interface {
	// Emit yields a value at an output pin. json.RawMessage values pass byte for byte, and are
	// handed over: their bytes must not be changed any more. Other values are encoded. It waits
	// while the server is busy with earlier outputs, and fails when the run was cancelled: return that error then.
	Emit(pin string, value any) error
	// Progress tells whoever watches how far the run is. It is shown and never stored.
	Progress(Progress)
}

// Progress of a run; each part may be left out.
type Progress struct {
	Text    string
	Percent float64 // 0 to 100
	Delta   string  // the next piece of a text that grows, such as a model's answer
}
