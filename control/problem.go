package control

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"andon/correction"
	"andon/ledger"
)

// Problem is an error in the form of RFC 9457. Code is stable: programs compare
// it, the texts are for people.
type Problem struct {
	Type     string   `json:"type"`
	Title    string   `json:"title"`
	Status   int      `json:"status"`
	Detail   string   `json:"detail"`
	Code     string   `json:"code"`
	Field    string   `json:"field,omitempty"`   // the one at fault: "params.limit"
	Allowed  []string `json:"allowed,omitempty"` // what may stand there
	Hint     string   `json:"hint,omitempty"`    // what to do
	Retry    bool     `json:"retry"`             // the same request can succeed later
	Instance string   `json:"instance,omitempty"`
}

func (p *Problem) Error() string {
	if p.Field != "" {
		return p.Code + ": " + p.Field + ": " + p.Detail
	}
	return p.Code + ": " + p.Detail
}

// coreCodes have their status and title.
var coreCodes = map[string]code{
	"invalid_json":         {400, "The body is not valid JSON"},
	"unknown_field":        {400, "A field is not known"},
	"invalid_header":       {400, "A header is not valid"},
	"invalid_query":        {400, "The query is not valid"},
	"unauthenticated":      {401, "A valid operator token is needed"},
	"forbidden":            {403, "Your role does not allow this"},
	"unknown_route":        {404, "There is nothing at this address"},
	"not_found":            {404, "Not found"},
	"not_answered":         {504, "Not every gateway has answered"},
	"method_not_allowed":   {405, "The method is not allowed here"},
	"idempotency_conflict": {409, "The idempotency key was used for another request"},
	"not_in_force":         {409, "The correction is no longer in force"},
	"point_live":           {409, "The enforcement point is live"},
	"too_many_apps":        {409, "Too many applications"},
	"list_in_use":          {409, "The list is in use"},
	"in_custody":           {409, "The model is in custody"},
	"out_of_order":         {409, "A step before this one is missing"},
	"not_independent":      {409, "Another person has to do this"},
	"body_too_large":       {413, "The body is too large"},
	"invalid_field":        {422, "A field is not valid"},
	"unknown_model":        {422, "A model is not known"},
	"unknown_list":         {422, "A list is not known"},
	"loosening":            {422, "This would loosen the correction"},
	"order_too_large":      {422, "The order would grow too large"},
	"internal":             {500, "Something went wrong inside"},
	"ledger_unavailable":   {503, "The ledger cannot be written"},
	"ledger_unsure":        {503, "The outcome is not known"},
	"unavailable":          {503, "Not available now"},
	"ledger_full":          {507, "The ledger's disk is full"},
}

func problem(code, detail string) *Problem {
	c, ok := codes[code]
	if !ok {
		panic("control: unknown problem code " + code)
	}
	return &Problem{Type: "urn:andon:problem:" + code, Title: c.title, Status: c.status, Code: code, Detail: detail, Retry: c.status >= 500 && code != "internal"}
}

func badField(field, detail string, allowed ...string) *Problem {
	p := problem("invalid_field", detail)
	p.Field, p.Allowed = field, allowed
	return p
}

// asProblem is the one place where errors get a status.
func asProblem(err error) *Problem {
	var p *Problem
	var f *correction.FieldError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &f):
		return fromField(f)
	case errors.As(err, &tooLarge):
		return problem("body_too_large", "the body may have 8 MiB")
	case errors.Is(err, ledger.ErrFull):
		return problem("ledger_full", "nothing was changed: the ledger could not be written, because the disk is full or refused it. Make room, then send the command again. Gateways enforce on; an emergency order needs no ledger.")
	case errors.Is(err, ledger.ErrUnsure):
		return problem("ledger_unsure", "the disk failed while the command was made durable. Whether it stands will be known once the control plane was restarted; look before you send it again.")
	case errors.Is(err, ledger.ErrTooLarge):
		return problem("body_too_large", "the command is too large for one ledger entry; nothing was changed")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return problem("unavailable", "the request ended before its turn came; nothing was changed")
	case errors.Is(err, ledger.ErrConflict):
		return problem("ledger_unavailable", "somebody else writes to the ledger all the time; nothing was changed")
	case errors.Is(err, errLedger):
		return problem("ledger_unavailable", "the ledger cannot be written; nothing was changed. Gateways enforce on; an emergency order needs no ledger.")
	}
	return problem("internal", "an unexpected error; the control plane's log says more")
}

// fromField keeps what the correction package says about a field, and gives it
// a code: shape is 400, meaning is 422.
func fromField(f *correction.FieldError) *Problem {
	code := "invalid_field"
	switch {
	case strings.HasPrefix(f.Detail, "unknown field"):
		code = "unknown_field"
	case strings.HasPrefix(f.Detail, "not valid JSON"):
		code = "invalid_json"
	case strings.HasPrefix(f.Detail, "wrong type"):
		code = "invalid_json"
	}
	p := problem(code, f.Detail)
	p.Field, p.Allowed = f.Field, f.Allowed
	return p
}
