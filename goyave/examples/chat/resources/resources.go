// Package resources has the static files.
package resources

import (
	"embed"

	"goyave.dev/goyave/v5/util/fsutil"
)

//go:embed index.html
var files embed.FS

// FS contains the page.
var FS = fsutil.NewEmbed(files)
