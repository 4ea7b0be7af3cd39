package interop_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/chromedp"
	"github.com/goyave-contrib/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// write types text into a field; a line's end is the Enter key.
func write(field, text string) chromedp.Action[chromedp.Void] {
	return chromedp.SendKeys(chromedp.CSS(field), text)
}

// await waits until an expression is true. The elements with the IDs state and log have
// these names in it.
func await(tab context.Context, expression string) error {
	poll := chromedp.Poll[bool](fmt.Sprintf(`(() => {
		const state = document.getElementById("state"), log = document.getElementById("log");
		return %s;
	})()`, expression))
	_, err := chromedp.Run(tab, poll)
	for isOfPageBefore(err) && tab.Err() == nil {
		time.Sleep(50 * time.Millisecond)
		_, err = chromedp.Run(tab, poll)
	}
	if err != nil {
		text, _ := chromedp.Run(tab, chromedp.Text(chromedp.CSS("main")))
		err = fmt.Errorf("never true: %s: %w; the page says:\n%s", expression, err, text)
	}
	return err
}

// isOfPageBefore reports whether an error is that of a script in a page that has made way for another one,
// as the empty page does when a tab has just been told to show something.
func isOfPageBefore(err error) bool {
	var failed *cdproto.Error
	return errors.As(err, &failed) && failed.Code == -32000 &&
		(strings.Contains(failed.Message, "Cannot find context") || strings.Contains(failed.Message, "context was destroyed"))
}

func evaluate[T any](tab context.Context, t *testing.T, expression string) T {
	t.Helper()
	value, err := chromedp.Run(tab, chromedp.Evaluate[T](expression))
	require.NoError(t, err)
	return value
}

// A page comes back by itself when the server was away. Who types meanwhile notices
// nothing: what was typed is there, and so is the cursor.
func TestPagesComeBack(t *testing.T) {
	rows := []struct {
		name  string
		start func(*testing.T, ...string) *process
		join  []chromedp.Action[chromedp.Void]
		in    string // what the state is then
		echo  string // of "hello"
	}{
		{name: "echo", start: startEcho, in: "Connected.", echo: "hello"},
		{
			name: "chat", start: startChat, join: []chromedp.Action[chromedp.Void]{write("#name", "O'Brien\n")},
			in: "You are O'Brien, in the room lobby.", echo: "O'Brien: hello",
		},
	}
	browser := startBrowser(t)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			server := row.start(t)
			proxy := startProxy(t, server.url)
			require.NoError(t, inPage(browser, proxy.url, func(tab context.Context) error {
				in := fmt.Sprintf("state.textContent === %q", row.in)
				require.NoError(t, chromedp.Do(tab, row.join...))
				require.NoError(t, await(tab, in))
				require.NoError(t, chromedp.Do(tab, write("#message", "hel")))

				server.interrupt(t)
				require.NoError(t, await(tab, `state.textContent === "The server is going away: Server shutting down. Connecting again …"`))
				require.NoError(t, await(tab, `state.textContent === "The server cannot be reached. Connecting again …"`))
				require.NoError(t, chromedp.Do(tab, chromedp.KeyEvent("lo")))
				assert.Equal(t, "message: hello", evaluate[string](tab, t, `document.activeElement.id + ": " + document.activeElement.value`))
				require.NoError(t, chromedp.Do(tab, chromedp.KeyEvent("\r")))
				assert.Equal(t, "hello", evaluate[string](tab, t, `document.activeElement.value`), "what can't be sent is not lost")

				proxy.leadTo(row.start(t).url)
				require.NoError(t, await(tab, in))
				require.NoError(t, chromedp.Do(tab, chromedp.KeyEvent("\r")))
				return await(tab, fmt.Sprintf(`log.querySelector("li:last-child:not(.sent)")?.textContent === %q`, row.echo))
			}))
		})
	}
}

