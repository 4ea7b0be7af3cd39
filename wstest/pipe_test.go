package wstest_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goyave-contrib/websocket/wstest"
)

// bubble runs test with a new pipe in a synctest bubble, which fails if a goroutine is left.
func bubble(t *testing.T, test func(t *testing.T, client, server net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		client, server := wstest.Pipe()
		test(t, client, server)
		_ = client.Close()
		_ = server.Close()
	})
}

// result is the result of a Read or Write and its time.
type result struct {
	n   int
	err error
	at  time.Duration
}

// async starts call in a goroutine, waits until it is blocked, and returns a channel for its
// result.
func async(t *testing.T, call func([]byte) (int, error), p []byte) <-chan result {
	t.Helper()
	start := time.Now()
	results := make(chan result, 1)
	go func() {
		n, err := call(p)
		results <- result{n: n, err: err, at: time.Since(start)}
	}()
	synctest.Wait()
	require.Empty(t, results, "the call did not block")
	return results
}

func fill(t *testing.T, conn net.Conn) {
	t.Helper()
	n, err := conn.Write(make([]byte, wstest.PipeBuffer))
	require.NoError(t, err)
	require.Equal(t, wstest.PipeBuffer, n)
}

func closeWrite(t *testing.T, conn net.Conn) error {
	t.Helper()
	closer, ok := conn.(interface{ CloseWrite() error })
	require.True(t, ok)
	return closer.CloseWrite()
}

func requireTimeout(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	var netErr net.Error
	require.ErrorAs(t, err, &netErr)
	require.True(t, netErr.Timeout())
}

func TestPipeCarriesBothDirections(t *testing.T) {
	bubble(t, func(t *testing.T, client, server net.Conn) {
		_, err := io.WriteString(client, "ping")
		require.NoError(t, err)
		_, err = io.WriteString(server, "pong")
		require.NoError(t, err)

		p := make([]byte, 2)
		for _, want := range []string{"pi", "ng"} {
			n, err := server.Read(p)
			require.NoError(t, err)
			require.Equal(t, want, string(p[:n]))
		}
		n, err := client.Read(make([]byte, 10))
		require.NoError(t, err)
		require.Equal(t, 4, n)

		n, err = client.Read(nil)
		require.NoError(t, err, "nothing to wait for")
		require.Zero(t, n)
	})
}

func TestPipeAddresses(t *testing.T) {
	client, server := wstest.Pipe()
	assert.Equal(t, "mem", client.LocalAddr().Network())
	assert.Equal(t, client.LocalAddr(), server.RemoteAddr())
	assert.Equal(t, client.RemoteAddr(), server.LocalAddr())
	assert.NotEqual(t, client.LocalAddr(), server.LocalAddr())
	for _, conn := range []net.Conn{client, server} {
		host, port, err := net.SplitHostPort(conn.RemoteAddr().String())
		require.NoError(t, err)
		assert.NotNil(t, net.ParseIP(host))
		assert.NotEmpty(t, port)
	}
}

func TestPipeReadWaitsForWrite(t *testing.T) {
	bubble(t, func(t *testing.T, client, server net.Conn) {
		read := async(t, server.Read, make([]byte, 8))
		time.Sleep(3 * time.Second)
		_, err := client.Write([]byte("late"))
		require.NoError(t, err)
		require.Equal(t, result{n: 4, at: 3 * time.Second}, <-read)
	})
}

func TestPipeWriteWaitsForRoom(t *testing.T) {
	bubble(t, func(t *testing.T, client, server net.Conn) {
		fill(t, client)
		write := async(t, client.Write, make([]byte, 10))

		time.Sleep(time.Second)
		_, err := io.ReadFull(server, make([]byte, 9))
		require.NoError(t, err)
		synctest.Wait()
		require.Empty(t, write, "one byte has no room yet")

		time.Sleep(4 * time.Second)
		_, err = io.ReadFull(server, make([]byte, 1))
		require.NoError(t, err)
		require.Equal(t, result{n: 10, at: 5 * time.Second}, <-write)
	})
}

