package wire

import (
	"bytes"
	"strconv"

	"andon/wire/scan"
)

// Line is one request of a batch. Its strings alias the batch.
type Line struct {
	N     int    // from 1
	ID    string // the caller's own name for it: custom_id, or key
	Route Route  // that it would take by itself
	Body  Region // of its body, in the batch
}

var (
	fileLineNames = scan.NewNames(false, "custom_id", "method", "url", "body")
	batchNames    = scan.NewNames(false, "requests")
	requestNames  = scan.NewNames(false, "custom_id", "params")
	keyedNames    = scan.NewNames(true, "key", "request")
	inlineNames   = [...]*scan.Names{ // by depth
		scan.NewNames(true, "batch"), scan.NewNames(true, "inputConfig"), scan.NewNames(true, "requests", "fileName"), scan.NewNames(true, "requests"),
	}
)

// BatchLines calls fn for each request of a batch, in order, with what Read
// reads of its body, so that each can be decided like a request of its own. The
// envelope is reused: clone what is kept. data is, by wire:
//
//	openai     a file of purpose "batch": one object a line, with custom_id, method, url and body
//	anthropic  the body of POST /v1/messages/batches
//	gemini     the body of batchGenerateContent (rt is its route), or a file for it: one object
//	           a line, with key and request
//
// A request that cannot be read, one of a route that is not known or takes no
// JSON, one that asks for a stream, and a batch of none are errors that name the
// line. fn's error ends the reading and is returned as it is.
func BatchLines(w Wire, rt Route, data []byte, fn func(l Line, e *Envelope) error) error {
	b := batch{w: w, rt: rt, data: data, fn: fn}
	var err error
	switch {
	case w.Name() == "anthropic":
		err = b.messages()
	case w.Name() == "gemini" && rt.Body == BodyJSON:
		err = b.inline()
	default:
		err = b.file()
	}
	if err == nil && b.n == 0 && !b.elsewhere {
		return &Problem{Status: 400, Code: "empty_batch", Title: "The batch cannot be used", Detail: "the batch has no requests"}
	}
	return err
}

type batch struct {
	w    Wire
	rt   Route
	data []byte
	fn   func(Line, *Envelope) error

	n         int
	e         Envelope
	elsewhere bool // the requests are in a file
}

// fail says which line could not be read. Its bytes are counted in the line.
func (b *batch) fail(err error) error {
	p := AsProblem(err)
	if p == nil {
		return err
	}
	q := *p
	q.Title = "The batch cannot be used"
	q.Detail = "line " + strconv.Itoa(b.n) + ": " + q.Detail
	return &q
}

func (b *batch) problem(code, param, detail string) error {
	return b.fail(&Problem{Status: 400, Code: code, Param: param, Detail: detail})
}

