package interop_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A look is how a page is shown: dark or light, on a telephone or a desk.
type look struct {
	scheme string
	width  int64
}

var looks = []look{{"light", 360}, {"light", 1200}, {"dark", 360}, {"dark", 1200}}

// show opens a page in a tab.
func (l look) show(tab context.Context, url string) error {
	dark := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}}
	if _, err := chromedp.Call(tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: dark}); err != nil {
		return err
	}
	return chromedp.Do(tab, chromedp.EmulateViewport(l.width, 800), chromedp.Navigate(url))
}

// A hindrance is what axe-core has found, in one place.
type hindrance struct{ Rule, Impact, Help, At string }

// hindrances returns what axe-core finds serious in the page as it is now, by WCAG 2 (A
// and AA) and what is good practice.
func hindrances(tab context.Context, axe string) ([]hindrance, error) {
	found, err := chromedp.Run(tab, chromedp.Evaluate[string](axe+`;
		axe.run(document).then(({ passes, violations }) => {
			if (passes.length < 10) throw new Error("it has looked at nothing");
			return JSON.stringify(violations.flatMap((v) => v.nodes.map((node) => (
				{ Rule: v.id, Impact: v.impact, Help: v.help, At: node.html }))));
		})`, chromedp.EvalAwaitPromise))
	if err != nil {
		return nil, err
	}
	var all, serious []hindrance
	if err := json.Unmarshal([]byte(found), &all); err != nil {
		return nil, err
	}
	for _, h := range all {
		if h.Impact == "serious" || h.Impact == "critical" || h.Impact == "moderate" {
			serious = append(serious, h)
		}
	}
	return serious, nil
}

// A page can be used without a mouse, and by people who see little or nothing of it.
func TestPagesHinderNobody(t *testing.T) {
	axe, browser := findAxe(t), startBrowser(t)
	echo, chat, auth := startEcho(t), startChat(t), startAuth(t)
	// The other pages are shown without their servers.
	alone := httptest.NewServer(http.StripPrefix("/", http.FileServer(http.Dir(".."))))
	defer alone.Close()
	states := []struct {
		name, url string
		act       []chromedp.Action[chromedp.Void]
		until     string // true when it is so far
	}{
		{name: "echo, connected", url: echo.url, until: `state.textContent === "Connected."`},
		{
			name: "echo, with messages", url: echo.url,
			act:   []chromedp.Action[chromedp.Void]{chromedp.WaitEnabled(chromedp.CSS("#sendButton")), write("#message", "hello\n")},
			until: `document.querySelectorAll("#log li").length === 3`,
		},
		{
			name: "echo, closed", url: echo.url,
			act:   []chromedp.Action[chromedp.Void]{chromedp.WaitEnabled(chromedp.CSS("#sendButton")), chromedp.Click(chromedp.CSS("#closeButton"))},
			until: `!document.getElementById("connect").disabled`,
		},
		{name: "chat, before", url: chat.url, until: `state.textContent !== ""`},
		{
			name: "chat, refused", url: chat.url,
			act:   []chromedp.Action[chromedp.Void]{write("#name", "<b>\n")},
			until: `state.textContent.startsWith("You cannot join")`,
		},
		{
			name: "chat, within", url: chat.url,
			act:   []chromedp.Action[chromedp.Void]{write("#name", "O'Brien\n"), chromedp.WaitEnabled(chromedp.CSS("#sendButton")), write("#message", "hello\n")},
			until: `log.textContent.includes("O'Brien: hello")`,
		},
		{name: "login, before", url: auth.url, until: `state.textContent !== ""`},
		{
			name: "login, refused", url: auth.url,
			act:   []chromedp.Action[chromedp.Void]{write("#name", "Ada"), write("#password", "guess\n")},
			until: `state.textContent.startsWith("You are not logged in: ")`,
		},
		{
			name: "login, within", url: auth.url,
			act: []chromedp.Action[chromedp.Void]{
				write("#name", "Ada"), write("#password", "secret\n"), chromedp.WaitEnabled(chromedp.CSS("#sendButton")), write("#message", "hello\n"),
			},
			until: `log.textContent.includes("Ada: hello")`,
		},
		{name: "chat on Goyave", url: alone.URL + "/goyave/examples/chat/resources/", until: `state.textContent !== ""`},
		{name: "echo on Goyave", url: alone.URL + "/goyave/examples/echo/resources/", until: `state.textContent.includes("again")`},
	}
	for _, state := range states {
		t.Run(state.name, func(t *testing.T) {
			for _, l := range looks {
				require.NoError(t, inPage(browser, "about:blank", func(tab context.Context) error {
					if err := l.show(tab, state.url); err != nil {
						return err
					}
					if err := chromedp.Do(tab, state.act...); err != nil {
						return err
					}
					if err := await(tab, state.until); err != nil {
						return err
					}
					found, err := hindrances(tab, axe)
					assert.Empty(t, found, "%+v", l)
					if err != nil {
						return err
					}
					size, err := chromedp.Run(tab, chromedp.Evaluate[string](`JSON.stringify([
						document.documentElement.scrollWidth,
						Math.min(...[...document.querySelectorAll("input, button")].map((e) => parseFloat(getComputedStyle(e).fontSize))),
					])`))
					assert.Equal(t, fmt.Sprintf("[%d,16]", l.width), size, "%+v: nothing scrolls sideways, and what is typed in has 16 px, or telephones zoom in", l)
					return err
				}))
			}
		})
	}
}

// Without JavaScript, a page says what is missing.
func TestPagesWithoutJavaScript(t *testing.T) {
	browser := startBrowser(t)
	for name, server := range map[string]*process{"echo": startEcho(t), "chat": startChat(t), "login": startAuth(t)} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, inPage(browser, "about:blank", func(tab context.Context) error {
				if _, err := chromedp.Call(tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
					return err
				}
				if err := chromedp.Do(tab, chromedp.Navigate(server.url)); err != nil {
					return err
				}
				text, err := chromedp.Run(tab, chromedp.Text(chromedp.CSS("noscript")))
				assert.Contains(t, text, "needs JavaScript")
				return err
			}))
		})
	}
}
