package control

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"andon/correction"
)

// maxBody bounds a request's body, in bytes.
const maxBody = 8 << 20

// call is one authenticated request.
type call struct {
	w  http.ResponseWriter
	r  *http.Request
	op *operator // nil on open routes
}

// route is one operation of the API.
type route struct {
	method  string
	path    string // pattern of http.ServeMux, without the method
	command string // name of the operation; "" if it changes nothing
	open    bool   // needs no token
	serve   func(*Control, *call) error
}

// coreTable is the API of corrections, keys, lists, points and the record.
var coreTable = []route{
	{"POST", "/api/v1/corrections", "correction.create", false, (*Control).postCorrection},
	{"GET", "/api/v1/corrections", "", false, (*Control).getCorrections},
	{"POST", "/api/v1/corrections/preview", "", false, (*Control).postPreview},
	{"GET", "/api/v1/corrections/{id}", "", false, (*Control).getCorrection},
	{"POST", "/api/v1/proposals", "", false, (*Control).postProposals},
	{"GET", "/api/v1/proposals/threats", "", false, (*Control).getThreats},
	{"POST", "/api/v1/corrections/{id}/lift", "correction.lift", false, (*Control).postLift},
	{"POST", "/api/v1/corrections/{id}/extend", "correction.extend", false, (*Control).postExtend},
	{"POST", "/api/v1/corrections/{id}/ratify", "correction.ratify", false, (*Control).postRatify},
	{"POST", "/api/v1/corrections/{id}/unlink", "correction.unlink", false, (*Control).postUnlink},
	{"POST", "/api/v1/corrections/{id}/acknowledge", "correction.acknowledge", false, (*Control).postAcknowledge},
	{"GET", "/api/v1/corrections/{id}/acknowledgements", "", false, (*Control).getAcknowledgements},
	{"GET", "/api/v1/points", "", false, (*Control).getPoints},
	{"DELETE", "/api/v1/points/{name}", "point.remove", false, (*Control).deletePoint},
	{"POST", "/api/v1/keys", "key.create", false, (*Control).postKey},
	{"GET", "/api/v1/keys", "", false, (*Control).getKeys},
	{"GET", "/api/v1/keys/{id}", "", false, (*Control).getKey},
	{"DELETE", "/api/v1/keys/{id}", "key.revoke", false, (*Control).deleteKey},
	{"GET", "/api/v1/lists", "", false, (*Control).getLists},
	{"GET", "/api/v1/lists/{name}", "", false, (*Control).getList},
	{"PUT", "/api/v1/lists/{name}", "list.put", false, (*Control).putList},
	{"DELETE", "/api/v1/lists/{name}", "list.remove", false, (*Control).deleteList},
	{"POST", "/api/v1/lists/{name}/add", "list.add", false, (*Control).postListAdd},
	{"POST", "/api/v1/lists/{name}/remove", "list.remove_entries", false, (*Control).postListRemove},
	{"GET", "/api/v1/requests/{id}", "", false, (*Control).getRequest},
	{"GET", "/api/v1/apps", "", false, (*Control).getApps},
	{"PUT", "/api/v1/apps/{name}", "app.register", false, (*Control).putApp},
	{"DELETE", "/api/v1/apps/{name}", "app.remove", false, (*Control).deleteApp},
	{"GET", "/api/v1/works", "", false, (*Control).getWorks},
	{"GET", "/api/v1/holds", "", false, (*Control).getHolds},
	{"POST", "/api/v1/holds/{id}/release", "hold.decide", false, (*Control).postRelease},
	{"POST", "/api/v1/holds/{id}/reject", "hold.decide", false, (*Control).postReject},
	{"GET", "/api/v1/kinds", "", false, (*Control).getKinds},
	{"GET", "/api/v1/use-cases", "", false, (*Control).getUseCases},
	{"GET", "/api/v1/models", "", false, (*Control).getModels},
	{"POST", "/api/v1/custody", "custody.open", false, (*Control).postCase},
	{"GET", "/api/v1/custody", "", false, (*Control).getCases},
	{"GET", "/api/v1/custody/{id}", "", false, (*Control).getCase},
	{"POST", "/api/v1/custody/{id}/copies", typeListed, false, custodyPost[copyStep](typeListed)},
	{"POST", "/api/v1/custody/{id}/inventory", typeDeclared, false, custodyPost[inventoryStep](typeDeclared)},
	{"POST", "/api/v1/custody/{id}/transfers", typeOffered, false, custodyPost[transferStep](typeOffered)},
	{"POST", "/api/v1/custody/{id}/transfers/{transfer}/accept", typeTaken, false, custodyPost[acceptStep](typeTaken)},
	{"POST", "/api/v1/custody/{id}/credentials", typeCredential, false, custodyPost[credentialStep](typeCredential)},
	{"POST", "/api/v1/custody/{id}/propose", typeProposed, false, custodyPost[proposeStep](typeProposed)},
	{"POST", "/api/v1/custody/{id}/approve", typeApproved, false, custodyPost[approveStep](typeApproved)},
	{"POST", "/api/v1/custody/{id}/withdraw", typeWithdrawn, false, custodyPost[withdrawStep](typeWithdrawn)},
	{"POST", "/api/v1/custody/{id}/seal", typeSealed, false, custodyPost[sealStep](typeSealed)},
	{"POST", "/api/v1/custody/{id}/unseal", typeUnsealed, false, custodyPost[unsealStep](typeUnsealed)},
	{"POST", "/api/v1/custody/{id}/legal-hold", typeLegalHold, false, custodyPost[legalHoldStep](typeLegalHold)},
	{"POST", "/api/v1/custody/{id}/copies/{copy}/destroy", typeDestroying, false, custodyPost[destroyStep](typeDestroying)},
	{"POST", "/api/v1/custody/{id}/copies/{copy}/witness", typeWitnessed, false, custodyPost[witnessStep](typeWitnessed)},
	{"POST", "/api/v1/custody/{id}/destroyed", typeDestroyed, false, custodyPost[finishStep](typeDestroyed)},
	{"GET", "/api/v1/custody/{id}/certificate", "", false, (*Control).getCertificate},
	{"GET", "/api/v1/events", "", false, (*Control).getEvents},
	{"GET", "/api/v1/ledger", "", false, (*Control).getLedger},
	{"GET", "/api/v1/ledger/checkpoint", "", false, (*Control).getCheckpoint},
	{"GET", "/api/v1/ledger/tile/{path...}", "", false, (*Control).getTile},
	{"GET", "/api/v1/ledger/entries/{n}", "", false, (*Control).getEntry},
	{"GET", "/api/v1/openapi.json", "", true, (*Control).getOpenAPI},
	{"GET", "/healthz", "", true, (*Control).getHealth},
	{"GET", "/metrics", "", true, (*Control).getMetrics},
}

