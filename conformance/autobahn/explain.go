package main

import "path"

const (
	smallWindow = "The suite asks for a window of 512 bytes. The library has windows of 32 KiB only, and declines the offer."
	noWindow    = "The suite's server declines offers that do not let it choose the size of the client's window, and Dial makes no other."
)

// explanations say why cases are not OK and may stay so. A case that is not OK and has no
// explanation is a problem, and so is each case that failed or is non-strict.
var explanations = []struct {
	cases   string // a pattern
	on      string // "server" or "client"; empty means both
	verdict verdict
	why     string
}{
	{
		cases: "7.1.6", verdict: informational,
		why: "RFC 6455 leaves open how much is answered before the close frame. Both messages come back, then the close frame; the ping behind the suite's is not answered.",
	},
	{
		cases: "7.13.*", verdict: informational,
		why: "RFC 6455, 7.4.2, does not define such codes, and does not say what an endpoint does about one. It is answered with 1002.",
	},
	{cases: "13.3.*", on: "server", verdict: unimplemented, why: smallWindow},
	{cases: "13.5.*", on: "server", verdict: unimplemented, why: smallWindow},
	{cases: "13.[3-6].*", on: "client", verdict: unimplemented, why: noWindow},
}

// explain returns why a case of a server or a client is not OK, if that is known and no mistake.
// If it isn't, it returns what the suite says.
func explain(role string, r *result) (why string, known bool) {
	for _, e := range explanations {
		if match, _ := path.Match(e.cases, r.id); match && e.verdict == r.verdict && (e.on == "" || e.on == role) {
			return e.why, true
		}
	}
	return r.says, false
}
