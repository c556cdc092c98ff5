package openai

import (
	"andon/wire"
)

// errorType is the type of an error by its status, as the API names them.
func errorType(status int) string {
	switch {
	case status == 401:
		return "authentication_error"
	case status == 403 || status == 451:
		return "permission_error"
	case status == 404:
		return "not_found_error"
	case status == 429:
		return "rate_limit_error"
	case status == 503:
		return "service_unavailable_error"
	case status >= 500:
		return "server_error"
	default:
		return "invalid_request_error"
	}
}

// AppendError: the envelope from which the SDKs fill message, type, param and
// code of their exceptions; they choose its class by the HTTP status.
func (api) AppendError(dst []byte, p *wire.Problem) []byte {
	dst = append(dst, '{')
	dst = appendErrorMember(dst, p)
	return append(dst, '}')
}

func appendErrorMember(dst []byte, p *wire.Problem) []byte {
	dst = append(dst, `"error":{"message":`...)
	dst = wire.AppendString(dst, p.Message())
	dst = append(dst, `,"type":`...)
	dst = wire.AppendString(dst, errorType(p.Status))
	dst = append(dst, `,"param":`...)
	dst = appendOrNull(dst, p.Param)
	dst = p.AppendMembers(dst, "code", true)
	return append(dst, '}')
}

func appendOrNull(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return wire.AppendBounded(dst, s, 256)
}

// AppendStreamEnd: one event whose data has an "error" object, which is what
// makes the SDKs raise in mid-stream (openai-go's ssestream, npm's streaming.ts,
// Python's _streaming.py), on every route. They do not raise for the responses
// API's own event of type "error", whose members are flat; so on that route
// both are there: the type and members of that event, and the object. No [DONE]
// follows: it would make a cut answer look complete.
func (api) AppendStreamEnd(dst []byte, rt wire.Route, p *wire.Problem) []byte {
	if rt.API != Responses {
		dst = append(dst, "data: {"...)
		dst = appendErrorMember(dst, p)
		return append(dst, "}\n\n"...)
	}
	dst = append(dst, "event: error\ndata: {\"type\":\"error\",\"sequence_number\":0,\"code\":"...)
	dst = wire.AppendString(dst, p.Code)
	dst = append(dst, `,"message":`...)
	dst = wire.AppendString(dst, p.Message())
	dst = append(dst, `,"param":`...)
	dst = appendOrNull(dst, p.Param)
	dst = append(dst, ',')
	dst = appendErrorMember(dst, p)
	return append(dst, "}\n\n"...)
}

func (api) AppendModels(dst []byte, rt wire.Route, names []string) []byte {
	if rt.Op == wire.OpGetModel {
		if len(names) == 0 {
			return dst
		}
		return appendModel(dst, names[0])
	}
	dst = append(dst, `{"object":"list","data":[`...)
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendModel(dst, name)
	}
	return append(dst, `]}`...)
}

func appendModel(dst []byte, name string) []byte {
	dst = append(dst, `{"id":`...)
	dst = wire.AppendString(dst, name)
	return append(dst, `,"object":"model","created":0,"owned_by":"andon"}`...)
}
