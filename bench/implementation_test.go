package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/bench/internal/serving"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMain makes the test binary a server process where main would.
func TestMain(m *testing.M) {
	if name, mode, ok := serving.Asked(os.Args); ok {
		if err := serverMain(name, mode); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// A process with the race detector waits for a second before it ends.
	if err := os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=10"); err != nil {
		panic(err)
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	folder, err := os.MkdirTemp("", "bench")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(folder) }() // what is left is among temporary files
	programs.folder = folder
	return m.Run()
}

// eachImplementation runs a test on each implementation that has the mode, with a server of its
// own.
func eachImplementation(t *testing.T, m mode, test func(t *testing.T, im implementation, l *load)) {
	for _, im := range implementations {
		t.Run(im.name, func(t *testing.T) {
			if why := im.lacks[m]; why != "" {
				t.Skip(why)
			}
			needProgram(t, &im)
			test(t, im, startLoad(t, im, m))
		})
	}
}

func startLoad(t *testing.T, im implementation, m mode) *load {
	t.Helper()
	// nbio passes connections between goroutines through epoll, which the race detector does not know
	// as synchronization. When gws broadcasts, it reads where the window of a connection is, and does
	// not use it, while that connection may be writing.
	if im.name == "lesismal/nbio" || im.name == "lxzan/gws" && m == broadcastContext {
		t.Setenv("GORACE", os.Getenv("GORACE")+" exitcode=0")
	}
	// The test's context ends before its cleanup, which stops the server.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
	t.Cleanup(cancel)
	s, err := startServer(ctx, &im, m)
	require.NoError(t, err)
	l := &load{im: &im, mode: m, server: s}
	t.Cleanup(func() {
		l.hangUp()
		assert.NoError(t, s.stop())
	})
	return l
}

func connect(t *testing.T, l *load, n, frame int) []*client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // the deadline of the connections
	t.Cleanup(cancel)
	l.hangUp()
	require.NoError(t, l.connect(ctx, n, frame))
	return l.clients
}

func TestEchoesEverySizeOfTextAndBinary(t *testing.T) {
	eachImplementation(t, echo, func(t *testing.T, im implementation, l *load) {
		// No empty messages: lesismal/nbio does not answer them.
		for _, size := range []int{1, 125, 126, 16 << 10, 0xffff, 0x10000, maxMessageSize} {
			for _, op := range []byte{opText, opBinary} {
				m := messages(op, size, im.raw)
				c := connect(t, l, 1, len(m[0].wire))[0]
				for i := range m {
					require.NoError(t, c.exchange(&m[i]), "type %d, %d bytes", op, size)
				}
			}
		}
	})
}

func TestAnswersABurstInOrder(t *testing.T) {
	eachImplementation(t, echo, func(t *testing.T, im implementation, l *load) {
		m := messages(opBinary, 128, im.raw)
		c := connect(t, l, 1, len(m[0].wire))[0]
		var wire []byte
		for i := range burstSize {
			wire = append(wire, m[i%len(m)].wire...)
		}
		half := len(wire)/2 + 7 // in the middle of a frame
		for _, part := range [][]byte{wire[:half], wire[half:]} {
			_, err := c.nc.Write(part)
			require.NoError(t, err)
		}
		for i := range burstSize {
			require.NoError(t, c.expect(&m[i%len(m)]), "reply %d", i)
		}
	})
}

func TestPutsFragmentsTogetherAndAnswersThePingBetween(t *testing.T) {
	eachImplementation(t, echo, func(t *testing.T, im implementation, l *load) {
		if im.raw {
			t.Skip("it knows no frames")
		}
		c := connect(t, l, 1, 0)[0]
		key := [4]byte{1, 2, 3, 4}
		wire := appendFrame(nil, opText, []byte("one, "), key)
		wire = appendFrame(wire, finalBit|opPing, []byte("here?"), key)
		wire = appendFrame(wire, opContinuation, []byte("two, "), key)
		wire = appendFrame(wire, finalBit|opContinuation, []byte("three"), key)
		_, err := c.nc.Write(wire)
		require.NoError(t, err)
		require.NoError(t, c.expect(&message{op: opText, payload: []byte("one, two, three")}))
		require.NoError(t, c.ping())
	})
}

func TestRefusesTextThatIsNotUTF8(t *testing.T) {
	eachImplementation(t, echo, func(t *testing.T, im implementation, l *load) {
		if im.raw {
			t.Skip("it does not look at the bytes")
		}
		c := connect(t, l, 1, 0)[0]
		_, err := c.nc.Write(appendFrame(nil, finalBit|opText, []byte("a\xffb"), [4]byte{1, 2, 3, 4}))
		require.NoError(t, err)
		_, _, err = c.read()
		require.Error(t, err)
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
	})
}

func TestAnswersTheClosingHandshake(t *testing.T) {
	eachImplementation(t, echo, func(t *testing.T, im implementation, l *load) {
		if im.raw {
			t.Skip("it has none")
		}
		require.NoError(t, connect(t, l, 1, 0)[0].closeProperly())
	})
}

