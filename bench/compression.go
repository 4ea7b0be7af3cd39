package main

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	smallflate "github.com/klauspost/compress/flate" // it has windows of any size
)

// maxWindowBits is the size of the largest window, and of a window whose size was not agreed on.
const maxWindowBits = 15

// offer returns the extensions that the load offers in a mode: what browsers offer, and the sizes of
// windows that are smaller. It is empty without compression.
func offer(m mode) string {
	const browsers = "permessage-deflate; client_max_window_bits"
	switch bits := m.WindowBits(); {
	case !m.Compresses():
		return ""
	case bits == 0 || bits == maxWindowBits:
		return browsers
	default:
		return fmt.Sprintf("%s=%d; server_max_window_bits=%[2]d", browsers, bits)
	}
}

// checkExtensions checks what a server answers to the offer. Without context takeover, the server
// must do without as well; the load does in any case. With it, neither side may do without.
func checkExtensions(m mode, answer string) error {
	if !m.Compresses() {
		if answer != "" {
			return fmt.Errorf("upgrade: extension %q was not offered", answer)
		}
		return nil
	}
	name, rest, _ := strings.Cut(answer, ";")
	if strings.TrimSpace(name) != "permessage-deflate" {
		return fmt.Errorf("upgrade: no permessage-deflate but %q", answer)
	}
	parameters := make(map[string]string)
	for parameter := range strings.SplitSeq(rest, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		parameters[key] = value
	}
	_, serverForgets := parameters["server_no_context_takeover"]
	_, clientForgets := parameters["client_no_context_takeover"]
	bits := m.WindowBits()
	switch {
	case bits == 0 && !serverForgets:
		return fmt.Errorf("upgrade: the server keeps its context: %q", answer)
	case bits == 0:
		return nil
	case serverForgets || clientForgets:
		return fmt.Errorf("upgrade: there is no context takeover: %q", answer)
	case windowBits(parameters["server_max_window_bits"]) != bits:
		return fmt.Errorf("upgrade: the server's window is not of %d bits: %q", bits, answer)
	case windowBits(parameters["client_max_window_bits"]) < bits:
		return fmt.Errorf("upgrade: the client's window must be smaller than %d bits: %q", bits, answer)
	}
	return nil
}

// windowBits returns the value of a parameter, the default for "", and 0 for what is no number.
func windowBits(value string) int {
	if value == "" {
		return maxWindowBits
	}
	bits, err := strconv.Atoi(value)
	if err != nil {
		return 0
	}
	return bits
}

// A deflater compresses messages for the load, one after the other.
type deflater struct {
	w interface {
		io.Writer
		Flush() error
		Reset(w io.Writer)
	}
	out bytes.Buffer
}

// newDeflater returns a deflater whose window has so many bits. For the largest window it uses
// compress/flate, which compresses as the zlib of browsers does, and for smaller ones klauspost/compress.
func newDeflater(bits int) (*deflater, error) {
	d := new(deflater)
	var err error
	if bits == maxWindowBits {
		d.w, err = flate.NewWriter(&d.out, flate.DefaultCompression)
	} else {
		d.w, err = smallflate.NewWriterWindow(&d.out, 1<<bits)
	}
	return d, err
}

// deflate returns the payload of a compressed message, without the empty block at its end (RFC
// 7692, 7.2.1). It refers to the messages before, as far as the window reaches.
func (d *deflater) deflate(payload []byte) ([]byte, error) {
	d.out.Reset()
	if _, err := d.w.Write(payload); err != nil {
		return nil, err
	}
	if err := d.w.Flush(); err != nil {
		return nil, err
	}
	return bytes.Clone(bytes.TrimSuffix(d.out.Bytes(), []byte("\x00\x00\xff\xff"))), nil
}

// forget makes the next message the first one.
func (d *deflater) forget() { d.w.Reset(&d.out) }

// deflated returns the payload of a compressed message on its own.
func deflated(payload []byte) ([]byte, error) {
	d, err := newDeflater(maxWindowBits)
	if err != nil {
		return nil, err
	}
	return d.deflate(payload)
}

type inflater interface {
	io.Reader
	flate.Resetter
}

var inflaters = sync.Pool{New: func() any { return flate.NewReader(bytes.NewReader(nil)) }}

// inflate decompresses a message and appends it to b. The window is the part of what the server sent
// before that the message may refer to. A reference to anything else is an error.
func inflate(b, payload, window []byte) ([]byte, error) {
	// The empty block is what the sender removed (RFC 7692, 7.2.2). A final one follows, without
	// which the reader would not return io.EOF.
	r := io.MultiReader(bytes.NewReader(payload), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff"))
	f := inflaters.Get().(inflater) //nolint:errcheck // the documentation of NewReader promises the type
	defer inflaters.Put(f)
	if err := f.Reset(r, window); err != nil {
		return nil, err
	}
	out := bytes.NewBuffer(b)
	_, err := out.ReadFrom(f)
	return out.Bytes(), err
}
