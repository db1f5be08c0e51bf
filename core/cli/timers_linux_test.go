package cli

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A copy of this program stands in for the server: it says which slack a new thread of it has.
func init() {
	if os.Getenv("TELL_TIMER_SLACK") == "" {
		return
	}
	relaxTimers(os.Args, os.Environ())
	told := make(chan int)
	go func() { told <- slack() }()
	fmt.Println(<-told)
	os.Exit(0)
}

func TestServersHaveRelaxedTimers(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]string{"serve": fmt.Sprint(timerSlack), "token": fmt.Sprint(slack())} {
		cmd := exec.Command(os.Args[0], command)
		cmd.Env = append(os.Environ(), "TELL_TIMER_SLACK=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatal(err, string(out))
		}
		if got := strings.TrimSpace(string(out)); got != want {
			t.Errorf("%s has a slack of %s ns, not %s", command, got, want)
		}
	}
}
