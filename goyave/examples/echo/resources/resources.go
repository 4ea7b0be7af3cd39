// Package resources has the files that are served as they are.
package resources

import (
	"embed"

	"goyave.dev/goyave/v5/util/fsutil"
)

//go:embed index.html
var files embed.FS

// FS is the page.
var FS = fsutil.NewEmbed(files)
