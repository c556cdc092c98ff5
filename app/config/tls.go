package config

import (
	"fmt"
	"net"
	"slices"
)

// listeners lists, for each TLS section, the address that it is for.
func (c *Config) listener(path string) (*TLS, string, string) {
	switch path {
	case "control.tls":
		return &c.Control.TLS, "control.listen", c.Control.Listen
	case "control.bus_tls":
		return &c.Control.BusTLS, "control.bus_listen", c.Control.BusListen
	case "gateway.tls":
		return &c.Gateway.TLS, "gateway.listen", c.Gateway.Listen
	case "gateway.admin_tls":
		return &c.Gateway.AdminTLS, "gateway.admin", c.Gateway.Admin
	}
	return &c.Sim.TLS, "sim.listen", c.Sim.Listen
}

// protected checks the TLS sections at these paths: nothing is said in plaintext
// to other machines unless that is meant.
func (k *checker) protected(paths ...string) {
	for _, path := range paths {
		t, at, addr := k.c.listener(path)
		switch {
		case t.Mode != "" && t.Mode != "auto" && t.Mode != "off":
			k.fail(path+".mode", fmt.Sprintf("unknown mode %q", t.Mode), "auto", "off", "none, with cert and key")
		case (t.Cert == "") != (t.Key == ""):
			k.fail(path+".cert", "cert and key go together")
		case t.Mode != "" && t.Cert != "":
			k.fail(path+".mode", "has no meaning with cert and key")
		case t.ClientCA != "" && !t.On():
			k.fail(path+".client_ca", "has no meaning without TLS: set mode auto, or cert and key")
		case t.ClientCA != "" && path == "control.bus_tls":
			k.fail(path+".client_ca", "has no meaning here: gateways have certificates of the installation's own authority")
		case len(t.Hosts) > 0 && t.Mode != "auto":
			k.fail(path+".hosts", "has no meaning without mode auto")
		case t.Mode == "" && t.Cert == "" && open(addr):
			k.fail(path, fmt.Sprintf("%s %s is reached from other machines, and nothing protects it", at, addr),
				"mode: auto (certificates of the installation's own authority)", "cert and key (your own)", "mode: off (plaintext, on purpose, such as behind a proxy that speaks TLS)")
		}
	}
}

// open reports whether an address to listen on is reached from other machines.
func open(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && host != "localhost" && (ip == nil || !ip.IsLoopback())
}

// JoinedAs is the name under which the gateway of this configuration has joined a
// control plane; "" if it has not. Without a name in the configuration it is the
// one that has joined, if it is one.
func (c *Config) JoinedAs() string {
	all := c.Layout().Joined()
	switch {
	case slices.Contains(all, c.Gateway.Name):
		return c.Gateway.Name
	case !c.Given("gateway.name") && len(all) == 1:
		return all[0]
	}
	return ""
}
