package issuer

import (
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
)

// Modes are the ways in which a token can be bad, with what a client has to do.
var Modes = map[string]string{
	"":               "the token is good",
	"wrong_nonce":    "refuse: it answers another log-in",
	"no_nonce":       "refuse: it answers no log-in",
	"wrong_audience": "refuse: it is for another client",
	"two_audiences":  "refuse: it is for another client as well, and does not say for whom first",
	"other_party":    "refuse: it is for this client by way of another (azp)",
	"other_issuer":   "refuse: another issuer made it",
	"expired":        "refuse: it ended ten minutes ago",
	"not_yet":        "refuse: it begins in an hour",
	"from_future":    "refuse: it was issued in an hour",
	"alg_none":       "refuse: it is not signed",
	"hs256":          "refuse: it is signed with the public key as a shared secret",
	"other_key":      "refuse: it is signed with a key that the issuer does not publish",
	"broken":         "refuse: its signature is not of these claims",
	"no_id_token":    "refuse: there is none",
	"no_subject":     "refuse: it is about nobody",
	"no_auth_time":   "take it as no proof of a moment ago",
	"old_auth_time":  "take it as a proof of an hour ago",
	"next_auth_time": "refuse: the person proves who they are in an hour",
}

func modeNames() []string { return slices.Sorted(maps.Keys(Modes)) }

var b64 = base64.RawURLEncoding

const keyID = "sim-1"

// idToken issues an ID token, as the mode has it. The caller holds mu.
func (i *Issuer) idToken(p Person, nonce string, authTime time.Time) string {
	now := i.now()
	claims := map[string]any{
		"iss": i.URL(), "sub": p.Subject, "aud": i.cfg.Client, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "auth_time": authTime.Unix(),
		"preferred_username": p.Name, "email": p.Name + "@acme.example", "groups": p.Groups, "realm_access": map[string]any{"roles": p.Groups},
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	header, key := map[string]any{"alg": "ES256", "kid": keyID, "typ": "JWT"}, i.key
	switch i.mode {
	case "wrong_nonce":
		claims["nonce"] = "nonce-of-another-log-in"
	case "no_nonce":
		delete(claims, "nonce")
	case "wrong_audience":
		claims["aud"] = "another-client"
	case "two_audiences":
		claims["aud"] = []string{i.cfg.Client, "another-client"}
	case "other_party":
		claims["azp"] = "another-client"
	case "other_issuer":
		claims["iss"] = "https://issuer.globex.example"
	case "expired":
		claims["iat"], claims["exp"] = now.Add(-20*time.Minute).Unix(), now.Add(-10*time.Minute).Unix()
	case "not_yet":
		claims["nbf"] = now.Add(time.Hour).Unix()
	case "from_future":
		claims["iat"], claims["exp"] = now.Add(time.Hour).Unix(), now.Add(2*time.Hour).Unix()
	case "no_subject":
		delete(claims, "sub")
	case "no_auth_time":
		delete(claims, "auth_time")
	case "old_auth_time":
		claims["auth_time"] = now.Add(-time.Hour).Unix()
	case "next_auth_time":
		claims["auth_time"] = now.Add(time.Hour).Unix()
	case "alg_none":
		header["alg"] = "none"
	case "hs256":
		header["alg"] = "HS256"
	case "other_key":
		key = i.other
	case "no_id_token":
		return ""
	}
	text := b64.EncodeToString(encode(header)) + "." + b64.EncodeToString(encode(claims))
	switch header["alg"] {
	case "none":
		return text + "."
	case "HS256":
		m := hmac.New(sha256.New, encode(i.jwk()))
		m.Write([]byte(text))
		return text + "." + b64.EncodeToString(m.Sum(nil))
	}
	signature := sign(key, text)
	if i.mode == "broken" {
		signature[len(signature)-1] ^= 1
	}
	return text + "." + b64.EncodeToString(signature)
}

// sign is ES256: r and s, 32 bytes each (RFC 7518, section 3.4).
func sign(key *ecdsa.PrivateKey, text string) []byte {
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		panic("issuer: sign: " + err.Error()) // the system's randomness failed
	}
	out := make([]byte, 64)
	r.FillBytes(out[:32])
	s.FillBytes(out[32:])
	return out
}

func (i *Issuer) jwk() map[string]any {
	point, err := i.key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		panic("issuer: encode key: " + err.Error())
	}
	return map[string]any{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": keyID, "x": b64.EncodeToString(point[1:33]), "y": b64.EncodeToString(point[33:])}
}

func encode(v any) []byte {
	data, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		panic("issuer: encode: " + err.Error())
	}
	return data
}
