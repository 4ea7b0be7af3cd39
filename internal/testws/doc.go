// Package testws has what the tests of several packages share: controllers, servers
// and clients that are used frame by frame, networks to put them on, and checks of how
// a connection ends. Tests of the root that look inside it can't use this package,
// which imports the root.
package testws