func TestPipeDirectionsDoNotWaitForEachOther(t *testing.T) {
	bubble(t, func(t *testing.T, client, server net.Conn) {
		fill(t, client)
		write := async(t, client.Write, []byte("x"))
		_, err := io.WriteString(server, "back")
		require.NoError(t, err)
		_, err = io.ReadFull(client, make([]byte, 4))
		require.NoError(t, err)
		require.Empty(t, write)
		require.NoError(t, server.Close())
		require.ErrorIs(t, (<-write).err, errPipe)
	})
}

func TestPipeWritesAreNotInterleaved(t *testing.T) {
	bubble(t, func(t *testing.T, client, server net.Conn) {
		const writers, size = 5, 3*wstest.PipeBuffer + 7
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				n, err := client.Write(bytes.Repeat([]byte{byte('a' + i)}, size))
				assert.Equal(t, result{n: size}, result{n: n, err: err})
			})
		}
		seen := map[byte]bool{}
		p := make([]byte, size)
		for range writers {
			_, err := io.ReadFull(server, p)
			require.NoError(t, err)
			require.Equal(t, size, bytes.Count(p, p[:1]), "one write's bytes follow each other")
			seen[p[0]] = true
		}
		require.Len(t, seen, writers)
		wg.Wait()
	})
}

func TestPipeReadersShareTheBytes(t *testing.T) {
	bubble(t, func(t *testing.T, client, server net.Conn) {
		const readers, size = 4, 5 * wstest.PipeBuffer
		counts := make([]int, readers)
		var wg sync.WaitGroup
		for i := range readers {
			wg.Go(func() {
				got, err := io.ReadAll(server)
				counts[i] = len(got)
				assert.NoError(t, err)
			})
		}
		_, err := client.Write(make([]byte, size))
		require.NoError(t, err)
		require.NoError(t, client.Close())
		wg.Wait()
		total := 0
		for _, n := range counts {
			total += n
		}
		require.Equal(t, size, total)
	})
}

// deadlineCases are calls that wait: a read without data and a write without room.
var deadlineCases = []struct {
	name    string
	prepare func(t *testing.T, conn net.Conn)
	call    func(conn net.Conn) func([]byte) (int, error)
	set     func(conn net.Conn, at time.Time) error
	release func(t *testing.T, peer net.Conn)
}{
	{
		name:    "read",
		prepare: func(*testing.T, net.Conn) {},
		call:    func(conn net.Conn) func([]byte) (int, error) { return conn.Read },
		set:     net.Conn.SetReadDeadline,
		release: func(t *testing.T, peer net.Conn) {
			t.Helper()
			_, err := peer.Write([]byte("x"))
			require.NoError(t, err)
		},
	},
	{
		name:    "write",
		prepare: fill,
		call:    func(conn net.Conn) func([]byte) (int, error) { return conn.Write },
		set:     net.Conn.SetWriteDeadline,
		release: func(t *testing.T, peer net.Conn) {
			t.Helper()
			_, err := peer.Read(make([]byte, 1))
			require.NoError(t, err)
		},
	},
}

