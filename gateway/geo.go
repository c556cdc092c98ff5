package gateway

import (
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// geo says in which country an address is, by a database in MMDB format
// (https://maxmind.github.io/MaxMind-DB/). It is read whole, so that a file
// that is replaced or cut short under the gateway changes nothing.
type geo struct {
	path string
	db   atomic.Pointer[maxminddb.Reader]
	seen fileMark
}

// fileMark tells one version of a file from another.
type fileMark struct {
	size int64
	mod  time.Time
}

func openGeo(path string) (*geo, error) {
	if path == "" {
		return nil, nil
	}
	g := &geo{path: path}
	if err := g.load(); err != nil {
		return nil, fmt.Errorf("open country database: %w", err)
	}
	return g, nil
}

func (g *geo) load() error {
	info, err := os.Stat(g.path)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(g.path)
	if err != nil {
		return err
	}
	db, err := maxminddb.OpenBytes(data)
	if err != nil {
		return err
	}
	if err := db.Verify(); err != nil {
		return fmt.Errorf("%s: %w", g.path, err)
	}
	g.seen = fileMark{info.Size(), info.ModTime()}
	g.db.Store(db)
	return nil
}

// refresh takes a file in that was replaced. One that cannot be read changes
// nothing. One goroutine calls it.
func (g *geo) refresh() (bool, error) {
	info, err := os.Stat(g.path)
	if err != nil || (fileMark{info.Size(), info.ModTime()}) == g.seen {
		return false, err
	}
	return true, g.load()
}

// country is the ISO 3166-1 code of an address, or "" if it is not known.
func (g *geo) country(ip netip.Addr) string {
	if g == nil || !ip.IsValid() {
		return ""
	}
	return g.lookUp(ip)
}

func (g *geo) lookUp(ip netip.Addr) (code string) {
	r := g.db.Load().Lookup(ip)
	if r.DecodePath(&code, "country", "iso_code") != nil || code == "" {
		r.DecodePath(&code, "registered_country", "iso_code")
	}
	if !isCountry(code) {
		return ""
	}
	return code
}

// isCountry refuses what some proxies and databases say for "unknown".
func isCountry(code string) bool {
	return len(code) == 2 && code != "XX" && code != "T1" && code != "ZZ" &&
		code[0] >= 'A' && code[0] <= 'Z' && code[1] >= 'A' && code[1] <= 'Z'
}

// countryOf is where the caller is, as far as anybody trusted says: the
// configured header if the connection comes from a trusted proxy, else the
// database, else unknown. What a caller says of itself never counts.
func (g *Gateway) countryOf(r *http.Request, ip netip.Addr) string {
	if g.countryHeader != "" && g.trusted(peer(r)) {
		if v := r.Header[g.countryHeader]; len(v) == 1 {
			if code := strings.ToUpper(strings.TrimSpace(v[0])); isCountry(code) {
				return code
			}
			return ""
		}
	}
	return g.geo.country(ip)
}
