package wstest

import "testing"

// SetT makes a client's failures fail another test.
func SetT(c *Client, t testing.TB) { c.t = t }
