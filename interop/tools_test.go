package interop_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestTools skips for each tool that is missing; other tests do where they need
// it.
func TestTools(t *testing.T) {
	t.Run("Node", func(t *testing.T) { findNode(t) })
	t.Run("package ws", func(t *testing.T) { findNodeWithWS(t) })
	t.Run("Node's own WebSocket", func(t *testing.T) { ownWebSocket(t, findNode(t)) })
	t.Run("Python's websockets", func(t *testing.T) { findPython(t) })
	t.Run("package axe-core", func(t *testing.T) { findAxe(t) })
	t.Run("browser", func(t *testing.T) { findBrowser(t) })
}

// missing skips the test for lack of a tool and says how to get it. Where
// INTEROP_REQUIRED is set, as in continuous integration, that is a failure.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("INTEROP_REQUIRED") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// findNode returns the program node.
func findNode(t *testing.T) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "there is no node: install Node.js 20 or newer")
	}
	return node
}

// findNodeWithWS returns the program node, and sees to the package ws.
func findNodeWithWS(t *testing.T) string {
	t.Helper()
	node := findNode(t)
	if _, err := os.Stat(filepath.Join("node_modules", "ws", "package.json")); err != nil {
		missing(t, "there is no package ws: run npm ci in the folder interop")
	}
	return node
}

// findAxe returns the script that looks for what hinders people, from the package axe-core.
func findAxe(t *testing.T) string {
	t.Helper()
	script, err := os.ReadFile(filepath.Join("node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		missing(t, "there is no package axe-core: run npm ci in the folder interop")
	}
	return string(script)
}

// ownWebSocket returns the flags with which node has a WebSocket of its own.
func ownWebSocket(t *testing.T, node string) []string {
	t.Helper()
	for _, flags := range [][]string{nil, {"--experimental-websocket"}} { // without a flag from Node 22 on
		output, err := exec.CommandContext(t.Context(), node, append(flags, "--print", "typeof WebSocket")...).Output()
		if err == nil && strings.TrimSpace(string(output)) == "function" {
			return flags
		}
	}
	missing(t, "this node has no WebSocket of its own: install Node.js 20.10 or newer")
	return nil
}

// findPython returns a Python that has the package websockets.
func findPython(t *testing.T) string {
	t.Helper()
	names := []string{"python3", "/usr/bin/python3"} // the system's packages are for the latter
	if chosen := os.Getenv("INTEROP_PYTHON"); chosen != "" {
		names = []string{chosen}
	}
	for _, name := range names {
		if exec.CommandContext(t.Context(), name, "-c", "import websockets.extensions.permessage_deflate").Run() == nil {
			return name
		}
	}
	missing(t, "there is no Python with websockets: install python3-websockets, or set INTEROP_PYTHON to the path of a Python that has it")
	return ""
}

// findBrowser returns a browser that is driven as Chromium is.
func findBrowser(t *testing.T) string {
	t.Helper()
	names := []string{"chromium-headless-shell", "google-chrome", "google-chrome-stable", "chromium", "chromium-browser"}
	if runtime.GOOS == "darwin" {
		names = append(names, "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
	}
	if chosen := os.Getenv("INTEROP_BROWSER"); chosen != "" {
		names = []string{chosen}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	missing(t, "there is no browser: install chromium-headless-shell, Chromium or Chrome, or set INTEROP_BROWSER to its path")
	return ""
}
