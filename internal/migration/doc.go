// Package migration has the code of the pages docs/from-*.md: that which others write with
// another library, before, and that which takes its place, after. The folders below have one
// page each. What needs the other library, and the root module does not require it, is in
// bench/migration.
package migration
