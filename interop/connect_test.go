package interop_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/goyave-contrib/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// guide is a server with a page that has the function connect of docs/guide.md, and a
// list of the states that it was told.
type guide struct {
	url string

	mu       sync.Mutex
	away     bool           // handshakes are refused
	attempts map[string]int // handshakes by their query
}

func startGuide(t *testing.T, heartbeat time.Duration) *guide {
	t.Helper()
	text, err := os.ReadFile("../docs/guide.md")
	require.NoError(t, err)
	snippet := regexp.MustCompile("(?ms)^```js\n(// connect keeps .*?)^```$").FindSubmatch(text)
	require.NotNil(t, snippet)
	return startPage(t, heartbeat, `<script>`+string(snippet[1])+`
		let states = [], messages = [], reasons = [], connection;
		function begin(query, silence) {
			connection = connect("/socket?" + query, {
				silence,
				onMessage: (data) => messages.push(data),
				onState: (state, why) => { states.push(state); if (why) reasons.push(why.code + " " + why.reason); },
			});
			return 0;
		}
	</script>`)
}

// startPage serves a page with the given body, and the endpoint at /socket and /chat.
func startPage(t *testing.T, heartbeat time.Duration, body string) *guide {
	t.Helper()
	html := `<!doctype html><meta charset="utf-8"><title>guide</title><link rel="icon" href="data:,">` + body
	g := &guide{attempts: make(map[string]int)}
	upgrader := websocket.New(g)
	upgrader.HeartbeatInterval = heartbeat
	mux := http.NewServeMux()
	mux.Handle("GET /socket", upgrader)
	mux.Handle("GET /chat", upgrader)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(html))
	})
	server := httptest.NewServer(mux)
	g.url = server.URL
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = upgrader.Shutdown(ctx)
		server.Close()
	})
	return g
}

// CheckUpgrade counts handshakes.
func (g *guide) CheckUpgrade(r *http.Request) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.attempts[r.URL.RawQuery]++
	if g.away {
		return &websocket.RefusedError{Status: http.StatusServiceUnavailable}
	}
	return nil
}

// Serve echoes, and closes with the code in the query or after "goodbye".
func (g *guide) Serve(conn *websocket.Conn, r *http.Request) error {
	if code := r.URL.Query().Get("code"); code == "1006" {
		return conn.CloseNow()
	} else if number, err := strconv.Atoi(code); err == nil {
		return websocket.NewCloseError(number, "")
	}
	for {
		messageType, message, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if string(message) == "goodbye" {
			return websocket.NewCloseError(4000, "so long")
		}
		if err := conn.WriteMessage(messageType, message); err != nil {
			return err
		}
	}
}

func (g *guide) attemptsOf(query string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.attempts[query]
}

func (g *guide) setAway(away bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.away = away
}

// in runs a test in the page.
func (g *guide) in(t *testing.T, url string, test func(tab context.Context)) {
	t.Helper()
	require.NoError(t, inPage(startBrowser(t), url, func(tab context.Context) error {
		test(tab)
		return nil
	}))
}

func states(tab context.Context, t *testing.T) (all []string) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(evaluate[string](tab, t, `JSON.stringify(states)`)), &all))
	return all
}

// The guide's page shows each message but heartbeats, and sends what is typed, without being loaded again.
func TestPageOfTheGuide(t *testing.T) {
	t.Parallel() // it mostly waits
	text, err := os.ReadFile("../docs/guide.md")
	require.NoError(t, err)
	parts := regexp.MustCompile("(?ms)^```js\n(// connect keeps .*?)^```$.*?^```html\n(.*?)^```$.*?^```js\n(.*?)^```$").FindSubmatch(text)
	require.NotNil(t, parts)
	g := startPage(t, 100*time.Millisecond, fmt.Sprintf("%s<script>%s\n%s</script>", parts[2], parts[1], parts[3]))
	g.in(t, g.url, func(tab context.Context) {
		state := `document.getElementById("connected").textContent`
		lines := `[...document.querySelectorAll("#messages li")].map((line) => line.textContent).join()`
		require.NoError(t, await(tab, state+` === "open"`))
		for _, said := range []string{"hello", "world"} {
			require.NoError(t, chromedp.Do(tab,
				chromedp.SendKeys(chromedp.CSS("#text"), said),
				chromedp.Click(chromedp.CSS("#say button")),
			))
			require.NoError(t, await(tab, lines+`.endsWith("`+said+`")`))
		}
		assert.Equal(t, "hello,world", evaluate[string](tab, t, lines))
		assert.Empty(t, evaluate[string](tab, t, `location.search + document.getElementById("text").value`))
		assert.Equal(t, 1, g.attemptsOf(""))

		require.NoError(t, chromedp.Do(tab,
			chromedp.SendKeys(chromedp.CSS("#text"), "goodbye"),
			chromedp.Click(chromedp.CSS("#say button")),
		))
		require.NoError(t, await(tab, state+` === "closed: so long"`))
	})
}

