package interop_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// The page of examples/echo, as its users see it.
func TestPageOfTheExample(t *testing.T) {
	rows := []struct {
		name string
		act  func(t *testing.T, server *process, tab context.Context)
		says string // the last line
	}{
		{
			name: "a message",
			act: func(t *testing.T, _ *process, tab context.Context) {
				t.Helper()
				require.NoError(t, chromedp.Do(tab,
					chromedp.SendKeys(chromedp.CSS("#message"), "hello, 世界"),
					chromedp.Click(chromedp.CSS("#sendButton")),
				))
			},
			says: "hello, 世界",
		},
		{
			name: "the user closes with 3000",
			act: func(t *testing.T, _ *process, tab context.Context) {
				t.Helper()
				require.NoError(t, chromedp.Do(tab,
					chromedp.SetValue(chromedp.CSS("#code"), "3000"),
					chromedp.Click(chromedp.CSS("#closeButton")),
				))
			},
			says: `closed: code 3000, reason "", wasClean true`,
		},
		{
			name: "the server shuts down",
			act: func(t *testing.T, server *process, _ context.Context) {
				t.Helper()
				server.interrupt(t)
			},
			says: `closed: code 1001, reason "Server shutting down", wasClean true`,
		},
	}
	browser := startBrowser(t)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			server := startEcho(t)
			require.NoError(t, inPage(browser, server.url, func(tab context.Context) error {
				if err := chromedp.Do(tab, chromedp.WaitEnabled(chromedp.CSS("#sendButton"))); err != nil {
					return err
				}
				row.act(t, server, tab)
				_, err := chromedp.Run(tab, chromedp.Poll[bool](fmt.Sprintf(
					`document.querySelector("#log li:last-child:not(.sent)")?.textContent === %q`, row.says)))
				if err != nil {
					said, _ := chromedp.Run(tab, chromedp.InnerHTML(chromedp.CSS("#log")))
					err = fmt.Errorf("the page has no %q in the end, but %s: %w", row.says, said, err)
				}
				return err
			}))
		})
	}
}
