package testws_test

import (
	"os"
	"os/exec"
	"os/signal"
	"testing"

	"github.com/goyave-contrib/websocket/internal/testws"
)

func TestInterruptOfAShell(t *testing.T) {
	signal.Ignore(os.Interrupt) // as in the background of a script
	defer signal.Reset(os.Interrupt)
	p := testws.StartCommand(t, exec.Command("sh", "-c", `trap 'exit 7' INT; echo ready; while :; do sleep 0.1; done`))
	p.ExpectText("ready")
	p.Interrupt()
	p.ExpectExit(7)
}