// A page without messages stays connected for as long as there are heartbeats, and
// takes a server that sends none for a dead network.
func TestPageHearsHeartbeats(t *testing.T) {
	t.Parallel() // it mostly waits
	const silence, idle = "1500", 4500 * time.Millisecond
	t.Run("with heartbeats", func(t *testing.T) {
		t.Parallel()
		g := startGuide(t, 300*time.Millisecond)
		g.in(t, g.url, func(tab context.Context) {
			evaluate[int](tab, t, `begin("q", `+silence+`)`)
			time.Sleep(idle)
			assert.Equal(t, []string{"connecting", "open"}, states(tab, t))
			assert.Equal(t, 1, g.attemptsOf("q"))
			assert.True(t, evaluate[bool](tab, t, `messages.length > 5 && messages.every((m) => m === "")`))
		})
	})
	t.Run("without", func(t *testing.T) {
		t.Parallel()
		g := startGuide(t, 0)
		g.in(t, g.url, func(tab context.Context) {
			evaluate[int](tab, t, `begin("q", `+silence+`)`)
			time.Sleep(idle)
			assert.Equal(t, []string{"connecting", "open", "waiting", "connecting"}, states(tab, t)[:4])
			assert.Greater(t, g.attemptsOf("q"), 1)
		})
	})
}

// A network that dies says nothing: neither end is told. The page notices, also that its
// next attempts lead nowhere, and is back when the network is.
func TestPageNoticesADeadNetwork(t *testing.T) {
	t.Parallel() // it mostly waits
	g := startGuide(t, 300*time.Millisecond)
	proxy := startProxy(t, g.url)
	g.in(t, proxy.url, func(tab context.Context) {
		evaluate[int](tab, t, `begin("q", 1500)`)
		require.NoError(t, await(tab, `messages.length > 2`))
		assert.Equal(t, 1, g.attemptsOf("q"))

		begun := time.Now()
		proxy.dead.Store(true)
		require.NoError(t, await(tab, `states.at(-1) === "waiting"`))
		t.Logf("noticed after %v", time.Since(begun).Round(time.Millisecond))
		assert.Equal(t, "1006 nothing was heard any more", evaluate[string](tab, t, `reasons[0]`))
		require.NoError(t, await(tab, `states.filter((state) => state === "waiting").length > 1`))
		assert.Equal(t, 1, g.attemptsOf("q"), "nothing arrives")
		assert.False(t, evaluate[bool](tab, t, `connection.send("lost")`))

		proxy.dead.Store(false)
		require.NoError(t, await(tab, `states.at(-1) === "open"`))
		assert.True(t, evaluate[bool](tab, t, `connection.send("hello")`))
		require.NoError(t, await(tab, `messages.at(-1) === "hello"`))
	})
}

// A page that the browser has frozen, which ends its connections, is back when it is
// thawed.
func TestPageThatWasFrozen(t *testing.T) {
	t.Parallel() // it mostly waits
	g := startGuide(t, 300*time.Millisecond)
	proxy := startProxy(t, g.url)
	g.in(t, proxy.url, func(tab context.Context) {
		evaluate[int](tab, t, `begin("q", 1500)`)
		require.NoError(t, await(tab, `messages.length > 0`))
		set := func(state page.SetWebLifecycleStateState) {
			_, err := chromedp.Call(tab, page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: state})
			require.NoError(t, err)
		}
		set(page.SetWebLifecycleStateStateFrozen)
		proxy.dead.Store(true)
		time.Sleep(3 * time.Second)
		proxy.dead.Store(false)
		set(page.SetWebLifecycleStateStateActive)
		require.Eventually(t, func() bool { // a page that was frozen draws nothing, for which await waits
			return evaluate[int](tab, t, `states.filter((state) => state === "open").length`) == 2
		}, patience, 50*time.Millisecond)
		assert.Equal(t, 2, g.attemptsOf("q"))
	})
}

// What would come again is for good; all else is tried again.
func TestPageStopsAtCodesThatComeAgain(t *testing.T) {
	t.Parallel() // it mostly waits
	g := startGuide(t, 0)
	final := []int{1000, 1002, 1003, 1007, 1008, 1009, 3000, 3003, 4000, 4999}
	passing := []int{1001, 1005, 1006, 1011, 1012, 1013}
	g.in(t, g.url, func(tab context.Context) {
		for _, code := range slices.Concat(final, passing) {
			evaluate[int](tab, t, fmt.Sprintf(`begin("code=%d", 25000)`, code))
		}
		require.Eventually(t, func() bool {
			return !slices.ContainsFunc(passing, func(code int) bool { return g.attemptsOf(fmt.Sprint("code=", code)) < 3 })
		}, patience, 10*time.Millisecond)
		for _, code := range final {
			assert.Equal(t, 1, g.attemptsOf(fmt.Sprint("code=", code)), "code %d", code)
		}
		assert.Equal(t, len(final), evaluate[int](tab, t, `states.filter((state) => state === "closed").length`))
	})
}

