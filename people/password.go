package people

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The bounds of a password: NIST SP 800-63B-4 wants 15 characters where it is the
// only factor, and no rules about which.
const (
	MinPassword      = 15   // characters
	MaxPasswordBytes = 1024 // so that hashing one takes no longer than another
)

// CheckPassword says why a password cannot be taken. It never quotes it.
func CheckPassword(password, name string) error {
	p := norm.NFC.String(password)
	n := utf8.RuneCountInString(p)
	switch {
	case !utf8.ValidString(password):
		return fmt.Errorf("is not UTF-8")
	case len(password) > MaxPasswordBytes:
		return fmt.Errorf("has %d bytes; at most %d", len(password), MaxPasswordBytes)
	case n < MinPassword:
		return fmt.Errorf("has %d characters; at least %d, such as four or five words", n, MinPassword)
	case strings.ContainsFunc(p, unicode.IsControl):
		return fmt.Errorf("has a control character in it; a line of text is taken")
	case distinct(p) < 6 || repeats([]rune(p)):
		return fmt.Errorf("is the same over and over; four or five words are easier to keep and harder to guess")
	}
	rest := strings.ToLower(p)
	for _, known := range []string{strings.ToLower(name), "password", "administrator", "andon", "1234567890", "qwertyuiop"} {
		if len(known) > 2 {
			rest = strings.ReplaceAll(rest, known, "")
		}
	}
	if utf8.RuneCountInString(rest) < 8 {
		return fmt.Errorf("is made of the account's name and words that everybody tries first")
	}
	return nil
}

func distinct(s string) int {
	r := []rune(s)
	slices.Sort(r)
	return len(slices.Compact(r))
}

// repeats says whether r is one piece, at most half of it, again and again.
func repeats(r []rune) bool {
	for n := 1; n <= len(r)/2; n++ {
		same := true
		for i := n; i < len(r) && same; i++ {
			same = r[i] == r[i-n]
		}
		if same {
			return true
		}
	}
	return false
}
