package control

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"andon/ledger"
	"andon/order"
)

// appAttribute is the attribute of a key that says which application it belongs to.
const appAttribute = "app="

// maxApps bounds how many applications can be registered.
const maxApps = 10_000

// appBody registers an application, or registers it anew: what it is for holds
// for every key with the attribute app=NAME, those there are and those to come.
type appBody struct {
	Name     string   `json:"name"`
	UseCases []string `json:"use_cases"`
	Reason   string   `json:"reason"`
}

type removedAppBody struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// appRecord is a registered application.
type appRecord struct {
	appBody
	at time.Time
	by string
}

// stands is a key as gateways get it: with the use cases of its application.
func (s *state) stands(k order.Key) order.Key {
	for _, a := range k.Attributes {
		name, ok := strings.CutPrefix(a, appAttribute)
		if !ok {
			continue
		}
		if app := s.apps[name]; app != nil {
			all := slices.Concat(k.UseCases, app.UseCases)
			slices.Sort(all)
			k.UseCases = slices.Compact(all)
		}
	}
	return k
}

// foldApp changes what an application is for; nil takes its registration away.
func (s *state) foldApp(e ledger.Entry, o *order.Order, name string, next *appRecord) (func(), error) {
	if name == "" || next == nil && s.apps[name] == nil {
		return nil, fmt.Errorf("application %q: %w", name, errForm)
	}
	before, weight := s.apps[name], 0
	var reached []*keyRecord
	set := func(a *appRecord) {
		if a == nil {
			delete(s.apps, name)
		} else {
			s.apps[name] = a
		}
	}
	for _, k := range s.keyList {
		if !k.revokedAt.IsZero() || !slices.Contains(k.Attributes, appAttribute+name) {
			continue
		}
		set(before)
		weight -= weigh(s.stands(k.Key))
		set(next)
		now := s.stands(k.Key)
		weight += weigh(now)
		o.PutKeys = append(o.PutKeys, now)
		reached = append(reached, k)
	}
	set(before)
	return func() {
		set(next)
		s.weight += weight
		for _, k := range reached {
			k.revision = s.revision
		}
	}, nil
}

// appView is an application as the API shows it.
type appView struct {
	Name         string    `json:"name"`
	UseCases     []string  `json:"use_cases"`
	Keys         int       `json:"keys"` // in force
	RegisteredAt time.Time `json:"registered_at"`
	RegisteredBy string    `json:"registered_by"`
}

type appList struct {
	Apps []appView `json:"apps"`
}

// appSpec is what an application is for.
type appSpec struct {
	UseCases []string `json:"use_cases"`
	Reason   string   `json:"reason"`
}

func (c *Control) getApps(cl *call) error {
	if err := cl.op.may("app.read"); err != nil {
		return err
	}
	c.mu.RLock()
	list := appList{Apps: []appView{}}
	for _, a := range c.state.apps {
		list.Apps = append(list.Apps, c.state.appView(a))
	}
	c.mu.RUnlock()
	slices.SortFunc(list.Apps, func(a, b appView) int { return strings.Compare(a.Name, b.Name) })
	return cl.reply(http.StatusOK, list)
}

func (s *state) appView(a *appRecord) appView {
	v := appView{Name: a.Name, UseCases: a.UseCases, RegisteredAt: a.at, RegisteredBy: a.by}
	for _, k := range s.keyList {
		if k.revokedAt.IsZero() && slices.Contains(k.Attributes, appAttribute+a.Name) {
			v.Keys++
		}
	}
	return v
}

// putApp registers an application.
func (c *Control) putApp(cl *call) error {
	if err := cl.op.may("app.register"); err != nil {
		return err
	}
	spec, err := decode[appSpec](cl)
	if err != nil {
		return err
	}
	name := cl.r.PathValue("name")
	if err := checkLine("name", name, maxKeyText-len(appAttribute)); err != nil {
		return err
	}
	if err := reasonGiven(spec.Reason); err != nil {
		return err
	}
	if len(spec.UseCases) == 0 {
		return badField("use_cases", "missing: say what the application is for")
	}
	checked, err := keySpec{Org: "-", UseCases: spec.UseCases}.key(c.cfg.Now())
	if err != nil {
		return err
	}
	what := appWhat{Put: &appBody{Name: name, UseCases: checked.UseCases, Reason: spec.Reason}}
	if err := c.changeApp(cl, name, spec.Reason, what); err != nil {
		return err
	}
	c.mu.RLock()
	v := c.state.appView(c.state.apps[name])
	c.mu.RUnlock()
	return cl.reply(http.StatusOK, v)
}

