// Crosscheck type-checks the packages in the current directory and below, with their tests, for
// the given targets (GOOS/GOARCH), or for all targets of Go.
//
// It finds the reasons why a package or test would not build: something that a target does not
// have, or a number that is too large there. It compiles nothing, and parses a file once for all
// targets, so that a target takes less than a second. go build and go vet would first compile
// the standard library for the target, which takes half a minute. Programs that need a C
// compiler to be linked are left out.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	targets := os.Args[1:]
	if len(targets) == 0 {
		out, err := exec.Command("go", "tool", "dist", "list").Output()
		if err != nil {
			fail(err)
		}
		targets = strings.Fields(string(out))
	}
	c := &checker{fset: token.NewFileSet(), parsed: make(map[string]*ast.File)}
	failed := 0
	for _, target := range targets {
		if err := c.check(target); err != nil {
			fmt.Fprintf(os.Stderr, "%s:\n%v\n", target, err)
			failed++
		}
	}
	if failed > 0 {
		fail(fmt.Errorf("%d of %d targets failed", failed, len(targets)))
	}
	fmt.Printf("%d targets: %s\n", len(targets), strings.Join(targets, " "))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "crosscheck:", err)
	os.Exit(1)
}

// A checker keeps parsed files, because most files belong to many targets.
type checker struct {
	fset   *token.FileSet
	parsed map[string]*ast.File
}

// A listed is a package in the output of go list.
type listed struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	ImportMap  map[string]string
	DepOnly    bool // only a dependency
	Error      *struct{ Err string }
	Module     *struct{ GoVersion string }
}

// check checks all packages for one target.
func (c *checker) check(target string) error {
	goos, goarch, _ := strings.Cut(target, "/")
	packages, err := list(goos, goarch)
	if err != nil {
		return err
	}
	checked := map[string]*types.Package{"unsafe": types.Unsafe}
	var errs []error
	for _, p := range packages { // each follows the packages that it imports
		switch {
		case p.ImportPath == "unsafe" || strings.HasSuffix(p.ImportPath, ".test"): // the main package of go test
			continue
		case p.Error != nil && strings.Contains(p.Error.Err, "requires external (cgo) linking"): // a program
			continue
		case p.Error != nil:
			errs = append(errs, fmt.Errorf("%s: %s", p.ImportPath, p.Error.Err))
			continue
		}
		pkg, err := c.checkPackage(p, goarch, checked)
		if err != nil && !p.DepOnly {
			errs = append(errs, err)
		}
		checked[p.ImportPath] = pkg
	}
	return errors.Join(errs...)
}

// list returns the packages, their tests and the dependencies of both.
func list(goos, goarch string) (packages []listed, err error) {
	cmd := exec.Command("go", "list", "-e", "-deps", "-test", "-json=ImportPath,Dir,GoFiles,ImportMap,DepOnly,Error,Module", "./...")
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		switch err := decoder.Decode(&p); {
		case errors.Is(err, io.EOF):
			return packages, nil
		case err != nil:
			return nil, err
		}
		packages = append(packages, p)
	}
}

// checkPackage checks one package. For a dependency, it leaves out the bodies of functions.
func (c *checker) checkPackage(p listed, goarch string, checked map[string]*types.Package) (*types.Package, error) {
	var errs []error
	config := types.Config{
		Importer:         importer{p.ImportMap, checked},
		Sizes:            types.SizesFor("gc", goarch),
		IgnoreFuncBodies: p.DepOnly,
		FakeImportC:      true,
		Error:            func(err error) { errs = append(errs, err) },
	}
	if p.Module != nil && p.Module.GoVersion != "" {
		config.GoVersion = "go" + p.Module.GoVersion
	}
	var files []*ast.File
	for _, name := range p.GoFiles {
		file, err := c.parse(filepath.Join(p.Dir, name))
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	path, _, _ := strings.Cut(p.ImportPath, " ") // "p [p.test]" is p together with its tests
	pkg, _ := config.Check(path, c.fset, files, nil)
	if len(errs) > 10 {
		errs = slices.Insert(errs[:10:10], 10, errors.New("and more"))
	}
	return pkg, errors.Join(errs...)
}

func (c *checker) parse(path string) (*ast.File, error) {
	if file := c.parsed[path]; file != nil {
		return file, nil
	}
	file, err := parser.ParseFile(c.fset, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	c.parsed[path] = file
	return file, nil
}

// An importer returns packages that were checked before.
type importer struct {
	renamed map[string]string // import paths that mean a vendored package, or a package with its tests
	checked map[string]*types.Package
}

func (i importer) Import(path string) (*types.Package, error) {
	if renamed, ok := i.renamed[path]; ok {
		path = renamed
	}
	if pkg := i.checked[path]; pkg != nil {
		return pkg, nil
	}
	return nil, fmt.Errorf("package %s is not there", path)
}
