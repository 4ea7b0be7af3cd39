package main

import "path"

// explanations says why cases that are not OK are right all the same. A case that is not OK and has no
// explanation is a problem, and so is each case that failed or is non-strict.
var explanations = []struct {
	cases   string // a pattern
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
}

// explain returns the explanation of a case that is not OK. If there is none, it returns what the suite
// says, and known is false.
func explain(r *result) (why string, known bool) {
	for _, e := range explanations {
		if match, _ := path.Match(e.cases, r.id); match && e.verdict == r.verdict {
			return e.why, true
		}
	}
	return r.says, false
}
