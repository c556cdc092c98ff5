package main

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// page is one read of the control API.
type page struct {
	path   string // below /api/v1
	status int
	bytes  int
	took   []time.Duration // each time
	none   string          // why it was not measured
}

// unlike pages: streams, files that are downloaded, and steps of a log-in.
var unlike = map[string]string{
	"/events": "a stream", "/ledger/tile/{path}": "for machines, by the tile", "/oidc/login": "a redirection", "/oidc/callback": "a redirection",
	"/openc2": "the whole history, to be downloaded", "/corrections": "all of them; a page asks with a limit", "/correction-policy": "for callers, by their keys", "/corrections/{id}/acknowledgements": "of corrections of another kind", "/incidents/{id}/attachments/{attachment}": "a file",
}

// asked are the pages that are asked for: every GET of the API's own description,
// with something of the middle of those years, and what is asked of lists besides.
func (r *record) asked(paths []string) []*page {
	middle := r.incidents/2 + 3 // has a run of a playbook, and everybody may see it
	ids := map[string]string{
		"/corrections": fmt.Sprintf("c-%d", middle), "/incidents": fmt.Sprintf("i-%d", middle), "/cases": fmt.Sprintf("t-%d", middle), "/signals": fmt.Sprintf("s-%d", middle),
		"/approvals": fmt.Sprintf("a-%d", r.incidents/10), "/runs": fmt.Sprintf("r-%d", r.incidents/20), "/decisions": fmt.Sprintf("d-%d", r.incidents/10),
		"/ledger/entries": fmt.Sprint(r.entries / 2), "/plan/versions": "1", "/playbooks": "harmful-answers",
	}
	var out []*page
	for _, p := range paths {
		one := &page{path: p, none: unlike[p]}
		if i := strings.IndexByte(p, '{'); i >= 0 && one.none == "" {
			id, end := ids[p[:i-1]], strings.IndexByte(p, '}')
			if one.path = p[:i] + id + p[end+1:]; id == "" {
				one.path, one.none = p, "there is none"
			}
		}
		out = append(out, one)
	}
	for _, p := range []string{
		"/incidents?kind=all&limit=200", "/incidents?kind=all&limit=200&after=" + fmt.Sprintf("i-%d", r.incidents-200), "/incidents?q=model+13+resolved&status=resolved", "/incidents?in=texts&q=no+such+words", fmt.Sprintf("/incidents?in=texts&q=no+such+words&after=i-%d", middle), "/incidents?in=texts&q=model+13",
		fmt.Sprintf("/incidents/i-%d/timeline?limit=500", middle), "/corrections?state=active&state=scheduled&limit=500", fmt.Sprintf("/corrections?after=c-%d&limit=500", r.incidents-500), "/corrections?limit=500", "/approvals?state=open", "/reviews?state=open",
	} {
		out = append(out, &page{path: p})
	}
	return out
}

// ask asks for a page some times; what is refused is no page.
func (p *running) ask(pg *page, times int) error {
	for range times {
		req, err := http.NewRequest(http.MethodGet, p.url+"/api/v1"+pg.path, nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+p.token)
		began := time.Now()
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return err
		}
		pg.took = append(pg.took, time.Since(began))
		if pg.status, pg.bytes = resp.StatusCode, len(body); pg.status != http.StatusOK {
			pg.none = fmt.Sprintf("answers %d", pg.status)
			return nil
		}
	}
	return nil
}

// reads are the paths of the API that are read, by its own description.
func (p *running) reads() ([]string, error) {
	resp, err := http.Get(p.url + "/api/v1/openapi.json")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var doc struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if err := json.UnmarshalRead(resp.Body, &doc); err != nil {
		return nil, fmt.Errorf("read the API's description: %w", err)
	}
	var out []string
	for path, methods := range doc.Paths {
		if path, ours := strings.CutPrefix(path, "/api/v1"); ours && methods["get"] != nil {
			out = append(out, path)
		}
	}
	slices.Sort(out)
	return out, nil
}

// plan puts the example plan of a small company in force, as an operator would.
func (b *bench) plan(r *record, p *running) error {
	dir := filepath.Join(b.dir, "plan")
	for _, args := range [][]string{{"plan", "init", dir}, {"plan", "apply", dir, "--reason", "benchmark", "--yes"}} {
		cmd := exec.CommandContext(b.ctx, r.andon, args...)
		cmd.Env = append(cmd.Environ(), "ANDON_SERVER="+p.url, "ANDON_TOKEN="+p.token)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("andon %s: %w: %s", strings.Join(args[:2], " "), err, out)
		}
	}
	return nil
}

// pagesRow asks for every page's data.
func pagesRow(b *bench) (*result, error) {
	r, err := b.record()
	if err != nil {
		return nil, err
	}
	p, err := b.serve(r)
	if err != nil {
		return nil, err
	}
	defer http.DefaultClient.CloseIdleConnections()
	if err := b.plan(r, p); err != nil {
		return nil, err
	}
	paths, err := p.reads()
	if err != nil {
		return nil, err
	}
	pages := r.asked(paths)
	for range pick(b, 5, 2) { // in turns, so that one bad moment hits one round of each
		for _, pg := range pages {
			if pg.none == "" {
				err = p.ask(pg, 4)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	var measured, left []*page
	for _, pg := range pages {
		if pg.none == "" {
			measured = append(measured, pg)
		} else {
			left = append(left, pg)
		}
	}
	slices.SortFunc(measured, func(a, b *page) int { return int(median(b.took) - median(a.took)) })
	lines := [][]string{{"GET", "p50", "longest", "bytes"}}
	over := 0
	for _, pg := range measured {
		if median(pg.took) >= 50*time.Millisecond {
			over++
		}
		lines = append(lines, []string{"`" + pg.path + "`", ms(median(pg.took)), ms(worst(pg.took)), thousands(int64(pg.bytes))})
	}
	slowest := measured[0]
	var not []string
	for _, pg := range left {
		not = append(not, "`"+pg.path+"` ("+pg.none+")")
	}
	return &result{what: "any page's data, with " + r.size(), target: "under 50 ms at the median, each",
		measured: fmt.Sprintf("%s at the slowest of %d pages, `%s`", ms(median(slowest.took)), len(measured), slowest.path), ratio: digits(median(slowest.took).Seconds()*20) + " of 50 ms",
		verdict: judge(over == 0),
		detail: table(lines) + fmt.Sprintf(`
Every GET of the API's own description, over HTTP as an administrator, who sees the most, and what pages ask of lists besides; %d times each, on one connection. The plan in force is the
example of a small company. Not measured: %s.
`, len(slowest.took), strings.Join(not, ", "))}, nil
}
