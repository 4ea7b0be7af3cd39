package handshake

import (
	"strconv"
	"strings"
)

const (
	deflateName = "permessage-deflate"

	serverNoTakeover = "server_no_context_takeover"
	clientNoTakeover = "client_no_context_takeover"
	serverWindowBits = "server_max_window_bits"
	clientWindowBits = "client_max_window_bits"

	maxWindowBits = 15
)

// DeflateLimits is what one end wants of permessage-deflate.
type DeflateLimits struct {
	Takeover   bool // messages may be compressed with the context of earlier ones
	WindowBits int  // the greatest size of a window is 1<<WindowBits bytes: 8 to 15
}

// DeflateTerms is what two ends have agreed on for permessage-deflate (RFC 7692, 7.1).
type DeflateTerms struct {
	Server, Client DeflateSide
}

// DeflateSide says how one end compresses what it sends.
type DeflateSide struct {
	Takeover   bool // it may use the context of earlier messages
	WindowBits int  // no copy reaches back more than 1<<WindowBits bytes: 8 to 15
}

// deflateParameters are the parameters of an offer or an answer. Zero stands for a parameter that
// is not there.
type deflateParameters struct {
	serverNoTakeover, clientNoTakeover bool
	serverBits, clientBits             int
	clientBitsAlone                    bool // client_max_window_bits is there without a value
}

// parseDeflate returns the parameters of an element of Sec-WebSocket-Extensions. It reports false
// if that is another extension, or has a parameter that is unknown, there twice, or has a bad value
// (RFC 7692, 7). Names are compared with case: RFC 6455 does not say otherwise, and it is safe to
// decline an offer.
func parseDeflate(e Extension) (p deflateParameters, ok bool) {
	if e.name != deflateName {
		return p, false
	}
	for _, parameter := range e.parameters {
		switch bits := windowBits(parameter.value); {
		case parameter.name == serverNoTakeover && !parameter.valued && !p.serverNoTakeover:
			p.serverNoTakeover = true
		case parameter.name == clientNoTakeover && !parameter.valued && !p.clientNoTakeover:
			p.clientNoTakeover = true
		case parameter.name == serverWindowBits && bits > 0 && p.serverBits == 0:
			p.serverBits = bits
		case parameter.name != clientWindowBits || p.clientBits > 0 || p.clientBitsAlone:
			return p, false
		case !parameter.valued:
			p.clientBitsAlone = true
		case bits > 0:
			p.clientBits = bits
		default:
			return p, false
		}
	}
	return p, true
}

// windowBits returns the number that a value stands for: 8 to 15, without leading zeros (RFC 7692,
// 7.1.2). It returns 0 for any other value.
func windowBits(value string) int {
	switch value {
	case "8", "9", "10", "11", "12", "13", "14", "15":
		bits, _ := strconv.Atoi(value)
		return bits
	default:
		return 0
	}
}

// AcceptDeflate returns the terms of the first offer that a server can honor, and its answer, the
// value of Sec-WebSocket-Extensions. It returns nil if there is no such offer (RFC 7692, 5.1).
//
// The server compresses within its limits, whatever the client offers. It limits the window of
// the client only if the client offers that, as the RFC demands (7.1.2.2). It confirms a smaller
// window that a client announces, and so needs less memory for it.
func AcceptDeflate(offers []Extension, limits DeflateLimits) (terms *DeflateTerms, answer string) {
	for _, offer := range offers {
		if p, ok := parseDeflate(offer); ok {
			return acceptDeflate(p, limits)
		}
	}
	return nil, ""
}

func acceptDeflate(p deflateParameters, limits DeflateLimits) (terms *DeflateTerms, answer string) {
	terms = &DeflateTerms{
		Server: DeflateSide{Takeover: limits.Takeover && !p.serverNoTakeover, WindowBits: limits.WindowBits},
		Client: DeflateSide{Takeover: limits.Takeover && !p.clientNoTakeover, WindowBits: maxWindowBits},
	}
	b := newDeflateHeader(!terms.Server.Takeover, !terms.Client.Takeover)
	if p.serverBits > 0 {
		terms.Server.WindowBits = min(p.serverBits, limits.WindowBits)
		b.window(serverWindowBits, terms.Server.WindowBits)
	}
	if p.clientBitsAlone {
		p.clientBits = maxWindowBits
	}
	if p.clientBits > 0 {
		terms.Client.WindowBits = min(p.clientBits, limits.WindowBits)
		if limits.WindowBits < maxWindowBits || terms.Client.WindowBits < maxWindowBits && terms.Client.Takeover {
			b.window(clientWindowBits, terms.Client.WindowBits)
		}
	}
	return terms, b.String()
}

// OfferDeflate returns what a client offers, the value of Sec-WebSocket-Extensions. Its limits hold
// for the server, too.
func OfferDeflate(limits DeflateLimits) string {
	b := newDeflateHeader(!limits.Takeover, !limits.Takeover)
	if limits.WindowBits < maxWindowBits {
		b.window(serverWindowBits, limits.WindowBits)
		b.window(clientWindowBits, limits.WindowBits)
	} else { // the server may ask for a smaller window
		b.WriteString("; " + clientWindowBits)
	}
	return b.String()
}

// agreeDeflate returns the terms that a server has chosen, and reports whether it may choose
// them after OfferDeflate (RFC 7692, 7.1).
func agreeDeflate(chosen []Extension, limits DeflateLimits) (terms DeflateTerms, ok bool) {
	if len(chosen) != 1 {
		return terms, false
	}
	p, ok := parseDeflate(chosen[0])
	limited := limits.WindowBits < maxWindowBits
	switch {
	case !ok, p.clientBitsAlone:
		return terms, false
	case !limits.Takeover && !p.serverNoTakeover: // it was asked for
		return terms, false
	case limited && (p.serverBits == 0 || p.serverBits > limits.WindowBits): // likewise
		return terms, false
	}
	terms.Server = DeflateSide{Takeover: !p.serverNoTakeover, WindowBits: maxWindowBits}
	if p.serverBits > 0 { // even if it was not asked for (7.1.2.1)
		terms.Server.WindowBits = p.serverBits
	}
	terms.Client = DeflateSide{Takeover: limits.Takeover && !p.clientNoTakeover, WindowBits: limits.WindowBits}
	if p.clientBits > 0 { // a greater one than was offered allows what was offered
		terms.Client.WindowBits = min(p.clientBits, limits.WindowBits)
	}
	return terms, true
}

// A deflateHeader is an offer or an answer that is being made.
type deflateHeader struct{ strings.Builder }

func newDeflateHeader(noServerTakeover, noClientTakeover bool) *deflateHeader {
	b := new(deflateHeader)
	b.Grow(len(deflateName) + 2*len("; "+serverNoTakeover))
	b.WriteString(deflateName)
	if noServerTakeover {
		b.WriteString("; " + serverNoTakeover)
	}
	if noClientTakeover {
		b.WriteString("; " + clientNoTakeover)
	}
	return b
}

// window adds a parameter with the size of a window.
func (b *deflateHeader) window(name string, bits int) {
	b.WriteString("; " + name + "=" + strconv.Itoa(bits))
}