func TestPipeDeadlines(t *testing.T) {
	for _, tc := range deadlineCases {
		waiting := func(name string, test func(t *testing.T, conn, peer net.Conn)) {
			t.Run(tc.name+": "+name, func(t *testing.T) {
				bubble(t, func(t *testing.T, client, server net.Conn) {
					tc.prepare(t, client)
					test(t, client, server)
				})
			})
		}

		waiting("passes while the call waits", func(t *testing.T, conn, _ net.Conn) {
			require.NoError(t, tc.set(conn, time.Now().Add(10*time.Second)))
			res := <-async(t, tc.call(conn), make([]byte, 1))
			requireTimeout(t, res.err)
			require.Zero(t, res.n)
			require.Equal(t, 10*time.Second, res.at)
		})
		waiting("is set while the call waits", func(t *testing.T, conn, _ net.Conn) {
			results := async(t, tc.call(conn), make([]byte, 1))
			time.Sleep(time.Second)
			require.NoError(t, tc.set(conn, time.Now().Add(2*time.Second)))
			res := <-results
			requireTimeout(t, res.err)
			require.Equal(t, 3*time.Second, res.at)
		})
		waiting("is extended while the call waits", func(t *testing.T, conn, _ net.Conn) {
			require.NoError(t, tc.set(conn, time.Now().Add(2*time.Second)))
			results := async(t, tc.call(conn), make([]byte, 1))
			time.Sleep(time.Second)
			require.NoError(t, tc.set(conn, time.Now().Add(time.Minute)))
			res := <-results
			requireTimeout(t, res.err)
			require.Equal(t, 61*time.Second, res.at)
		})
		waiting("is shortened while the call waits", func(t *testing.T, conn, _ net.Conn) {
			require.NoError(t, tc.set(conn, time.Now().Add(time.Hour)))
			results := async(t, tc.call(conn), make([]byte, 1))
			require.NoError(t, tc.set(conn, time.Now().Add(time.Millisecond)))
			res := <-results
			requireTimeout(t, res.err)
			require.Equal(t, time.Millisecond, res.at)
		})
		waiting("is removed while the call waits", func(t *testing.T, conn, peer net.Conn) {
			require.NoError(t, tc.set(conn, time.Now().Add(time.Second)))
			results := async(t, tc.call(conn), make([]byte, 1))
			require.NoError(t, tc.set(conn, time.Time{}))
			time.Sleep(time.Hour)
			require.Empty(t, results)
			tc.release(t, peer)
			require.Equal(t, result{n: 1, at: time.Hour}, <-results)
		})
		waiting("in the past releases the call at once", func(t *testing.T, conn, _ net.Conn) {
			results := async(t, tc.call(conn), make([]byte, 1))
			require.NoError(t, conn.SetDeadline(time.Unix(1, 0)))
			res := <-results
			requireTimeout(t, res.err)
			require.Zero(t, res.at)
		})
		waiting("is over once set anew", func(t *testing.T, conn, peer net.Conn) {
			require.NoError(t, tc.set(conn, time.Unix(1, 0)))
			_, err := tc.call(conn)(make([]byte, 1))
			requireTimeout(t, err)
			require.NoError(t, tc.set(conn, time.Now().Add(time.Second)))
			tc.release(t, peer)
			n, err := tc.call(conn)(make([]byte, 1))
			require.NoError(t, err)
			require.Equal(t, 1, n)
		})
		waiting("holds for every waiting call", func(t *testing.T, conn, _ net.Conn) {
			first := async(t, tc.call(conn), make([]byte, 1))
			second := async(t, tc.call(conn), make([]byte, 1))
			require.NoError(t, tc.set(conn, time.Now().Add(time.Second)))
			requireTimeout(t, (<-first).err)
			requireTimeout(t, (<-second).err)
		})
	}
}

func TestPipePastDeadlineFailsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, client, server net.Conn) {
		_, err := io.WriteString(server, "there are bytes")
		require.NoError(t, err)
		require.NoError(t, client.SetDeadline(time.Now()))
		n, err := client.Read(make([]byte, 1))
		requireTimeout(t, err)
		require.Zero(t, n)
		n, err = client.Write([]byte("there is room"))
		requireTimeout(t, err)
		require.Zero(t, n)

		require.NoError(t, client.SetDeadline(time.Time{}))
		n, err = client.Read(make([]byte, 5))
		require.NoError(t, err)
		require.Equal(t, 5, n)
	})
}

func TestPipeDeadlinesAreOfOneDirection(t *testing.T) {
	bubble(t, func(t *testing.T, client, server net.Conn) {
		require.NoError(t, client.SetReadDeadline(time.Unix(1, 0)))
		_, err := io.WriteString(client, "still writes")
		require.NoError(t, err)
		require.NoError(t, client.SetReadDeadline(time.Time{}))
		require.NoError(t, client.SetWriteDeadline(time.Unix(1, 0)))
		_, err = io.WriteString(server, "x")
		require.NoError(t, err)
		_, err = client.Read(make([]byte, 1))
		require.NoError(t, err)
	})
}

