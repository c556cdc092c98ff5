package config

import "path/filepath"

// Layout names the files of a data folder. Nothing else decides where
// something lies.
type Layout struct{ dir string }

// Layout returns the names below the data folder.
func (c *Config) Layout() Layout { return Layout{c.Data} }

// LayoutOf returns the names below a folder.
func LayoutOf(dir string) Layout { return Layout{dir} }

func (l Layout) join(name ...string) string {
	return filepath.Join(append([]string{l.dir}, name...)...)
}

// Ledger is the record.
func (l Layout) Ledger() string { return l.join("ledger.db") }

// LedgerKey signs the record's checkpoints; LedgerKey()+".pub" verifies them.
func (l Layout) LedgerKey() string { return l.join("ledger.key") }

// CA is the installation's own authority, with its private key; CA()+".crt" is its
// certificate alone, for clients.
func (l Layout) CA() string { return l.join("ca") }

// Joined names the gateways of this folder that have joined a control plane.
func (l Layout) Joined() []string {
	files, _ := filepath.Glob(l.join("gateway", "*", "credential.json")) // the pattern is well formed
	var out []string
	for _, f := range files {
		out = append(out, filepath.Base(filepath.Dir(f)))
	}
	return out
}

// OrderKey signs orders.
func (l Layout) OrderKey() string { return l.join("order.key") }

// SigningKeys is the folder of the keys that were made to take its place.
func (l Layout) SigningKeys() string { return l.join("keys") }

// OperatorToken holds the token of the first operator, mode 0600.
func (l Layout) OperatorToken() string { return l.join("operator.token") }

// Readmit names operators, one a line, who are to be let in anew at the next start.
func (l Layout) Readmit() string { return l.join("readmit") }

// Readmitted holds what such an operator enrols with, mode 0600.
func (l Layout) Readmitted(id string) string { return l.join("readmitted-" + id + ".token") }

// People is the control plane's private file about people, mode 0600.
func (l Layout) People() string { return l.join("people.json") }

// Alerts says up to where each alert endpoint was told, mode 0600.
func (l Layout) Alerts() string { return l.join("alerts.json") }

// Lists is the folder of the control plane's named lists.
func (l Layout) Lists() string { return l.join("lists") }

// Attachments is the folder of the files that belong to incidents.
func (l Layout) Attachments() string { return l.join("attachments") }

// Evidence is the folder of the snapshots that were sealed into the record.
func (l Layout) Evidence() string { return l.join("evidence") }

// Gateway is the folder of one gateway: its last order, emergency orders and lists.
func (l Layout) Gateway(name string) string { return l.join("gateway", name) }

// Dev is the file that `make run` leaves for tools, mode 0600.
func (l Layout) Dev() string { return l.join("dev.json") }

// EmergencyKey is the emergency key that `make run` makes, mode 0600.
func (l Layout) EmergencyKey() string { return l.join("emergency.key") }
