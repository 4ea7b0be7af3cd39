package handshake

import (
	"slices"
)

// DeflateTerms is gorilla's answer to an offer of permessage-deflate (RFC 7692, 7.1),
// and what a client of ours offers: each message is compressed by itself, which is all
// that gorilla knows.
const DeflateTerms = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// LargestWindow is added to the answer where the client asked for it: it is the window
// that we have (RFC 7692, 7.1.2.1).
const LargestWindow = "; server_max_window_bits=15"

// OffersDeflate reports whether the client offers permessage-deflate in a way that
// DeflateTerms fits (RFC 7692, 7), and whether LargestWindow has to be added.
func OffersDeflate(offers []extension) (offered, window bool) {
	for _, offer := range offers {
		if honored, window := canHonor(offer); honored {
			return true, window
		}
	}
	return false, false
}

// canHonor reports whether an offer can be accepted, and whether it asks for the
// largest window. One with a parameter that is unknown, repeated or of a bad value must
// be declined (RFC 7692, 7), and so must one that asks for a smaller window of ours: the
// compressor has no other. Names are compared as they are: RFC 6455 says nothing of
// case, and what is declined harms nobody.
func canHonor(offer extension) (honored, window bool) {
	if offer.name != "permessage-deflate" {
		return false, false
	}
	for i, p := range offer.parameters {
		var valid bool
		switch p.name {
		case "server_no_context_takeover", "client_no_context_takeover":
			valid = !p.valued
		case "client_max_window_bits":
			valid = !p.valued || isWindowBits(p.value)
		case "server_max_window_bits":
			valid, window = p.value == "15", true
		}
		if !valid || hasParameter(offer.parameters[:i], p.name) {
			return false, false
		}
	}
	return true, window
}

// canAgree reports whether the server's choice of extensions is one that a client of
// ours has asked for with DeflateTerms (RFC 7692, 7.1).
func canAgree(chosen []extension) bool {
	if len(chosen) != 1 || chosen[0].name != "permessage-deflate" {
		return false
	}
	parameters := chosen[0].parameters
	for i, p := range parameters {
		var valid bool
		switch p.name {
		case "server_no_context_takeover", "client_no_context_takeover": // the latter we do in any case
			valid = !p.valued
		case "server_max_window_bits": // a smaller window than ours is inflated, too
			valid = isWindowBits(p.value)
		}
		if !valid || hasParameter(parameters[:i], p.name) {
			return false
		}
	}
	return hasParameter(parameters, "server_no_context_takeover")
}

func hasParameter(parameters []extensionParameter, name string) bool {
	return slices.ContainsFunc(parameters, func(p extensionParameter) bool { return p.name == name })
}

// isWindowBits reports whether a parameter's value is 8 to 15 without leading zeros
// (RFC 7692, 7.1.2).
func isWindowBits(value string) bool {
	switch value {
	case "8", "9", "10", "11", "12", "13", "14", "15":
		return true
	default:
		return false
	}
}