// Each wait is up to twice as long as the one before, at least half of that, and 30
// seconds at most. Here a second of them is a few milliseconds.
func TestPageWaitsLongerEachTime(t *testing.T) {
	t.Parallel() // it mostly waits
	g := startGuide(t, 0)
	g.setAway(true)
	g.in(t, g.url, func(tab context.Context) {
		evaluate[int](tab, t, `(() => {
			window.waits = [];
			const wait = window.setTimeout;
			window.setTimeout = (f, ms) => { waits.push(ms); return wait(f, ms / 300); };
			return begin("q", 25000);
		})()`)
		require.Eventually(t, func() bool { return evaluate[int](tab, t, `waits.length`) >= 12 }, patience, 50*time.Millisecond)
		var waits []float64
		require.NoError(t, json.Unmarshal([]byte(evaluate[string](tab, t, `JSON.stringify(waits)`)), &waits))
		for i, ceiling := range []float64{500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000, 30_000, 30_000} {
			assert.LessOrEqual(t, waits[i], ceiling)
			assert.GreaterOrEqual(t, waits[i], ceiling/2)
		}
		assert.NotEqual(t, waits[9], waits[10], "pages do not come all at once")
	})
}

// A page that waits tries at once when the network is back, when it becomes visible, or when it comes out
// of the browser's cache. A page that was told to close does not try again.
func TestPageTriesAtOnceWhenThereIsReasonTo(t *testing.T) {
	t.Parallel() // it mostly waits
	g := startGuide(t, 0)
	g.setAway(true)
	g.in(t, g.url, func(tab context.Context) {
		evaluate[int](tab, t, `begin("q", 25000)`)
		require.Eventually(t, func() bool { return g.attemptsOf("q") >= 5 }, patience, 10*time.Millisecond)
		attempts := 5 // and now it waits for 8 to 16 seconds, then longer
		for _, event := range []string{
			`dispatchEvent(new Event("online"))`,
			`document.dispatchEvent(new Event("visibilitychange"))`,
			`dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }))`,
		} {
			require.NoError(t, await(tab, `states.at(-1) === "waiting"`))
			evaluate[bool](tab, t, event)
			attempts++
			require.Eventually(t, func() bool { return g.attemptsOf("q") == attempts }, 3*time.Second, 10*time.Millisecond, event)
		}
		require.NoError(t, await(tab, `states.at(-1) === "waiting"`))
		evaluate[bool](tab, t, `Object.defineProperty(document, "hidden", { value: true }), document.dispatchEvent(new Event("visibilitychange"))`)
		time.Sleep(300 * time.Millisecond)
		assert.Equal(t, attempts, g.attemptsOf("q"), "a page that was hidden waits on")

		evaluate[int](tab, t, `connection.close(), 0`)
		assert.Equal(t, "closed", evaluate[string](tab, t, `states.at(-1)`))
		evaluate[bool](tab, t, `dispatchEvent(new Event("online"))`)
		time.Sleep(300 * time.Millisecond)
		assert.Equal(t, attempts, g.attemptsOf("q"))
		assert.Equal(t, 1, evaluate[int](tab, t, `states.filter((state) => state === "closed").length`))
	})
}

// Who closes is told how the closing handshake ended, and nothing is opened again.
func TestPageCloses(t *testing.T) {
	t.Parallel() // it mostly waits
	g := startGuide(t, 0)
	g.in(t, g.url, func(tab context.Context) {
		evaluate[int](tab, t, `begin("q", 25000)`)
		require.NoError(t, await(tab, `states.at(-1) === "open"`))
		evaluate[string](tab, t, `(() => { try { connection.close(1001); } catch (error) { return error.name; } })()`)
		assert.Equal(t, "open", evaluate[string](tab, t, `states.at(-1)`), "browsers may not send 1001")
		evaluate[int](tab, t, `connection.close(3001, "bye"), 0`)
		require.NoError(t, await(tab, `states.at(-1) === "closed"`))
		assert.Equal(t, "3001 ", evaluate[string](tab, t, `reasons.at(-1)`))
		time.Sleep(time.Second)
		assert.Equal(t, 1, g.attemptsOf("q"))
	})
}
