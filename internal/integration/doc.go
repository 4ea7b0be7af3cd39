// Package integration tests the library as a whole, from outside: what is about no one
// file of the root package. Helpers that the root's tests need as well are in testws.
package integration