// deleteApp takes the registration of an application away. Its keys stay.
func (c *Control) deleteApp(cl *call) error {
	if err := cl.op.may("app.remove"); err != nil {
		return err
	}
	name, reason := cl.r.PathValue("name"), cl.r.URL.Query().Get("reason")
	if err := reasonGiven(reason); err != nil {
		return err
	}
	if err := c.changeApp(cl, name, reason, appWhat{Remove: &removedAppBody{name, reason}}); err != nil {
		return err
	}
	cl.w.WriteHeader(http.StatusNoContent)
	return nil
}

// appWhat is a change of an application; one of the two is given.
type appWhat struct {
	Put    *appBody        `json:"put,omitempty"`
	Remove *removedAppBody `json:"remove,omitempty"`
}

// changeApp registers an application or takes it away. Where that lets somebody
// through whom a correction holds by what they are for, it is agreed to like any
// loosening.
func (c *Control) changeApp(cl *call, name, reason string, what appWhat) error {
	id := ""
	_, err := c.execute(cl.r.Context(), cl.op.id, func(s *state, now time.Time) (drafts []draft, err error) {
		id = ""
		rs := s.appLoosens(name, what.Put)
		if len(rs) == 0 {
			return s.draftApp(what)
		}
		drafts, id, err = c.draftAct(s, cl.op, wanted{questions: s.loosening(rs), do: "app", subject: "application " + name,
			says: "change what the application " + short(name) + " is for, by which " + rs[0].ID + " tells calls apart", what: what, reason: reason}, now)
		return drafts, err
	})
	if err == nil && id != "" {
		return &waits{id}
	}
	return err
}

// doApp carries out what was agreed to.
func doApp(_ *Control, s *state, _ *operator, what jsontext.Value, _ time.Time) ([]draft, error) {
	b, err := read[appWhat](what)
	if err != nil {
		return nil, err
	}
	return s.draftApp(b)
}

func (s *state) draftApp(what appWhat) ([]draft, error) {
	if what.Put == nil {
		if s.apps[what.Remove.Name] == nil {
			return nil, problem("not_found", "there is no application "+strconv.Quote(short(what.Remove.Name)))
		}
		return []draft{{typeAppRemoved, *what.Remove}}, nil
	}
	name := what.Put.Name
	if s.apps[name] == nil && len(s.apps) >= maxApps {
		return nil, problem("too_many_apps", "at most "+strconv.Itoa(maxApps)+" applications can be registered; remove some")
	}
	more := 0
	for _, k := range s.keyList {
		if k.revokedAt.IsZero() && slices.Contains(k.Attributes, appAttribute+name) {
			more += weigh(what.Put.UseCases)
		}
	}
	return []draft{{typeApp, *what.Put}}, s.room(more)
}

// appLoosens are the corrections in force that could let a call through once an
// application is for something else; nil: it is taken away.
func (s *state) appLoosens(name string, next *appBody) (out []*record) {
	var was, is []string
	if old := s.apps[name]; old != nil {
		was = old.UseCases
	}
	if next != nil {
		is = next.UseCases
	}
	misses := func(a, b []string) bool {
		return slices.ContainsFunc(a, func(u string) bool { return !slices.Contains(b, u) })
	}
	less, more := misses(was, is), misses(is, was)
	if !less && !more || !slices.ContainsFunc(s.keyList, func(k *keyRecord) bool {
		return k.revokedAt.IsZero() && slices.Contains(k.Attributes, appAttribute+name)
	}) {
		return nil
	}
	for _, r := range s.list {
		if r.gone != "" {
			continue
		}
		sc, ex := &r.Scope, r.Except
		named, only := len(sc.UseCases) > 0, r.Params.Mode == allowOnly
		told := strings.Contains(sc.When, "use_cases") || ex != nil && strings.Contains(ex.When, "use_cases")
		holds := named && !only || r.Params.UseCase != ""
		spares := named && only || ex != nil && len(ex.UseCases) > 0
		if told || less && holds || more && spares {
			out = append(out, r)
		}
	}
	return out
}