func TestPipeTimedOutWriteTellsWhatWasBuffered(t *testing.T) {
	bubble(t, func(t *testing.T, client, server net.Conn) {
		require.NoError(t, client.SetWriteDeadline(time.Now().Add(time.Second)))
		n, err := client.Write(make([]byte, wstest.PipeBuffer+1))
		requireTimeout(t, err)
		require.Equal(t, wstest.PipeBuffer, n)
		require.NoError(t, client.Close())
		got, err := io.ReadAll(server)
		require.NoError(t, err)
		require.Len(t, got, n)
	})
}

func TestPipeHalfClose(t *testing.T) {
	bubble(t, func(t *testing.T, client, server net.Conn) {
		_, err := io.WriteString(client, "request")
		require.NoError(t, err)
		require.NoError(t, closeWrite(t, client))
		require.NoError(t, closeWrite(t, client), "a second call does nothing")
		_, err = client.Write([]byte("x"))
		require.ErrorIs(t, err, errPipe)

		got, err := io.ReadAll(server)
		require.NoError(t, err)
		require.Equal(t, "request", string(got))
		_, err = server.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err, "bare and again")

		_, err = io.WriteString(server, "response")
		require.NoError(t, err)
		require.NoError(t, server.Close())
		got, err = io.ReadAll(client)
		require.NoError(t, err)
		require.Equal(t, "response", string(got))

		require.NoError(t, client.Close())
		require.ErrorIs(t, closeWrite(t, client), net.ErrClosed)
	})
}

func TestPipeHalfCloseReleases(t *testing.T) {
	bubble(t, func(t *testing.T, client, server net.Conn) {
		read := async(t, server.Read, make([]byte, 1))
		require.NoError(t, closeWrite(t, client))
		require.Equal(t, io.EOF, (<-read).err)

		fill(t, server)
		write := async(t, server.Write, make([]byte, 1))
		require.NoError(t, closeWrite(t, server))
		require.ErrorIs(t, (<-write).err, errPipe)
	})
}

func TestPipeClose(t *testing.T) {
	bubble(t, func(t *testing.T, client, server net.Conn) {
		_, err := io.WriteString(client, "last words")
		require.NoError(t, err)
		_, err = io.WriteString(server, "never read")
		require.NoError(t, err)
		require.NoError(t, client.Close())

		_, err = client.Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = client.Read(nil)
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = client.Write([]byte("x"))
		require.ErrorIs(t, err, net.ErrClosed)
		require.ErrorIs(t, client.SetDeadline(time.Time{}), net.ErrClosed)
		require.ErrorIs(t, client.SetReadDeadline(time.Time{}), net.ErrClosed)
		require.ErrorIs(t, client.SetWriteDeadline(time.Time{}), net.ErrClosed)
		err = client.Close()
		require.ErrorIs(t, err, net.ErrClosed, "a second Close")
		var opErr *net.OpError
		require.ErrorAs(t, err, &opErr)
		require.Equal(t, "close mem 127.0.0.1:1->127.0.0.1:80: use of closed network connection", opErr.Error())

		got, err := io.ReadAll(server)
		require.NoError(t, err)
		require.Equal(t, "last words", string(got))
		_, err = server.Write([]byte("x"))
		require.ErrorIs(t, err, errPipe)
		require.NoError(t, server.Close())
	})
}

func TestPipeCloseReleasesBothEnds(t *testing.T) {
	bubble(t, func(t *testing.T, client, server net.Conn) {
		fill(t, client)
		fill(t, server)
		own := async(t, client.Write, make([]byte, 1))
		ownTurn := async(t, client.Write, make([]byte, 1)) // waits for the previous write
		peers := async(t, server.Write, make([]byte, 1))
		time.Sleep(time.Second)
		require.NoError(t, client.Close())

		for _, results := range []<-chan result{own, ownTurn} {
			res := <-results
			require.ErrorIs(t, res.err, net.ErrClosed)
			require.Equal(t, time.Second, res.at)
		}
		require.ErrorIs(t, (<-peers).err, errPipe)
	})
	bubble(t, func(t *testing.T, client, server net.Conn) {
		own := async(t, client.Read, make([]byte, 1))
		peers := async(t, server.Read, make([]byte, 1))
		require.NoError(t, client.Close())
		require.ErrorIs(t, (<-own).err, net.ErrClosed)
		require.Equal(t, io.EOF, (<-peers).err)
	})
}

