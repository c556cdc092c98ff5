package plan

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Bounds of a plan's folder.
const (
	MaxFiles     = 200       // YAML files
	MaxFileBytes = 256 << 10 // of one
	MaxBytes     = 4 << 20   // of all together
	maxLooked    = 10_000    // files and folders of any kind
	maxFolders   = 8         // within each other
)

// Load reads a plan from all files of fsys whose names end in .yaml or .yml, in
// folders of any depth up to 8. Names that begin with a dot, and other files, are
// left alone. Each file holds one map with any of the top-level sections. Lists
// of one section are put together, by the files' names in byte order; what is not
// a list may stand in one file only. Anchors and aliases hold within a file;
// merges (<<), tags, directives and second documents are refused.
//
// Symbolic links are refused wherever they lead: what is reviewed is what is in
// the folder. Nothing is half-loaded. An error is [Faults], all that was found,
// unless the folder itself could not be read.
func Load(fsys fs.FS) (*Plan, error) {
	fs := &faults{}
	sources, err := read(fsys, fs)
	if err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	p := &Plan{places: map[string]Position{}, files: filesDigest(sources)}
	d := &decoder{faults: fs, plan: p, lost: len(fs.list) > 0}
	for i := range sources {
		d.src = &sources[i]
		before := len(fs.list)
		if body := sources[i].parse(fs); body != nil {
			d.file(body)
		} else {
			d.lost = d.lost || len(fs.list) > before
		}
	}
	if d.lost {
		return nil, fs.err()
	}
	// Single values that could not be read hide nothing else that is wrong.
	unread := map[string]bool{}
	for _, f := range fs.list {
		unread[f.Path] = true
	}
	if err := p.Validate(); err != nil {
		for _, f := range err.(Faults) {
			if !unread[f.Path] {
				fs.add(f)
			}
		}
	}
	if err := fs.err(); err != nil {
		return nil, err
	}
	return p, nil
}

// read collects the files, in the order of their names.
func read(fsys fs.FS, faults *faults) (sources []source, err error) {
	looked, total := 0, 0
	bad := func(name, format string, args ...any) {
		faults.add(Fault{Position: Position{File: name}, Detail: fmt.Sprintf(format, args...)})
	}
	err = fs.WalkDir(fsys, ".", func(name string, e fs.DirEntry, err error) error {
		looked++
		switch isYAML := slices.Contains([]string{".yaml", ".yml"}, strings.ToLower(path.Ext(name))); {
		case err != nil:
			return err
		case looked > maxLooked:
			bad("", "the folder holds more than %d files and folders; give the plan's own folder", maxLooked)
			return fs.SkipAll
		case name == ".":
		case strings.HasPrefix(path.Base(name), "."):
			if e.IsDir() {
				return fs.SkipDir
			}
		case e.IsDir():
			if strings.Count(name, "/") >= maxFolders {
				bad(name, "folders stand in each other more than %d deep", maxFolders)
				return fs.SkipDir
			}
		case e.Type()&fs.ModeSymlink != 0:
			bad(name, "is a symbolic link; the plan is what stands in its folder: put the file itself here")
		case !isYAML:
		case !e.Type().IsRegular():
			bad(name, "is no regular file")
		case len(sources) == MaxFiles:
			bad(name, "the plan has more than %d files", MaxFiles)
			return fs.SkipAll
		default:
			data, why, err := readFile(fsys, name)
			if err != nil {
				return err
			}
			if why != "" {
				bad(name, "%s", why)
				return nil
			}
			if total += len(data); total > MaxBytes {
				bad(name, "the plan's files have more than %d bytes together", MaxBytes)
				return fs.SkipAll
			}
			sources = append(sources, source{name, data})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(sources) == 0 && len(faults.list) == 0 {
		return nil, errors.New("the folder holds no file that ends in .yaml or .yml; andon plan init writes an example")
	}
	slices.SortFunc(sources, func(a, b source) int { return strings.Compare(a.name, b.name) })
	return sources, nil
}

// readFile reads a file that is still the regular one that the folder listed.
func readFile(fsys fs.FS, name string) (data []byte, why string, err error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, "", err
	}
	if !info.Mode().IsRegular() {
		return nil, "is no regular file", nil
	}
	data, err = io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	if err != nil {
		return nil, "", err
	}
	if len(data) > MaxFileBytes {
		return nil, fmt.Sprintf("has more than %d bytes; make several files of it", MaxFileBytes), nil
	}
	return data, "", nil
}