// The chat, as a person sees it.
func TestChatPage(t *testing.T) {
	browser, server := startBrowser(t), startChat(t)
	require.NoError(t, inPage(browser, server.url, func(tab context.Context) error {
		focus := func() string { return evaluate[string](tab, t, `document.activeElement.id`) }
		require.NoError(t, await(tab, `document.activeElement.id === "name"`)) // a browser focuses in its own time
		require.NoError(t, chromedp.Do(tab, write("#name", "<Ada>\n")))
		require.NoError(t, await(tab, `state.textContent === "You cannot join: a name and a room have 1 to 20 letters, digits, punctuation marks or spaces each."`))
		assert.Equal(t, "name", focus())
		require.NoError(t, chromedp.Do(tab, chromedp.SetValue(chromedp.CSS("#name"), "Ada"), chromedp.SetValue(chromedp.CSS("#room"), "tea & cake"), chromedp.Click(chromedp.CSS("#joinButton"))))
		require.NoError(t, await(tab, `state.textContent === "You are Ada, in the room tea & cake."`))
		require.NoError(t, await(tab, `document.getElementById("here").textContent === "Ada"`))
		assert.Equal(t, "message", focus())
		require.NoError(t, chromedp.Do(tab, write("#message", "hello <b>\n")))
		require.NoError(t, await(tab, `log.querySelector("li:last-child")?.textContent === "Ada: hello <b>"`))
		require.NoError(t, chromedp.Do(tab, chromedp.Click(chromedp.CSS("#leaveButton"))))
		require.NoError(t, await(tab, `state.textContent === "You have left."`))
		assert.Equal(t, "name", focus())
		assert.Equal(t, "nobody that you can see yet", evaluate[string](tab, t, `document.getElementById("here").textContent`))

		require.NoError(t, chromedp.Do(tab, chromedp.SetValue(chromedp.CSS("#room"), "lobby"), write("#name", "\r")))
		require.NoError(t, await(tab, `state.textContent === "You are Ada, in the room lobby."`))
		// More than the server takes ends it for good, and says so.
		evaluate[int](tab, t, `document.getElementById("message").value = "x".repeat(3000), document.getElementById("send").requestSubmit(), 0`)
		require.NoError(t, await(tab, `state.textContent === "The message was too long for the server: message too big."`))
		time.Sleep(time.Second) // in which it would have come back
		assert.Equal(t, "message", focus())
		return await(tab, `state.textContent.startsWith("The message was too long") && !document.getElementById("joinButton").hidden`)
	}))
}

// A page whose connection was lost shows what it has missed, and nothing twice. When the server has
// forgotten what was said, the page says so.
func TestChatPageMissesNothing(t *testing.T) {
	browser, server := startBrowser(t), startChat(t)
	proxy := startProxy(t, server.url)
	bob, _, err := websocket.Dial(t.Context(), "ws"+server.url[len("http"):]+"/chat?name=Bob&room=lobby", nil)
	require.NoError(t, err)
	defer func() { _ = bob.CloseNow() }()
	say := func(text string) { require.NoError(t, bob.WriteMessage(websocket.TextMessage, []byte(text))) }
	shown := func(kind, lines string) string {
		return fmt.Sprintf(`[...log.querySelectorAll("li.%s")].map((line) => line.textContent).join() === %q`, kind, lines)
	}
	require.NoError(t, inPage(browser, proxy.url, func(tab context.Context) error {
		say("before")
		require.NoError(t, await(tab, `document.activeElement.id === "name"`)) // a browser focuses in its own time
		require.NoError(t, chromedp.Do(tab, write("#name", "Ada\n")))
		require.NoError(t, await(tab, shown("message", "Bob: before")))
		require.NoError(t, await(tab, `document.getElementById("here").textContent === "Ada, Bob"`))
		want := "Bob: before"
		for i := range 3 {
			proxy.cut()
			text := fmt.Sprintf("missed %d", i)
			say(text)
			want += ",Bob: " + text
			require.NoError(t, await(tab, shown("message", want)))
			require.NoError(t, await(tab, `document.getElementById("here").textContent === "Ada, Bob"`))
		}
		notes := evaluate[string](tab, t, `[...document.querySelectorAll("#log li.note")].map((line) => line.textContent).join()`)
		assert.Equal(t, 3, strings.Count(notes, "You are not connected: what is said now comes later."), notes)
		assert.NotRegexp(t, "Bob joined|left", notes)

		require.NoError(t, bob.Close(websocket.CloseNormalClosure, ""))
		require.NoError(t, await(tab, `log.querySelector("li:last-child").textContent === "Bob left"`))
		server.interrupt(t)
		proxy.leadTo(startChat(t).url)
		require.NoError(t, await(tab, `log.querySelector("li")?.textContent === "You have missed more than is kept."`))
		require.NoError(t, await(tab, `document.getElementById("here").textContent === "Ada"`))
		require.NoError(t, chromedp.Do(tab, write("#message", "hello\n")))
		return await(tab, shown("message", "Ada: hello"))
	}))
}

