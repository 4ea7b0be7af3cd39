package interop_test

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A player is a client. It plays exchanges at the same time, calls meanwhile once
// it has begun, and returns what it saw of each.
type player func(t *testing.T, exchanges []exchange, meanwhile func()) []seen

// withEveryClient runs a test with each client that has the API of browsers.
func withEveryClient(t *testing.T, test func(t *testing.T, play player)) {
	t.Run("package ws", func(t *testing.T) { test(t, packageWS(t)) })
	t.Run("Node's own WebSocket", func(t *testing.T) { test(t, nodesOwn(t)) })
	t.Run("browser", func(t *testing.T) { test(t, browser(t)) })
}

// packageWS is the npm package ws.
func packageWS(t *testing.T) player {
	t.Helper()
	return inProgram(findNodeWithWS(t), "script/client.js", "ws")
}

// nodesOwn is the WebSocket that Node has itself.
func nodesOwn(t *testing.T) player {
	t.Helper()
	node := findNode(t)
	return inProgram(node, append(ownWebSocket(t, node), "script/client.js", "own")...)
}

// pythonWebsockets is the package websockets of Python. It knows the steps send, receive, ping and
// close.
func pythonWebsockets(t *testing.T) player {
	t.Helper()
	return inProgram(findPython(t), "script/play.py")
}

// inProgram returns a player that runs a program, which reads exchanges and writes what it saw, in lines.
func inProgram(program string, arguments ...string) player {
	return func(t *testing.T, exchanges []exchange, meanwhile func()) []seen {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		input, err := json.Marshal(exchanges)
		require.NoError(t, err)
		command := exec.CommandContext(ctx, program, arguments...)
		var stderr bytes.Buffer
		command.Stdin, command.Stderr = bytes.NewReader(input), &stderr
		stdout, err := command.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, command.Start())
		all := make([]seen, len(exchanges))
		for i := range all {
			all[i].Failed = "the program said nothing of it"
		}
		var decoding error
		var reading sync.WaitGroup
		reading.Go(func() { decoding = decodeSeen(stdout, all) })
		meanwhile()
		reading.Wait()
		err = command.Wait()
		assert.NoError(t, errors.Join(decoding, err), "%s", stderr.String())
		return all
	}
}

// decodeSeen reads the lines of script/client.js and script/play.py.
func decodeSeen(r io.Reader, all []seen) error {
	lines := json.NewDecoder(r)
	for {
		var line struct {
			Index int
			Seen  seen
		}
		switch err := lines.Decode(&line); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		all[line.Index] = line.Seen
	}
}

//go:embed script/play.js
var script string

// browser is one that was started for the test. Exchanges with one page are played
// there at the same time.
func browser(t *testing.T) player {
	t.Helper()
	root := startBrowser(t)
	return func(t *testing.T, exchanges []exchange, meanwhile func()) []seen {
		t.Helper()
		byPage := make(map[string][]int)
		for i, e := range exchanges {
			byPage[e.page] = append(byPage[e.page], i)
		}
		all := make([]seen, len(exchanges))
		var playing sync.WaitGroup
		for page, places := range byPage {
			playing.Go(func() {
				mine := make([]exchange, len(places))
				for i, place := range places {
					mine[i] = exchanges[place]
				}
				result, err := playInPage(root, page, mine)
				if !assert.NoError(t, err) || !assert.Len(t, result, len(places)) {
					return
				}
				for i, place := range places {
					all[place] = result[i]
				}
			})
		}
		meanwhile()
		playing.Wait()
		return all
	}
}

// startBrowser returns the context of a browser, which ends with the test.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(findBrowser(t))}
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // it has none for root
	}
	ctx, cancel := chromedp.NewContext(context.Background(), chromedp.WithAllocatorOptions(options...))
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(ctx)) // which starts it
	t.Cleanup(func() {
		bounded, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		assert.NoError(t, chromedp.Cancel(bounded))
	})
	return ctx
}

// inPage opens the page in a tab of its own and does something there.
func inPage(browser context.Context, page string, do func(tab context.Context) error) error {
	opened, closeTab := chromedp.NewContext(browser)
	defer closeTab()
	if err := chromedp.Do(opened); err != nil { // a bound for the first call would be the tab's
		return err
	}
	tab, cancel := context.WithTimeout(opened, patience)
	defer cancel()
	if err := chromedp.Do(tab, chromedp.Navigate(page)); err != nil {
		return err
	}
	return do(tab)
}

// playInPage plays exchanges in a tab.
func playInPage(browser context.Context, page string, exchanges []exchange) (all []seen, err error) {
	encoded, err := json.Marshal(exchanges)
	if err != nil {
		return nil, err
	}
	played := "(async () => {" + script + `
		const all = [];
		await playAll(` + string(encoded) + `, (url, protocols) => new WebSocket(url, protocols), (i, seen) => (all[i] = seen));
		return all;
	})()`
	err = inPage(browser, page, func(tab context.Context) (err error) {
		all, err = chromedp.Run(tab, chromedp.Evaluate[[]seen](played, chromedp.EvalAwaitPromise))
		return err
	})
	return all, err
}
