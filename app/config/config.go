// Package config reads andon.yaml: what one installation of Andon is made of.
//
// Values come from the file, then from ANDON_* variables, then from flags; each
// later layer wins, and every value remembers where it came from. Reading is
// strict: a field that is not known, a reference that leads nowhere or a
// variable that is not set is an error that says where, and what is allowed.
// A Config is not changed once Load has returned it.
package config

import (
	"time"
)

// Config is the whole file. One file describes an installation; each half
// (control plane, gateway) reads the sections that it needs.
type Config struct {
	Data    string  `yaml:"data"` // folder for everything that has to last; default ./andon-data
	Control Control `yaml:"control"`
	Gateway Gateway `yaml:"gateway"`
	Sim     Sim     `yaml:"sim"`

	sources map[string]string // path of a value → where it came from
	places  map[string]place  // path of a value → its place in the file
}

// Control is the control plane.
type Control struct {
	Listen         string   `yaml:"listen"`            // HTTP API; default 127.0.0.1:7070
	Store          string   `yaml:"store"`             // sqlite (default): <data>/ledger.db
	Bus            string   `yaml:"bus"`               // embedded (default), or nats://host:port[,nats://…] of a cluster
	Origin         string   `yaml:"origin"`            // name of the ledger in its checkpoints, a URL without scheme; fixed once it exists; default andon.local
	BusListen      string   `yaml:"bus_listen"`        // where the embedded bus takes gateways of other machines; default: nowhere
	Token          string   `yaml:"token"`             // shared secret of the bus, for gateways that have not joined; both halves present the same
	OrderKey       string   `yaml:"order_key"`         // where the key is that signs orders, until another takes its place: file:order.key (default) in the data folder, agent:SHA256:…, pkcs11:token=…;object=…
	LedgerKey      string   `yaml:"ledger_key"`        // where the key is that signs the ledger's checkpoints: file:ledger.key (default) in the data folder, or as order_key
	FormerKey      string   `yaml:"former_ledger_key"` // where the one before it is, once another has been named; signs along until this is taken out
	KeyAgent       string   `yaml:"key_agent"`         // socket of the agent that holds signing keys; default: SSH_AUTH_SOCK
	PKCS11         string   `yaml:"pkcs11"`            // file of the PKCS#11 module by which tokens are reached; none is loaded but this
	PKCS11PIN      string   `yaml:"pkcs11_pin"`        // file that holds the PIN of the token's user, mode 0600
	TLS            TLS      `yaml:"tls"`               // of the API
	BusTLS         TLS      `yaml:"bus_tls"`           // of the embedded bus; left out on a loopback address: both TLS and plaintext
	OIDC           OIDC     `yaml:"oidc"`
	Sessions       Sessions `yaml:"sessions"`
	StepUp         string   `yaml:"step_up"`         // who proves anew who they are before what cannot be undone: factor (default), whoever can; always, everybody. What is irreversible takes it in any case
	TrustedProxies []string `yaml:"trusted_proxies"` // networks whose X-Forwarded-For and X-Forwarded-Proto are believed
	URL            string   `yaml:"url"`             // https://host:port by which gateways that join reach the API; default: the one by which the operator came who made their token

	Witnesses []Witness `yaml:"witnesses"` // outside witnesses (C2SP tlog-witness) that are asked to cosign the ledger's checkpoints; default: gateways alone
	Alerts    []Alert   `yaml:"alerts"`    // who is told of alarms and of every pull of the cord, as Standard Webhooks 1.0; default: nobody. At most 16
}

// Alert is an endpoint that is told. See control.AlertEvents.
type Alert struct {
	Name   string   `yaml:"name"`   // how andon alerts calls it; default: the host of url
	URL    string   `yaml:"url"`    // https://…; http:// on a loopback address
	Secret string   `yaml:"secret"` // whsec_ and 24 to 64 bytes in base64, as the endpoint has it
	Events []string `yaml:"events"` // pull, glass, overdue, gateway, split_view, roster_gap, revoked, endpoint, alarm; default: all
}

// Witness is somebody outside who vouches for the ledger.
type Witness struct {
	URL string `yaml:"url"` // its submission prefix, https://…
	Key string `yaml:"key"` // its public key: <name>+<hash>+<key>, as C2SP tlog-cosignature writes it
}