// file reads one object a line. The last line may lack its end; empty lines at
// the end are none.
func (b *batch) file() error {
	rest, at := b.data, 0
	for len(rest) > 0 {
		line := rest
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			line, rest = rest[:i], rest[i+1:]
		} else {
			rest = nil
		}
		from := at
		at += len(line) + 1
		if len(bytes.Trim(line, " \t\r")) == 0 {
			if len(bytes.TrimSpace(rest)) > 0 {
				b.n++
				return b.problem("empty_line", "", "the line is empty")
			}
			return nil
		}
		b.n++
		var err error
		if b.w.Name() == "gemini" {
			err = b.keyed(line, from)
		} else {
			err = b.addressed(line, from)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addressed reads a line that says where its request goes.
func (b *batch) addressed(line []byte, from int) error {
	s := scan.New(line)
	defer s.Free()
	var id, method, url string
	var body Region
	if s.Object() {
		for name, ok := s.Member(); ok; name, ok = s.Member() {
			switch string(name) {
			case "custom_id":
				id, _, _ = s.Text()
			case "method":
				method, _, _ = s.Text()
			case "url":
				url, _, _ = s.Text()
			case "body":
				body = s.Skip()
			default:
				s.Other(name, fileLineNames)
			}
		}
	}
	if err := s.End(); err != nil {
		return b.fail(BadBody(err))
	}
	rt, ok := b.w.Match(method, url, "", nil)
	if !ok || rt.Body != BodyJSON && rt.Body != BodyEither || rt.ModelIn != ModelInBody {
		return b.problem("unknown_route", "url", "this method and url are not ones that a batch can ask")
	}
	return b.line(id, rt, line[body.Start:body.End], from+body.Start)
}

// line reads one request and hands it on.
func (b *batch) line(id string, rt Route, body []byte, from int) error {
	if err := b.w.Read(rt, body, &b.e); err != nil {
		return b.fail(err)
	}
	if b.e.Stream {
		return b.problem("stream_in_batch", "stream", "a request of a batch cannot be a stream")
	}
	return b.fn(Line{N: b.n, ID: id, Route: rt, Body: Region{Start: from, End: from + len(body)}}, &b.e)
}

// messages reads the body of a batch of messages. The requests are read after
// the body, so that a scanner is not held while fn runs.
func (b *batch) messages() error {
	rt, ok := b.w.Match("POST", "/v1/messages", "", nil)
	if !ok {
		return b.problem("unknown_route", "", "messages are not known")
	}
	s := scan.New(b.data)
	defer s.Free()
	if s.Object() {
		for name, ok := s.Member(); ok; name, ok = s.Member() {
			if string(name) != "requests" {
				s.Other(name, batchNames)
				continue
			}
			if !s.Array() {
				continue
			}
			for s.Element() {
				b.n++
				var id string
				var params Region
				if s.Object() {
					for name, ok := s.Member(); ok; name, ok = s.Member() {
						switch string(name) {
						case "custom_id":
							id, _, _ = s.Text()
						case "params":
							params = s.Skip()
						default:
							s.Other(name, requestNames)
						}
					}
				}
				if s.Err() != nil {
					return b.fail(BadBody(s.Err()))
				}
				if err := b.line(id, rt, b.data[params.Start:params.End], params.Start); err != nil {
					return err
				}
			}
		}
	}
	if err := s.End(); err != nil {
		return BadBody(err)
	}
	return nil
}

// asked is the route that a request of a Gemini batch takes.
func (b *batch) asked() Route {
	rt := b.rt
	rt.API, rt.Op, rt.Features, rt.ModelIn, rt.Body = "gemini.generateContent", OpGenerate, 0, ModelInPath, BodyJSON
	return rt
}

// keyed reads a line of a file of requests to one model.
func (b *batch) keyed(line []byte, from int) error {
	s := scan.New(line)
	defer s.Free()
	id, request := b.request(s)
	if err := s.End(); err != nil {
		return b.fail(BadBody(err))
	}
	return b.line(id, b.asked(), line[request.Start:request.End], from+request.Start)
}

// request reads an object that has a request.
func (b *batch) request(s *scan.Scanner) (id string, at Region) {
	if s.Object() {
		for name, ok := s.Member(); ok; name, ok = s.Member() {
			switch string(name) {
			case "key":
				id, _, _ = s.Text()
			case "request":
				at = s.Skip()
			default:
				s.Other(name, keyedNames)
			}
		}
	}
	return id, at
}

// inline reads the requests in a Gemini batch's own body: batch, inputConfig,
// requests, requests. Where there is a file name instead, the requests are in
// that file, and were decided when it came in or cannot be.
func (b *batch) inline() error {
	s := scan.New(b.data)
	defer s.Free()
	var err error
	var walk func(depth int)
	walk = func(depth int) {
		if !s.Object() {
			return
		}
		for name, ok := s.Member(); ok && err == nil; name, ok = s.Member() {
			n := string(name)
			switch {
			case depth == 0 && n == "batch", depth == 1 && (n == "inputConfig" || n == "input_config"), depth == 2 && n == "requests":
				walk(depth + 1)
			case depth == 2 && (n == "fileName" || n == "file_name"):
				v, _, _ := s.Text()
				b.elsewhere = b.elsewhere || v != ""
			case depth == 3 && n == "requests":
				if !s.Array() {
					continue
				}
				for err == nil && s.Element() {
					b.n++
					id, at := b.request(s)
					if s.Err() == nil {
						err = b.line(id, b.asked(), b.data[at.Start:at.End], at.Start)
					}
				}
			default:
				s.Other(name, inlineNames[depth])
			}
		}
	}
	walk(0)
	if err != nil {
		return err
	}
	if err := s.End(); err != nil {
		return BadBody(err)
	}
	return nil
}
