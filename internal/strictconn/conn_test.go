package strictconn

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// testPanic is an error of a panic, as the layer above would make it.
type testPanic struct{ value any }

func (p testPanic) Error() string { return fmt.Sprint("panic: ", p.value) }

var testPanics = &Panics{
	New: func(value any) error { return testPanic{value} },
	Is:  func(err error) bool { return errors.As(err, new(testPanic)) },
}

// scripted is a net.Conn that does what a test says.
type scripted struct {
	net.Conn
	read, write func(p []byte) (int, error)
}

func (c *scripted) Read(p []byte) (int, error)     { return c.read(p) }
func (c *scripted) Write(p []byte) (int, error)    { return c.write(p) }
func (*scripted) SetReadDeadline(time.Time) error  { return nil }
func (*scripted) SetWriteDeadline(time.Time) error { return nil }
func returns(n int, err error) func([]byte) (int, error) {
	return func([]byte) (int, error) { return n, err }
}

var errNetwork = errors.New("of the network")

func TestReads(t *testing.T) {
	for _, tt := range []struct {
		name string
		read func(p []byte) (int, error)
		n    int
		want error
	}{
		{name: "bytes", read: returns(3, nil), n: 3},
		{name: "bytes with an error, which comes again", read: returns(3, errNetwork), n: 3},
		{name: "an error", read: returns(0, errNetwork), want: errNetwork},
		{name: "the end", read: returns(0, io.EOF), want: io.EOF},
		{name: "nothing for ever", read: returns(0, nil), want: io.ErrNoProgress},
		{name: "more than there is room for", read: returns(5, nil), want: errCount},
		{name: "less than nothing", read: returns(-1, errNetwork), want: errCount},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, err := Wrap(&scripted{read: tt.read}, testPanics).Read(make([]byte, 4))
			assert.Equal(t, tt.n, n)
			assert.Equal(t, tt.want, err)
		})
	}
}

func TestWrites(t *testing.T) {
	for _, tt := range []struct {
		name  string
		write func(p []byte) (int, error)
		n     int
		want  error
	}{
		{name: "all", write: returns(4, nil), n: 4},
		{name: "an error", write: returns(1, errNetwork), n: 1, want: errNetwork},
		{name: "a part", write: returns(3, nil), n: 3, want: io.ErrShortWrite},
		{name: "nothing", write: returns(0, nil), want: io.ErrShortWrite},
		{name: "more than there was", write: returns(5, nil), want: errCount},
		{name: "less than nothing", write: returns(-1, nil), want: errCount},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, err := Wrap(&scripted{write: tt.write}, testPanics).Write(make([]byte, 4))
			assert.Equal(t, tt.n, n)
			assert.Equal(t, tt.want, err)
		})
	}
}

// A Read that returns nothing is not at the end of the stream, and is repeated a bounded number of
// times.
func TestReadsTryAgain(t *testing.T) {
	empty, tries := maxEmptyReads-1, 0
	g := Wrap(&scripted{read: func(p []byte) (int, error) {
		if tries++; tries <= empty {
			return 0, nil
		}
		return copy(p, "x"), nil
	}}, testPanics)
	n, err := g.Read(make([]byte, 1))
	require.NoError(t, err)
	assert.Equal(t, 1, n)

	empty, tries = maxEmptyReads, 0
	_, err = g.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.ErrNoProgress)
	assert.Equal(t, maxEmptyReads, tries)

	tries = 0
	_, err = g.Read(nil)
	require.NoError(t, err, "nothing was asked for")
	assert.Equal(t, 1, tries)
}

// netTimeout is how some networks report a deadline, and that they gave the peer up.
type netTimeout struct{}

func (netTimeout) Error() string   { return "i/o deadline reached" }
func (netTimeout) Timeout() bool   { return true }
func (netTimeout) Temporary() bool { return false }

// A timeout is an expired deadline from the instant of the deadline on, and not before.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := Wrap(&scripted{read: returns(0, netTimeout{}), write: returns(0, netTimeout{})}, testPanics)
		for _, side := range []struct {
			set      func(time.Time) error
			setOther func(time.Time) error
			do       func([]byte) (int, error)
		}{
			{set: g.SetReadDeadline, setOther: g.SetWriteDeadline, do: g.Read},
			{set: g.SetWriteDeadline, setOther: g.SetReadDeadline, do: g.Write},
		} {
			isDeadline := func() bool {
				_, err := side.do(make([]byte, 1))
				require.ErrorIs(t, err, netTimeout{})
				var timeout net.Error
				require.ErrorAs(t, err, &timeout)
				require.True(t, timeout.Timeout())
				return errors.Is(err, os.ErrDeadlineExceeded)
			}
			assert.False(t, isDeadline(), "there is none")
			require.NoError(t, side.setOther(longAgo))
			assert.False(t, isDeadline(), "it is the other's")
			require.NoError(t, side.set(time.Now().Add(time.Second)))
			assert.False(t, isDeadline(), "it has not passed")
			time.Sleep(time.Second - 2*time.Nanosecond)
			assert.False(t, isDeadline(), "it has not passed")
			time.Sleep(2 * time.Nanosecond)
			assert.True(t, isDeadline())
			require.NoError(t, side.set(time.Time{}))
			assert.False(t, isDeadline(), "it was taken back")
			require.NoError(t, side.set(longAgo))
			assert.True(t, isDeadline())
			require.NoError(t, g.SetDeadline(time.Time{}))
			assert.False(t, isDeadline(), "it was taken back")
		}
	})
}

func TestSocketsAreTrusted(t *testing.T) {
	for _, nc := range []net.Conn{&net.TCPConn{}, &net.UnixConn{}} {
		assert.Equal(t, nc, Wrap(nc, testPanics), "a plain socket keeps the contract, and is faster as it is")
	}
	nc := &scripted{}
	assert.Same(t, nc, Unwrap(Wrap(nc, testPanics)))
}

// brokenAddr panics when it is asked for its name.
type brokenAddr struct{ name *string }

func (*brokenAddr) Network() string  { return "broken" }
func (a *brokenAddr) String() string { return *a.name }

type addressed struct {
	net.Conn
	addr net.Addr
}

func (c *addressed) LocalAddr() net.Addr  { return c.addr }
func (c *addressed) RemoteAddr() net.Addr { return c.addr }

func TestAddressesAreKnown(t *testing.T) {
	name := "here"
	for _, tt := range []struct {
		name string
		nc   net.Conn
		want net.Addr
	}{
		{name: "an address", nc: &addressed{addr: &brokenAddr{&name}}, want: &brokenAddr{&name}},
		{name: "none", nc: &addressed{}, want: unknownAddr{}},
		{name: "a nil pointer", nc: &addressed{addr: (*brokenAddr)(nil)}, want: unknownAddr{}},
		{name: "one that panics", nc: &addressed{addr: &brokenAddr{}}, want: unknownAddr{}},
		{name: "a panic", nc: &scripted{}, want: unknownAddr{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := Wrap(tt.nc, testPanics)
			assert.Equal(t, tt.want, g.LocalAddr())
			assert.Equal(t, tt.want, g.RemoteAddr())
		})
	}
}

// The addresses stay those from the beginning of the connection: one of gVisor's has none after a
// reset.
func TestAddressesStay(t *testing.T) {
	nc := &addressed{addr: &net.TCPAddr{Port: 1}}
	g := Wrap(nc, testPanics)
	nc.addr = nil
	assert.Equal(t, ":1", g.RemoteAddr().String())
}