// TLS says how a listener is protected. Left out, it is plaintext, and that only
// on a loopback address.
type TLS struct {
	Mode     string   `yaml:"mode"`      // auto: certificates of the installation's own authority; off: plaintext, on purpose
	Cert     string   `yaml:"cert"`      // file of the chain in PEM, the leaf first; read again when it changes
	Key      string   `yaml:"key"`       // file of its private key, mode 0600
	ClientCA string   `yaml:"client_ca"` // file of authorities; whoever comes has to present a certificate of one
	Hosts    []string `yaml:"hosts"`     // auto: further names and addresses that the certificate carries
}

// On reports whether a listener is to speak TLS.
func (t *TLS) On() bool { return t.Mode == "auto" || t.Cert != "" }

// Gateway is an enforcement point and what it serves.
type Gateway struct {
	Name           string     `yaml:"name"`            // unique among the gateways of a control plane; default gw-1
	Listen         string     `yaml:"listen"`          // callers; default 127.0.0.1:8080
	Admin          string     `yaml:"admin"`           // health, metrics, emergency orders; default 127.0.0.1:8081
	TLS            TLS        `yaml:"tls"`             // of the callers' listener
	AdminTLS       TLS        `yaml:"admin_tls"`       // of the admin listener
	Join           string     `yaml:"join"`            // join token: the gateway gets credentials of its own, once; only for `andon gateway`, which then needs neither bus nor trust
	CA             string     `yaml:"ca"`              // file of the authority of a bus that speaks TLS, for a gateway that comes with control.token
	Bus            string     `yaml:"bus"`             // nats://host:port of the control plane's bus, or tls://; only for `andon gateway`
	Trust          []string   `yaml:"trust"`           // public keys whose orders are obeyed; only for `andon gateway`
	EmergencyTrust []string   `yaml:"emergency_trust"` // public keys whose emergency orders are obeyed, and adopted by the control plane
	Surface        string     `yaml:"surface"`         // the channel that this gateway serves; default api
	Identity       Identity   `yaml:"identity"`
	Lease          Duration   `yaml:"lease"`          // how long an order is held as current without news; 1s to 1h, default 15s
	MaxBody        Size       `yaml:"max_body"`       // largest request body; default 32MiB
	NoticeURL      string     `yaml:"notice_url"`     // told to callers in refusals
	AppealURL      string     `yaml:"appeal_url"`     // told to callers in refusals
	UnknownModels  string     `yaml:"unknown_models"` // refuse (default), or a model as which unknown names are decided
	GeoIP          string     `yaml:"geoip"`          // file of a country database in MMDB format
	CountryHeader  string     `yaml:"country_header"` // header in which a trusted proxy says the caller's country
	Record         Record     `yaml:"record"`
	SystemPrompts  string     `yaml:"system_prompts"` // off, digests, texts (default): what is kept of those that callers use, in memory alone, for evidence
	PseudonymKey   string     `yaml:"pseudonym_key"`  // secret under which end users and addresses are recorded, the same on all gateways, at least 16 bytes; default: derived from control.token, else one of the gateway's own
	Upstreams      []Upstream `yaml:"upstreams"`
	Models         []Model    `yaml:"models"`
	Detectors      []Detector `yaml:"detectors"`
}

// Detector is a classifier that filters may name.
type Detector struct {
	Name     string   `yaml:"name"`
	Type     string   `yaml:"type"`     // moderation, chat
	URL      string   `yaml:"url"`      // of an OpenAI-compatible API, its version included
	Key      string   `yaml:"key"`      // its credential; empty: none is sent
	Model    string   `yaml:"model"`    // the model that classifies
	Category string   `yaml:"category"` // moderation: whose score counts; empty: the highest
	Policy   string   `yaml:"policy"`   // chat: what is looked for, in words
	Timeout  Duration `yaml:"timeout"`  // 50ms to 60s, default 2s
}

// Record is what a gateway remembers of the calls that it has decided, for
// previews: no prompts, and users and addresses as pseudonyms.
type Record struct {
	Requests Count    `yaml:"requests"` // at most; 1024 to 1048576, default 262144; 0 records nothing
	Keep     Duration `yaml:"keep"`     // at most; 1m to 744h, default 24h
}

