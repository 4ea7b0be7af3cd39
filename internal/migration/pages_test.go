package migration_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A block is Go, and the bold word above it says which side it is on.
var (
	blocks = regexp.MustCompile("(?ms)^\\*\\*(Before|After)\\*\\*[^\n]*\n\n```go\n(.*?)^```$")
	fences = regexp.MustCompile("(?m)^```go$")
)

// Each block of a page is a piece of a file that is compiled, and run by the tests beside it.
func TestPagesHaveWhatIsTested(t *testing.T) {
	pages, err := filepath.Glob("../../docs/from-*.md")
	require.NoError(t, err)
	require.Len(t, pages, 4)
	for _, page := range pages {
		content, err := os.ReadFile(page)
		require.NoError(t, err)
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(page), "from-"), ".md")
		found := blocks.FindAllStringSubmatch(string(content), -1)
		assert.Len(t, found, len(fences.FindAllString(string(content), -1)), "%s: a block says neither Before nor After", page)
		sides := map[string]string{}
		for _, side := range []string{"Before", "After"} {
			for _, folder := range []string{name, "../../bench/migration/" + name} {
				source, err := os.ReadFile(filepath.Join(folder, strings.ToLower(side)+"_test.go"))
				if !os.IsNotExist(err) {
					require.NoError(t, err)
					sides[side] += strings.ReplaceAll(string(source), "\r\n", "\n")
				}
			}
		}
		counts := map[string]int{}
		for _, block := range found {
			counts[block[1]]++
			code := strings.ReplaceAll(block[2], "\r\n", "\n")
			within := regexp.MustCompile(`(?m)^(.)`).ReplaceAllString(code, "\t$1") // a function
			assert.True(t, strings.Contains(sides[block[1]], "\n"+code) || strings.Contains(sides[block[1]], "\n"+within),
				"%s: this is not in the code that is tested:\n%s", page, code)
		}
		assert.NotZero(t, counts["Before"], page)
		assert.NotZero(t, counts["After"], page)
	}
}