func TestAgreesOnCompressionAndUsesIt(t *testing.T) {
	eachImplementation(t, deflate, func(t *testing.T, _ implementation, l *load) {
		m, err := compressedMessages(4 << 10)
		require.NoError(t, err)
		connect(t, l, 4, 0)
		require.NoError(t, l.each(func(_ int, c *client) error {
			for i := range m {
				if err := c.exchange(&m[i]); err != nil {
					return err
				}
				assert.Less(t, c.wireSize, len(m[i].payload)/2)
			}
			return nil
		}))
	})
}

// gws has each mode with a context; coder has the mode with the largest window.
func TestKeepsTheContextOfBothDirections(t *testing.T) {
	for _, m := range []mode{context15, context12, context9} {
		t.Run(string(m), func(t *testing.T) {
			eachImplementation(t, m, func(t *testing.T, _ implementation, l *load) {
				all, err := conversations(200, m, false)
				require.NoError(t, err)
				alone, err := conversations(200, deflate, false)
				require.NoError(t, err)
				connect(t, l, 2, 0)
				require.NoError(t, l.each(func(i int, c *client) error {
					replies, without := 0, 0
					for turn := range 3 * len(all[i].first) / 2 { // more than the largest window
						if err := c.exchange(all[i].message(turn)); err != nil {
							return err
						}
						replies += c.wireSize
						without += len(alone[i].message(turn).wire)
					}
					assert.Less(t, replies, without*9/10)
					return nil
				}))
			})
		})
	}
}

func TestBroadcastsToEveryConnectionInOrder(t *testing.T) {
	for _, m := range []mode{broadcast, broadcastContext} {
		t.Run(string(m), func(t *testing.T) {
			eachImplementation(t, m, func(t *testing.T, _ implementation, l *load) {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				l.members = 20
				chat := newChat(0)
				b, err := l.newBroadcasts(ctx, 4, [][]byte{chat.next(broadcastSize - idSize), chat.next(broadcastSize - idSize)})
				require.NoError(t, err)
				defer b.stop()
				for range 3 {
					deliveries, err := b.repeat(time.Millisecond)
					require.NoError(t, err)
					assert.GreaterOrEqual(t, deliveries, int64(4*20))
				}
			})
		})
	}
}

func TestServerTellsItsUsage(t *testing.T) {
	l := startLoad(t, implementations[0], echo)
	before, err := l.server.usage(serving.AskMemory)
	require.NoError(t, err)
	assert.Positive(t, before.Heap)
	assert.Positive(t, before.Stack)
	assert.Positive(t, before.RSS)
	m := messages(opBinary, maxMessageSize, false)
	require.NoError(t, connect(t, l, 1, 0)[0].exchange(&m[0]))
	after, err := l.server.usage(serving.AskCPU)
	require.NoError(t, err)
	assert.Greater(t, after.CPU, before.CPU)
}

func TestServerThatDoesNotStartIsAnError(t *testing.T) {
	_, err := startServer(t.Context(), &implementation{name: "unknown"}, echo)
	require.ErrorContains(t, err, `no implementation "unknown"`)
}

func TestRawAnswerDropsOnlyTheMaskingKeys(t *testing.T) {
	for _, size := range []int{1, 125, 126, 300, 0x10000} {
		m := messages(opBinary, size, true)
		frame := len(m[0].wire)
		var wire, want []byte
		for i := range 3 {
			wire = append(wire, m[i].wire...)
			unmasked := append([]byte(nil), m[i].wire[:frame-size-maskingKeySize]...)
			unmasked[1] &^= maskBit
			want = append(append(want, unmasked...), m[i].payload...)
		}
		assert.Equal(t, want, rawAnswer(wire, frame, headerSize(frame)), "%d bytes", size)
	}
}

func TestFramesAreMaskedWithTheirLength(t *testing.T) {
	key := [4]byte{0xa, 0xb, 0xc, 0xd}
	assert.Equal(t, []byte{finalBit | opText, maskBit | 2, 0xa, 0xb, 0xc, 0xd, 'h' ^ 0xa, 'i' ^ 0xb},
		appendFrame(nil, finalBit|opText, []byte("hi"), key))
	long := appendFrame(nil, finalBit|opBinary, make([]byte, 126), key)
	assert.Equal(t, []byte{maskBit | 126, 0, 126}, long[1:4])
	longest := appendFrame(nil, finalBit|opBinary, make([]byte, 0x10000), key)
	assert.Equal(t, byte(maskBit|127), longest[1])
	assert.Equal(t, uint64(0x10000), binary.BigEndian.Uint64(longest[2:]))
}

var errStop = errors.New("stop")

func TestParallelWaitsForAllAndReturnsTheFirstError(t *testing.T) {
	done := make([]bool, 8)
	err := parallel(len(done), func(i int) error {
		done[i] = true
		if i == 3 {
			return errStop
		}
		return nil
	})
	require.ErrorIs(t, err, errStop)
	assert.NotContains(t, done, false)
}