// Identity says how a caller is known.
type Identity struct {
	Mode           string   `yaml:"mode"`            // keys (default), header, open
	TrustedProxies []string `yaml:"trusted_proxies"` // networks whose identity headers are believed; header mode needs them
}

// Upstream is a provider, or anything that speaks like one.
type Upstream struct {
	Name    string `yaml:"name"`
	Wire    string `yaml:"wire"`     // openai, anthropic, gemini, all
	BaseURL string `yaml:"base_url"` // scheme, host and an optional path prefix; or Simulated
	Key     string `yaml:"key"`      // the provider's credential; empty: none is sent
	CA      string `yaml:"ca"`       // file of the authorities whose certificates count there; default: those of the system
	Account string `yaml:"account"`  // routes that reach the account and not a model (files, batches, what is stored): pass, refuse; default: pass only where the callers' own credentials travel on, since all others would share one account
}

// Simulated as a base_url stands for the simulated provider of the same process.
const Simulated = "sim:"

// Model is a name that callers use.
type Model struct {
	Name          string   `yaml:"name"`
	Upstream      string   `yaml:"upstream"`
	Version       string   `yaml:"version"`
	UpstreamModel string   `yaml:"upstream_model"` // name sent to the provider; default: name
	OnStale       string   `yaml:"on_stale"`       // once the lease has run out: hold (default), refuse, fallback
	Fallback      string   `yaml:"fallback"`       // model that answers when this one is stopped
	Aliases       []string `yaml:"aliases"`

	Base             string    `yaml:"base"`              // the model that this one is derived from: corrections on it reach this one
	Versions         []Version `yaml:"versions"`          // others that can be served, by their own name or by a pin
	FallbackCapacity Count     `yaml:"fallback_capacity"` // calls at once that it takes for other models; 0 or left out: no bound
	Price            Price     `yaml:"price"`             // what its tokens cost; a bound on what a session spends refuses models without one
}

// Price is what a model's tokens cost, in USD for a million: both, or neither.
type Price struct {
	InputPerM  Amount `yaml:"input_per_m"`
	OutputPerM Amount `yaml:"output_per_m"`
}

// Version is a further version of a model.
type Version struct {
	Version       string `yaml:"version"`
	UpstreamModel string `yaml:"upstream_model"` // name sent to the provider; default: version
}

// Sim is the simulated provider.
type Sim struct {
	Listen string `yaml:"listen"` // `andon serve` starts it only if this is set
	TLS    TLS    `yaml:"tls"`
}

// Default returns the configuration of an empty file.
func Default() *Config {
	return &Config{
		Data: "./andon-data",
		Control: Control{Listen: "127.0.0.1:7070", Store: "sqlite", Bus: "embedded", Origin: "andon.local", StepUp: "factor",
			OIDC: OIDC{RoleClaim: "groups"}, Sessions: Sessions{Idle: Duration(time.Hour), Absolute: Duration(12 * time.Hour)}},
		Gateway: Gateway{
			Name: "gw-1", Listen: "127.0.0.1:8080", Admin: "127.0.0.1:8081", Surface: "api",
			UnknownModels: "refuse",
			SystemPrompts: "texts",
			Identity:      Identity{Mode: "keys"}, Lease: Duration(15 * time.Second), MaxBody: 32 << 20,
			Record: Record{Requests: 1 << 18, Keep: Duration(24 * time.Hour)},
		},
		sources: map[string]string{},
		places:  map[string]place{},
	}
}

// Model returns the model of that name, or nil.
func (g *Gateway) Model(name string) *Model {
	for i := range g.Models {
		if g.Models[i].Name == name {
			return &g.Models[i]
		}
	}
	return nil
}

// Given reports whether somebody set the value at a path.
func (c *Config) Given(path string) bool { return c.sources[path] != "" }

// Source says where the value at a path came from: "default", "andon.yaml:12",
// "environment ANDON_DATA", "flag --data".
func (c *Config) Source(path string) string {
	if s := c.sources[path]; s != "" {
		return s
	}
	return "default"
}
