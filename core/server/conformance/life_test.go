package conformance

// lifeVariable makes the test binary a server that a test kills.
const lifeVariable = "PATCHBAY_TEST_LIFE"

func live(string) error { return nil }
