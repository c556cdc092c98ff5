package keyring

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// tokenURI is a PKCS#11 URI (RFC 7512), as far as it names a signing key.
type tokenURI struct {
	token, manufacturer, model, serial string // of the token; "": any
	object, id                         string // of the key; id as raw bytes
	module, pin                        string // paths; "": as configured
}

const maxURI = 1024

// pathAttributes and queryAttributes are what a source may say.
var (
	pathAttributes  = []string{"token", "manufacturer", "model", "serial", "object", "id", "type"}
	queryAttributes = []string{"module-path", "pin-source"}
)

func parseTokenURI(text string) (u tokenURI, err error) {
	wrong := func(format string, args ...any) (tokenURI, error) {
		return tokenURI{}, fmt.Errorf("%w: pkcs11 URI: %s", ErrSource, fmt.Sprintf(format, args...))
	}
	rest, ok := strings.CutPrefix(text, "pkcs11:")
	if !ok || len(text) > maxURI {
		return wrong("it does not begin with pkcs11:, or is longer than %d bytes", maxURI)
	}
	path, query, _ := strings.Cut(rest, "?")
	said := map[string]string{}
	for _, part := range []struct {
		text, sep string
		allowed   []string
	}{{path, ";", pathAttributes}, {query, "&", queryAttributes}} {
		if part.text == "" {
			continue
		}
		for _, attribute := range strings.Split(part.text, part.sep) {
			name, value, ok := strings.Cut(attribute, "=")
			switch {
			case name == "pin-value":
				return wrong("pin-value would put the PIN into the record: use pin-source=file:PATH")
			case !ok || !slices.Contains(part.allowed, name):
				return wrong("%.40q is not one of %s", name, strings.Join(part.allowed, ", "))
			}
			if _, twice := said[name]; twice {
				return wrong("%s is there twice", name)
			}
			plain, err := url.PathUnescape(value)
			if err != nil || value == "" {
				return wrong("%s: not a percent-encoded text", name)
			}
			if name != "id" && strings.ContainsFunc(plain, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				return wrong("%s: it holds a control character", name)
			}
			said[name] = plain
		}
	}
	if t := said["type"]; t != "" && t != "private" {
		return wrong("type is %.40q; a key that signs is private", t)
	}
	if said["object"] == "" && said["id"] == "" {
		return wrong("it names no key: object=LABEL, or id=%%01%%02")
	}
	if said["token"] == "" && said["serial"] == "" {
		return wrong("it names no token: token=LABEL, or serial=…")
	}
	if p := said["pin-source"]; p != "" {
		file, ok := strings.CutPrefix(p, "file:")
		if file = strings.TrimPrefix(file, "//"); !ok || !strings.HasPrefix(file, "/") {
			return wrong("pin-source is not file:/PATH")
		}
		said["pin-source"] = file
	}
	return tokenURI{token: said["token"], manufacturer: said["manufacturer"], model: said["model"], serial: said["serial"],
		object: said["object"], id: said["id"], module: said["module-path"], pin: said["pin-source"]}, nil
}

// name is the URI in words, for errors.
func (u *tokenURI) name() string {
	out := "key"
	if u.object != "" {
		out += fmt.Sprintf(" %q", u.object)
	}
	if u.id != "" {
		out += fmt.Sprintf(" with id %x", u.id)
	}
	return out
}

// within fills in what the configuration says, and refuses what contradicts it.
func (u *tokenURI) within(c *Config) error {
	for _, p := range []struct {
		name, configured string
		said             *string
	}{{"module-path", c.Module, &u.module}, {"pin-source", c.PIN, &u.pin}} {
		if *p.said != "" && *p.said != p.configured {
			allowed := "nothing: none is configured"
			if p.configured != "" {
				allowed = p.configured
			}
			return fmt.Errorf("%w: %s is not what the configuration of this machine allows (%s)", ErrSource, p.name, allowed)
		}
		*p.said = p.configured
	}
	if u.module == "" {
		return fmt.Errorf("%w: no PKCS#11 module is configured on this machine", ErrSource)
	}
	return nil
}
