package wstest

import "testing"

// SetT has a client fail another test.
func SetT(c *Client, t testing.TB) { c.t = t }