func TestPipeOneOfManyClosesSucceeds(t *testing.T) {
	bubble(t, func(t *testing.T, client, _ net.Conn) {
		errs := make(chan error, 10)
		for range cap(errs) {
			go func() { errs <- client.Close() }()
		}
		succeeded := 0
		for range cap(errs) {
			if err := <-errs; err == nil {
				succeeded++
			} else {
				require.ErrorIs(t, err, net.ErrClosed)
			}
		}
		require.Equal(t, 1, succeeded)
	})
}

func TestReset(t *testing.T) {
	bubble(t, func(t *testing.T, client, server net.Conn) {
		_, err := io.WriteString(client, "lost")
		require.NoError(t, err)
		wstest.Reset(client)

		for range 2 {
			_, err = server.Read(make([]byte, 1))
			require.ErrorIs(t, err, errReset)
			_, err = server.Write([]byte("x"))
			require.ErrorIs(t, err, errReset)
		}
		_, err = client.Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = client.Write([]byte("x"))
		require.ErrorIs(t, err, net.ErrClosed)
		require.ErrorIs(t, client.Close(), net.ErrClosed)
		require.NoError(t, server.Close())
		wstest.Reset(client)
	})
}

func TestResetReleasesBothEnds(t *testing.T) {
	bubble(t, func(t *testing.T, client, server net.Conn) {
		fill(t, server)
		read := async(t, server.Read, make([]byte, 1))
		write := async(t, server.Write, make([]byte, 1))
		wstest.Reset(client)
		require.ErrorIs(t, (<-read).err, errReset)
		require.ErrorIs(t, (<-write).err, errReset)
	})
	bubble(t, func(t *testing.T, client, _ net.Conn) {
		fill(t, client)
		read := async(t, client.Read, make([]byte, 1))
		write := async(t, client.Write, make([]byte, 1))
		wstest.Reset(client)
		require.ErrorIs(t, (<-read).err, net.ErrClosed)
		require.ErrorIs(t, (<-write).err, net.ErrClosed)
	})
}

func TestResetAfterClose(t *testing.T) {
	bubble(t, func(t *testing.T, client, server net.Conn) {
		_, err := io.WriteString(client, "lost")
		require.NoError(t, err)
		require.NoError(t, client.Close())
		wstest.Reset(client)
		_, err = server.Read(make([]byte, 1))
		require.ErrorIs(t, err, errReset)
	})
}

func TestResetOfAnotherConnPanics(t *testing.T) {
	other, peer := net.Pipe()
	defer func() { _ = other.Close(); _ = peer.Close() }()
	require.PanicsWithValue(t, "wstest: Reset: *net.pipe is not an end of a Pipe", func() { wstest.Reset(other) })
}

// All methods are called concurrently, for the race detector, outside a bubble.
func TestPipeUnderLoad(t *testing.T) {
	client, server := wstest.Pipe()
	const total = 4 << 20
	var wg sync.WaitGroup
	for _, ends := range [][2]net.Conn{{client, server}, {server, client}} {
		wg.Go(func() {
			p := make([]byte, 100_003)
			for sent := 0; sent < total; {
				size := min(len(p), total-sent)
				n, err := ends[0].Write(p[:size])
				if !assert.Equal(t, result{n: size}, result{n: n, err: err}) {
					return
				}
				sent += n
			}
			assert.NoError(t, closeWrite(t, ends[0]))
		})
		wg.Go(func() {
			got, err := io.ReadAll(ends[1])
			assert.Equal(t, result{n: total}, result{n: len(got), err: err})
		})
		wg.Go(func() {
			for range 1000 {
				assert.NoError(t, ends[0].SetDeadline(time.Now().Add(time.Hour)))
				assert.NoError(t, ends[0].SetDeadline(time.Time{}))
			}
		})
	}
	wg.Wait()
	require.NoError(t, client.Close())
	require.NoError(t, server.Close())
}
