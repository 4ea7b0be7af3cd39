// Package interop has tests only: the library against clients and a server that
// others wrote.
package interop