// routes builds the handler from the table.
func (c *Control) routes() http.Handler {
	mux := http.NewServeMux()
	byPath := map[string]map[string]*route{}
	for i := range table {
		rt := &table[i]
		if byPath[rt.path] == nil {
			byPath[rt.path] = map[string]*route{}
		}
		byPath[rt.path][rt.method] = rt
	}
	for p, methods := range byPath {
		mux.HandleFunc(p, func(w http.ResponseWriter, r *http.Request) { c.dispatch(w, r, methods) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		c.fail(w, r, problem("unknown_route", "there is nothing at this path; GET /api/v1/openapi.json lists what there is"))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		// The mux would redirect a path that is not clean; a command must not be
		// sent twice, nor somewhere else.
		if p := r.URL.Path; p != path.Clean(p) || r.Method == http.MethodConnect {
			c.fail(w, r, problem("unknown_route", "the path is not in its plain form"))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (c *Control) dispatch(w http.ResponseWriter, r *http.Request, methods map[string]*route) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet // net/http drops the body
	}
	rt := methods[method]
	if rt == nil {
		var allow []string
		for m := range methods {
			allow = append(allow, m)
			if m == http.MethodGet {
				allow = append(allow, http.MethodHead)
			}
		}
		slices.Sort(allow)
		w.Header().Set("Allow", strings.Join(allow, ", "))
		p := problem("method_not_allowed", "this address does not take "+short(r.Method))
		p.Allowed = allow
		c.fail(w, r, p)
		return
	}
	cl := &call{w: w, r: r}
	if !rt.open {
		err := c.certified(r)
		if err == nil {
			err = c.enter(w, cl, rt)
		}
		if err != nil {
			c.fail(w, r, err)
			return
		}
		r = cl.r
	}
	r.Body = http.MaxBytesReader(w, r.Body, rt.bodyLimit())
	began := time.Now()
	err := rt.serve(c, cl)
	if w := (*waits)(nil); errors.As(err, &w) {
		err = c.waiting(cl, w)
	}
	if rt.command != "" {
		result := "done"
		if err != nil {
			result = asProblem(err).Code
		}
		c.metrics.commands.WithLabelValues(rt.command, result).Inc()
		c.metrics.seconds.WithLabelValues(rt.command).Observe(time.Since(began).Seconds())
		who := "nobody yet"
		if cl.op != nil {
			who = cl.op.id
		}
		c.log.Info("command", "type", rt.command, "operator", who, "result", result, "took", time.Since(began))
	}
	if err != nil {
		c.fail(w, r, err)
	}
}

// fail answers with a problem. What is behind an internal error goes to the log
// alone, under the instance that the answer names.
func (c *Control) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := *asProblem(err)
	if p.Status >= 500 {
		var b [8]byte
		rand.Read(b[:])
		p.Instance = "urn:andon:error:" + hex.EncodeToString(b[:])
		c.log.Error("request failed", "instance", p.Instance, "method", r.Method, "path", r.URL.Path, "code", p.Code, "error", err)
	}
	if p.Retry && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", "5")
	}
	if p.Status == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
		w.Header().Set("WWW-Authenticate", `Bearer realm="andon"`)
	}
	data, err := json.Marshal(&p)
	if err != nil {
		panic("control: encode problem: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	w.Write(append(data, '\n'))
}

// reply answers with JSON.
func (cl *call) reply(status int, v any) error {
	data, err := json.Marshal(v, json.Deterministic(true), json.FormatNilSliceAsNull(false))
	if err != nil {
		return err
	}
	cl.w.Header().Set("Content-Type", "application/json")
	cl.w.WriteHeader(status)
	cl.w.Write(append(data, '\n'))
	return nil
}

func (cl *call) body() ([]byte, error) {
	data, err := io.ReadAll(cl.r.Body)
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, err
		}
		return nil, problem("invalid_json", "the body ended too early, or too late")
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, problem("invalid_json", "the body is empty; send a JSON object")
	}
	return data, nil
}

