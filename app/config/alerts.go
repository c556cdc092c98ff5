package config

import (
	"fmt"
	"strings"

	"andon/control"
)

// Endpoints are the endpoints of control.alerts, as the control plane takes them.
func (c *Control) Endpoints() []control.AlertEndpoint {
	var out []control.AlertEndpoint
	for _, a := range c.Alerts {
		out = append(out, control.AlertEndpoint{Name: a.Name, URL: a.URL, Secret: a.Secret, Events: a.Events})
	}
	return out
}

// alerts checks them.
func (k *checker) alerts() {
	for _, f := range control.CheckAlerts(k.c.Control.Endpoints()) {
		k.fail(fmt.Sprintf("control.alerts[%d].%s", f.Index, f.Field), f.Detail, f.Allowed...)
	}
}

// alertSecret says whether the value at a path is for the endpoint alone.
func alertSecret(path string) bool {
	return strings.HasPrefix(path, "control.alerts[") && strings.HasSuffix(path, ".secret")
}
