// Package integration tests the library as a whole, from outside: everything that does not
// belong to one file of the root package. Helpers that the root's tests need as well are in
// testws.
package integration
