package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func readFixture(t *testing.T, cases int) (*report, error) {
	t.Helper()
	return readReport(filepath.Join("testdata", "reports"), sides()[4], cases)
}

func TestReadReport(t *testing.T) {
	report, err := readFixture(t, 7)
	require.NoError(t, err)
	ids := make([]string, 0, len(report.results))
	for _, result := range report.results {
		ids = append(ids, result.id)
	}
	assert.Equal(t, []string{"1.1.1", "1.1.2", "1.1.10", "6.4.1", "7.1.6", "7.13.1", "13.2.1"}, ids, "by number")
	assert.Equal(t, result{
		id: "6.4.1", number: [3]int{6, 4, 1}, verdict: nonStrict,
		description: "Sends bad text.",
		says:        "NON-STRICT: It took a while. OK: Connection was properly closed",
	}, report.results[3])
	assert.Equal(t, "7 cases: 2 OK, 2 informational, 1 unimplemented, 1 non-strict, 1 failed", report.counts().String())

	_, err = readFixture(t, 8)
	require.ErrorContains(t, err, "7 cases of 8")
	_, err = readReport(t.TempDir(), sides()[4], 1)
	require.ErrorIs(t, err, os.ErrNotExist)
	report, err = readReport(t.TempDir(), sides()[4], 0)
	require.NoError(t, err, "a suite without cases writes none")
	assert.Empty(t, report.results)
}

func TestStrangeReports(t *testing.T) {
	for _, tt := range []struct{ name, index, want string }{
		{name: "a case without a number", index: `{"echo": {"1.x": {"behavior": "OK", "behaviorClose": "OK"}}}`, want: `"1.x"`},
		{name: "a number of four parts", index: `{"echo": {"1.2.3.4": {"behavior": "OK", "behaviorClose": "OK"}}}`, want: `"1.2.3.4"`},
		{name: "no details", index: `{"echo": {"1.1.1": {"behavior": "FAILED", "behaviorClose": "OK", "reportfile": "echo.json"}}}`, want: "echo.json"},
		{name: "a file elsewhere", index: `{"echo": {"1.1.1": {"behavior": "FAILED", "behaviorClose": "OK", "reportfile": "../echo.json"}}}`, want: filepath.Join("reports", "echo.json")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "reports")
			require.NoError(t, os.Mkdir(folder, 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(folder, "index.json"), []byte(tt.index), 0o600))
			_, err := readReport(folder, sides()[0], 1)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		behavior, end string
		want          verdict
	}{
		{"OK", "OK", passed},
		{"INFORMATIONAL", "INFORMATIONAL", informational},
		{"UNIMPLEMENTED", "OK", unimplemented},
		{"NON-STRICT", "OK", nonStrict},
		{"FAILED", "OK", failed},
		{"OK", "INFORMATIONAL", passed},
		{"OK", "WRONG CODE", nonStrict},
		{"OK", "FAILED BY CLIENT", nonStrict},
		{"UNIMPLEMENTED", "WRONG CODE", nonStrict},
		{"FAILED", "WRONG CODE", failed},
		{"OK", "UNCLEAN", failed},
		{"OK", "FAILED", failed},
		{"INFORMATIONAL", "FAILED", failed},
		{"SOMETHING NEW", "OK", failed},
		{"OK", "SOMETHING NEW", failed},
		{"", "", failed},
	} {
		assert.Equal(t, tt.want, judge(tt.behavior, tt.end), "%s, %s", tt.behavior, tt.end)
	}
}

// fixture returns an outcome whose client with compression has the results of testdata.
func fixture(t *testing.T) *outcome {
	t.Helper()
	client, err := readFixture(t, 7)
	require.NoError(t, err)
	one := []result{{id: "1.1.1", number: [3]int{1, 1, 1}}}
	return &outcome{
		when:     time.Date(2026, 7, 28, 23, 0, 0, 0, time.UTC),
		versions: revisions{suite: []string{"AutobahnTestSuite 25.10.1", "Autobahn 0.10.9"}, library: "commit 0123456789ab", golang: "go1.25.0", system: "plan9/arm"},
		note:     "It was installed with care.",
		reports:  []*report{{side: sides()[0], results: one}, {side: sides()[1], results: one}, {side: sides()[3], results: one}, client},
	}
}

// The page is written by hand in testdata, so that a reader can judge it.
func TestPage(t *testing.T) {
	want, err := os.ReadFile(filepath.Join("testdata", "page.md"))
	require.NoError(t, err)
	assert.Equal(t, string(want), fixture(t).page())
}

func TestUnexplainedIsAProblem(t *testing.T) {
	err := fixture(t).problems()
	require.Error(t, err)
	assert.Equal(t, []string{
		"Client with compression: case 1.1.10 is failed (Sends text): OK: As expected. UNCLEAN: No close frame | came",
		"Client with compression: case 6.4.1 is non-strict (Sends bad text.): NON-STRICT: It took a while. OK: Connection was properly closed",
		"Client with compression: case 13.2.1 is unimplemented (Sends with a small window): UNIMPLEMENTED: There is none. OK: Connection was properly closed",
	}, strings.Split(err.Error(), "\n"))
}

func TestHeadline(t *testing.T) {
	assert.Equal(t, "Of the 7 cases of the [Autobahn Testsuite](autobahn.md), the server passes 1 and the client 2; one is non-strict, one fails.", fixture(t).headline("autobahn.md"))
	assert.Regexp(t, "^"+headline.String()+"$", fixture(t).headline("autobahn.md"))

	fine := fixture(t)
	fine.reports = fine.reports[:3]
	assert.Equal(t, "Of the 1 cases of the [Autobahn Testsuite](x), the server passes 1 and the client 0; none is non-strict, none fails.", fine.headline("x"))
}

func TestWrite(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(root, "docs"), 0o700))
	old := "It is good. Of the 9 cases of the [Autobahn Testsuite](LINK), the server passes 8 and the client 7; none is non-strict, 2 fail. And more.\n"
	for _, name := range quoted {
		require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(strings.ReplaceAll(old, "LINK", "to/"+name)), 0o600))
	}
	o := fixture(t)
	require.NoError(t, o.write(root))

	page, err := os.ReadFile(filepath.Join(root, pagePath))
	require.NoError(t, err)
	assert.Equal(t, o.page(), string(page))
	for _, name := range quoted {
		content, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		assert.Equal(t, "It is good. "+o.headline("to/"+name)+" And more.\n", string(content))
	}

	require.NoError(t, os.WriteFile(filepath.Join(root, quoted[0]), []byte("Nothing."), 0o600))
	require.ErrorContains(t, o.write(root), "says nothing of the suite")
}

// TestPagesAgree checks that what the pages of the repository say is from one run.
func TestPagesAgree(t *testing.T) {
	root := filepath.Join("..", "..")
	page, err := os.ReadFile(filepath.Join(root, pagePath))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(page), preface))
	result := headline.FindSubmatch(page)
	require.NotNil(t, result, "the page has no result")
	for _, name := range quoted {
		content, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		match := headline.FindSubmatch(content)
		require.NotNil(t, match, "%s says nothing of the suite", name)
		assert.Equal(t, string(result[0]), strings.Replace(string(match[0]), string(match[1]), suiteURL, 1), name)
	}
}
