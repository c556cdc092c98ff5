package gateway

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// writeGeo makes a database of prefixes and their countries.
func writeGeo(t *testing.T, path string, countries map[string]string) {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "GeoLite2-Country", RecordSize: 24, Description: map[string]string{"en": "a test"}, IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	for prefix, code := range countries {
		_, n, err := net.ParseCIDR(prefix)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(n, mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(code)}}); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := tree.WriteTo(f); err != nil {
		t.Fatal(err)
	}
}

func TestACountryIsBlockedByTheDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "country.mmdb")
	writeGeo(t, path, map[string]string{"127.0.0.0/8": "NZ"})
	p := newPlane(t)
	g := p.start(startSim(t), func(c *Config) { c.GeoIP = path })
	status := func() int { return send(t, g, "/v1/chat/completions", chat("sim-large", "hello")).status }
	if got := status(); got != 200 {
		t.Fatalf("before: %d", got)
	}
	p.apply(1, `{"kind":"access","params":{"mode":"block"},"scope":{"countries":["NZ"]},"reason":"test"}`)
	if got := status(); got != 403 {
		t.Fatalf("blocked country: %d", got)
	}
	// The database is replaced, and the address turns out to be elsewhere.
	writeGeo(t, path+".new", map[string]string{"127.0.0.0/8": "FR", "10.0.0.0/8": "DE"})
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	os.Chtimes(path, time.Now(), time.Now().Add(time.Hour))
	if changed, err := g.geo.refresh(); !changed || err != nil {
		t.Fatalf("refresh: %v, %v", changed, err)
	}
	if got := status(); got != 200 {
		t.Fatalf("after the database was replaced: %d", got)
	}
	// A file cut short is not taken in, and does not take the old one away.
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := g.geo.refresh(); err == nil {
		t.Fatal("a database cut short was taken in")
	}
	if c := g.geo.country(netip.MustParseAddr("10.1.2.3")); c != "DE" {
		t.Fatalf("10.1.2.3 is in %q", c)
	}
}

func TestACountryHeaderCountsFromTrustedProxiesAlone(t *testing.T) {
	for _, trusted := range []bool{true, false} {
		p := newPlane(t)
		g := p.start(startSim(t), func(c *Config) {
			c.CountryHeader = "cf-ipcountry"
			c.Identity.TrustedProxies = prefixes("10.0.0.0/8")
			if trusted {
				c.Identity.TrustedProxies = prefixes("127.0.0.0/8")
			}
		})
		p.apply(1, `{"kind":"access","params":{"mode":"allow_only"},"scope":{"countries":["FR"]},"reason":"test"}`)
		for header, want := range map[string]int{"FR": 200, "fr": 200, "DE": 403, "XX": 403, "": 403} {
			if !trusted {
				want = 403 // nobody believes it
			}
			if got := send(t, g, "/v1/chat/completions", chat("sim-large", "hello"), "Cf-Ipcountry", header).status; got != want {
				t.Errorf("trusted %v, country %q: %d, want %d", trusted, header, got, want)
			}
		}
	}
}
