package sim

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// Requests that real providers answered are answered, streamed where theirs
// was streamed.
func TestRecordedRequests(t *testing.T) {
	s := start(t, Config{})
	known := map[string]bool{"/v1/chat/completions": true, "/v1/completions": true, "/v1/embeddings": true, "/v1/messages": true, "/v1/responses": true}
	count := 0
	for _, folder := range []string{"envoy-ai-gateway-cassettes", "anthropic-sdk-cassettes"} {
		dir := filepath.Join("..", "..", "shared", "data", folder)
		if _, err := os.Stat(dir); err != nil {
			t.Skipf("NOT RUN: %s is absent, so no recorded request was tried", dir)
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var c struct {
				Interactions []struct {
					Request struct {
						Body, URL string
					}
					Response struct {
						Code   int
						Status string
						Body   string
					}
				}
			}
			if err := yaml.Unmarshal(data, &c); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for i, x := range c.Interactions {
				u, err := url.Parse(x.Request.URL)
				if err != nil {
					t.Fatal(err)
				}
				if !known[u.Path] || (x.Response.Code != 200 && !strings.HasPrefix(x.Response.Status, "200")) {
					continue
				}
				count++
				res := post(t, s, u.RequestURI(), x.Request.Body)
				got := all(t, res, 200)
				if theirs, ours := strings.HasPrefix(x.Response.Body, "{"), strings.HasPrefix(got, "{"); theirs != ours {
					t.Errorf("%s, %d: plain is %v, theirs %v", name, i, ours, theirs)
				}
			}
		}
	}
	if count < 40 {
		t.Errorf("only %d recorded requests were found", count)
	}
}
