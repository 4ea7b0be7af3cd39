// Package testws contains what the tests of several packages share: controllers, servers
// and clients that are used frame by frame, networks to run them on, and checks of how a
// connection ends. Internal tests of the root package can't use it, because it imports the
// root.
package testws
