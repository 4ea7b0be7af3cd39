package transport

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The package comment names each source file once, and no other.
func TestPackageCommentNamesTheFiles(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	want := map[string]bool{}
	for _, file := range files {
		if file != "doc.go" && !strings.HasSuffix(file, "_test.go") {
			want[file] = true
		}
	}
	named := map[string]bool{}
	for _, file := range regexp.MustCompile(`\w+\.go\b`).FindAllString(string(text), -1) {
		assert.False(t, named[file], "%s is named twice", file)
		named[file] = true
	}
	assert.NotEmpty(t, named)
	assert.Equal(t, want, named)
}