// Somebody logs in, talks, is left out when the token has expired, logs in again and logs out.
func TestLoginPage(t *testing.T) {
	browser, server := startBrowser(t), startAuth(t, "-lifetime", "8s")
	require.NoError(t, inPage(browser, server.url, func(tab context.Context) error {
		focus := func() string { return evaluate[string](tab, t, `document.activeElement.id`) }
		require.NoError(t, await(tab, `document.activeElement.id === "name"`)) // a browser focuses in its own time
		require.NoError(t, chromedp.Do(tab, write("#name", "Ada <b>"), write("#password", "guess\n")))
		require.NoError(t, await(tab, `state.textContent === "You are not logged in: name or password is wrong."`))
		assert.Equal(t, "password", focus())

		login := chromedp.SetValue(chromedp.CSS("#password"), "secret")
		require.NoError(t, chromedp.Do(tab, login, write("#password", "\r")))
		require.NoError(t, await(tab, `state.textContent === "welcome, Ada <b>"`))
		assert.Equal(t, "message", focus())
		assert.Empty(t, evaluate[string](tab, t, `document.getElementById("password").value`))
		require.NoError(t, chromedp.Do(tab, write("#message", "hello\n")))
		require.NoError(t, await(tab, `log.querySelector("li:last-child")?.textContent === "Ada <b>: hello"`))

		require.NoError(t, await(tab, `state.textContent === "Log in again: the token has expired."`))
		require.NoError(t, chromedp.Do(tab, login, write("#password", "\r")))
		require.NoError(t, await(tab, `state.textContent === "welcome, Ada <b>"`))
		require.NoError(t, chromedp.Do(tab, chromedp.Click(chromedp.CSS("#logoutButton"))))
		require.NoError(t, await(tab, `state.textContent === "You are logged out."`))
		assert.Equal(t, "name", focus())
		return nil
	}))
}

// Twenty thousand echoes are shown in seconds, and the last of them stay. A reader who has scrolled up is
// left there.
func TestPageShowsManyLines(t *testing.T) {
	const many = 20_000
	browser, server := startBrowser(t), startEcho(t)
	require.NoError(t, inPage(browser, server.url, func(tab context.Context) error {
		require.NoError(t, await(tab, `state.textContent === "Connected."`))
		send := func(n int) string {
			return fmt.Sprintf(`(() => {
				const message = document.getElementById("message"), form = document.getElementById("send");
				for (let i = 1; i <= %d; i++) { message.value = "n" + i; form.requestSubmit(); }
				return 0;
			})()`, n)
		}
		begun := time.Now()
		evaluate[int](tab, t, send(many))
		require.NoError(t, await(tab, fmt.Sprintf(`log.querySelector("li:last-child").textContent === "n%d"`, many)))
		t.Logf("%d messages and their echoes: %v", many, time.Since(begun).Round(time.Millisecond))
		assert.Equal(t, 500, evaluate[int](tab, t, `document.querySelectorAll("#log li").length`))
		atEnd := `log.scrollHeight - log.scrollTop - log.clientHeight < 2`
		require.NoError(t, await(tab, atEnd), "it follows what comes")

		// The line that is read stays where it is, while there are lines before it to take away.
		evaluate[int](tab, t, `(() => {
			const log = document.getElementById("log");
			log.scrollTop = log.scrollHeight / 2;
			window.read = [...log.querySelectorAll("li")].find((line) => line.offsetTop >= log.offsetTop + log.scrollTop);
			return 0;
		})()`)
		where := `Math.round(window.read.getBoundingClientRect().top)`
		before := evaluate[int](tab, t, where)
		evaluate[int](tab, t, send(50))
		require.NoError(t, await(tab, `log.querySelector("li:last-child").textContent === "n50" && log.querySelector("li:last-child").className === "received"`))
		assert.Equal(t, before, evaluate[int](tab, t, where))
		assert.Equal(t, 500, evaluate[int](tab, t, `document.querySelectorAll("#log li").length`))
		evaluate[int](tab, t, `document.getElementById("log").scrollTop = 1e6`)
		evaluate[int](tab, t, send(1))
		require.NoError(t, await(tab, `log.querySelector("li:last-child").textContent === "n1"`))
		return await(tab, atEnd)
	}))
}

// Messages of no bytes are messages like others: only what was not asked for is a sign
// of life.
func TestPageShowsEmptyEchoes(t *testing.T) {
	browser, server := startBrowser(t), startEcho(t)
	require.NoError(t, inPage(browser, server.url, func(tab context.Context) error {
		require.NoError(t, await(tab, `state.textContent === "Connected."`))
		require.NoError(t, chromedp.Do(tab, write("#message", "\r"), chromedp.KeyEvent("\r"), chromedp.KeyEvent("x\r")))
		return await(tab, `[...log.querySelectorAll("li")].map((line) => line.className + line.textContent).join() ===
			"noteconnected,sent,sent,sentx,received,received,receivedx" || log.querySelectorAll("li.received").length === 3`)
	}))
}