// decode reads a body strictly: an unknown field is refused and named.
func decode[T any](cl *call) (T, error) {
	var v T
	data, err := cl.body()
	if err != nil {
		return v, err
	}
	err = json.Unmarshal(data, &v, json.RejectUnknownMembers(true))
	if err == nil {
		return v, nil
	}
	var sem *json.SemanticError
	if errors.As(err, &sem) && errors.Is(sem.Err, json.ErrUnknownName) {
		p := problem("unknown_field", "unknown field "+short(sem.JSONPointer.LastToken()))
		p.Field = short(strings.ReplaceAll(strings.TrimPrefix(string(sem.JSONPointer), "/"), "/", "."))
		in := sem.GoType // what has no such field, which can stand deep in the body
		if in == nil || in.Kind() != reflect.Struct {
			in = reflect.TypeFor[T]()
		}
		for _, f := range reflect.VisibleFields(in) {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
				p.Allowed = append(p.Allowed, name)
			}
		}
		return v, p
	}
	if sem != nil {
		p := problem("invalid_json", "cannot be read")
		p.Field = short(strings.ReplaceAll(strings.TrimPrefix(string(sem.JSONPointer), "/"), "/", "."))
		if sem.Err != nil {
			p.Detail += ": " + sem.Err.Error()
		}
		return v, p
	}
	return v, problem("invalid_json", err.Error())
}

// decodeCorrection reads a correction, with the hash of its canonical form.
func (cl *call) decodeCorrection() (correction.Correction, string, error) {
	data, err := cl.body()
	if err != nil {
		return correction.Correction{}, "", err
	}
	cor, err := correction.Parse(data)
	if err != nil {
		return cor, "", err
	}
	v := jsontext.Value(data)
	if err := v.Canonicalize(); err != nil { // Parse has read it, so this does not fail
		return cor, "", problem("invalid_json", err.Error())
	}
	sum := sha256.Sum256(v)
	return cor, hex.EncodeToString(sum[:]), nil
}

// idempotency reads the Idempotency-Key header; nil if there is none.
func (cl *call) idempotency(request string) (*idempotency, error) {
	values := cl.r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return nil, nil
	}
	key := values[0]
	if len(values) > 1 || key == "" || len(key) > 255 || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		p := problem("invalid_header", "Idempotency-Key must be given once, as 1 to 255 visible ASCII characters")
		p.Field = "Idempotency-Key"
		return nil, p
	}
	return &idempotency{key, request}, nil
}

func (c *Control) getMetrics(cl *call) error {
	promhttp.HandlerFor(c.metrics.registry, promhttp.HandlerOpts{}).ServeHTTP(cl.w, cl.r)
	return nil
}

// getHealth says whether commands can be taken, not whether gateways are well.
func (c *Control) getHealth(cl *call) error {
	c.mu.RLock()
	broken, revision := c.broken, c.state.revision
	c.mu.RUnlock()
	if broken != nil {
		return problem("unavailable", "the control plane could not follow its own ledger and takes no more commands; its log says why")
	}
	return cl.reply(http.StatusOK, healthView{"ok", revision})
}

type healthView struct {
	Status   string `json:"status"`
	Revision uint64 `json:"revision"`
}
