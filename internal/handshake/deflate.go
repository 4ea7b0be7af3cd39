package handshake

import "slices"

// DeflateTerms is the server's answer to an offer of permessage-deflate (RFC 7692, 7.1), and
// the client's offer: each message is compressed without the context of earlier ones.
const DeflateTerms = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// LargestWindow is added to the answer where the client asked for a window of that size. The
// compressor has no other (RFC 7692, 7.1.2.1).
const LargestWindow = "; server_max_window_bits=15"

// OffersDeflate reports whether the server can accept one of the client's offers with
// DeflateTerms (RFC 7692, 7), and whether LargestWindow must be added then.
func OffersDeflate(offers []Extension) (offered, window bool) {
	for _, offer := range offers {
		if honored, window := canHonor(offer); honored {
			return true, window
		}
	}
	return false, false
}

// canHonor reports whether an offer can be accepted, and whether it asks for the largest
// window. An offer with an unknown or repeated parameter or a bad value must be declined (RFC
// 7692, 7), and so must one that asks for a smaller window of the server's: the compressor has
// no other. Names are compared with case: RFC 6455 does not say otherwise, and to decline an
// offer harms nobody.
func canHonor(offer Extension) (honored, window bool) {
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

// canAgree reports whether a server may choose these extensions where the client offered
// DeflateTerms (RFC 7692, 7.1).
func canAgree(chosen []Extension) bool {
	if len(chosen) != 1 || chosen[0].name != "permessage-deflate" {
		return false
	}
	parameters := chosen[0].parameters
	for i, p := range parameters {
		var valid bool
		switch p.name {
		case "server_no_context_takeover", "client_no_context_takeover": // the client does the latter in any case
			valid = !p.valued
		case "server_max_window_bits": // the inflater takes every window
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

// isWindowBits reports whether a value is 8 to 15, without leading zeros (RFC 7692, 7.1.2).
func isWindowBits(value string) bool {
	switch value {
	case "8", "9", "10", "11", "12", "13", "14", "15":
		return true
	default:
		return false
	}
}
