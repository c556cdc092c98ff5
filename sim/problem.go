package sim

import (
	"net/http"
	"strconv"
)

// refuse answers with an error of the wire. An empty message means the one
// that belongs to the status. 429 and 503 carry Retry-After.
func (c *call) refuse(status int, message string) {
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable || status == 529 {
		c.w.Header()["Retry-After"] = retryAfter
	}
	c.ended(endComplete)
	c.send(status, typeJSON, c.wire.appendError(nil, status, message, c.seq))
}

// appendError appends a wire's error body.
func (w wire) appendError(b []byte, status int, message string, seq uint64) []byte {
	if message == "" {
		message = statusMessage(status)
	}
	switch w {
	case anthropic:
		b = append(b, `{"type":"error","error":{"type":"`...)
		b = append(b, anthropicError(status)...)
		b = append(b, `","message":`...)
		b = quote(b, message)
		b = append(b, `},"request_id":"`...)
		b = appendID(b, "req_", seq)
		return append(b, `"}`...)
	case gemini:
		b = append(b, `{"error":{"code":`...)
		b = strconv.AppendInt(b, int64(status), 10)
		b = append(b, `,"message":`...)
		b = quote(b, message)
		b = append(b, `,"status":"`...)
		b = append(b, geminiStatus(status)...)
		b = append(b, '"')
		if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
			b = append(b, `,"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1s"}]`...)
		}
		return append(b, `}}`...)
	}
	kind, code := openaiError(status)
	b = append(b, `{"error":{"message":`...)
	b = quote(b, message)
	b = append(b, `,"type":"`...)
	b = append(b, kind...)
	b = append(b, `","param":null,"code":`...)
	if code == "" {
		b = append(b, `null`...)
	} else {
		b = quote(b, code)
	}
	return append(b, `}}`...)
}

func statusMessage(status int) string {
	switch status {
	case 401:
		return "Simulated error: the key is not valid."
	case 404:
		return "Simulated error: the model does not exist or you do not have access to it."
	case 429:
		return "Simulated error: the rate limit was reached."
	case 503, 529:
		return "Simulated error: the provider is overloaded."
	}
	if t := http.StatusText(status); t != "" {
		return "Simulated error: " + t + "."
	}
	return "Simulated error " + strconv.Itoa(status) + "."
}

// openaiError gives the type and the code of OpenAI's error object.
func openaiError(status int) (kind, code string) {
	switch status {
	case 401:
		return "invalid_request_error", "invalid_api_key"
	case 403:
		return "invalid_request_error", "unsupported_country_region_territory"
	case 404:
		return "invalid_request_error", "model_not_found"
	case 429:
		return "requests", "rate_limit_exceeded"
	}
	if status >= 500 {
		return "server_error", ""
	}
	return "invalid_request_error", ""
}

// anthropicError gives the type of Anthropic's error object.
func anthropicError(status int) string {
	switch status {
	case 401:
		return "authentication_error"
	case 402:
		return "billing_error"
	case 403:
		return "permission_error"
	case 404:
		return "not_found_error"
	case 413:
		return "request_too_large"
	case 429:
		return "rate_limit_error"
	case 504:
		return "timeout_error"
	case 503, 529:
		return "overloaded_error"
	}
	if status >= 500 {
		return "api_error"
	}
	return "invalid_request_error"
}

// geminiStatus gives the canonical code (google.rpc.Code) of a status.
func geminiStatus(status int) string {
	switch status {
	case 401:
		return "UNAUTHENTICATED"
	case 403:
		return "PERMISSION_DENIED"
	case 404:
		return "NOT_FOUND"
	case 409:
		return "ABORTED"
	case 429:
		return "RESOURCE_EXHAUSTED"
	case 499:
		return "CANCELLED"
	case 501:
		return "UNIMPLEMENTED"
	case 503:
		return "UNAVAILABLE"
	case 504:
		return "DEADLINE_EXCEEDED"
	}
	if status >= 500 {
		return "INTERNAL"
	}
	return "INVALID_ARGUMENT"
}
