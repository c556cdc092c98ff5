package order

import "fmt"

// ListRef names one version of a named list. Its content travels apart, by its
// digest.
type ListRef struct {
	Name      string `json:"name"`
	Dimension string `json:"dimension"` // of a scope: "users", "ips"
	Digest    Hash   `json:"digest"`    // of the content; never zero
	Entries   int64  `json:"entries"`
	Bytes     int64  `json:"bytes"` // of the content
}

func listName(l *ListRef) string { return l.Name }

func (l *ListRef) check() error {
	if l.Dimension == "" || l.Digest.IsZero() || l.Entries < 1 || l.Bytes < 1 {
		return fmt.Errorf("%w: list %q is not whole: dimension %q, digest %.12s, %d entries, %d bytes", ErrMalformed, l.Name, l.Dimension, l.Digest, l.Entries, l.Bytes)
	}
	return nil
}

// mergeLists is merge for lists, which are also looked at.
func mergeLists(old, put []ListRef, drop []string) ([]ListRef, error) {
	for i := range put {
		if err := put[i].check(); err != nil {
			return nil, err
		}
	}
	return merge(old, put, drop, listName)
}

// checkLists reports whether lists are sorted, each once and whole.
func checkLists(lists []ListRef) error {
	if !ascending(lists, listName) {
		return fmt.Errorf("%w: names of lists missing, twice, or out of order", ErrMalformed)
	}
	for i := range lists {
		if err := lists[i].check(); err != nil {
			return err
		}
	}
	return nil
}

// SubjectList is where gateways ask for the content of lists: gateway → control,
// request [ListRequest] → [ListAnswer]. Nothing is signed: what comes is taken if
// its hash is the one that was asked for.
const SubjectList = "andon.list"

// ListRequest asks for one part of a list's content.
type ListRequest struct {
	Digest Hash `json:"digest"`
	Chunk  int  `json:"chunk"` // from 1; 0 is the manifest, whose hash the digest is
}

// ListAnswer is the first byte of an answer to a [ListRequest].
type ListAnswer byte

// The answers. What was asked for follows the first, and nothing the others.
const (
	ListPart    ListAnswer = 'p'
	ListUnknown ListAnswer = 'u' // no list in force has this digest: it was replaced meanwhile
	ListLost    ListAnswer = 'l' // it is in force, and its content can not be read any more
)

// ListHeld is where a gateway stands with one list.
type ListHeld struct {
	Digest  Hash   `json:"digest,omitzero"`   // of the content that decides; zero: it has none
	Lost    bool   `json:"lost,omitempty"`    // it had to have one, and treats everybody as listed until it has
	Loading Hash   `json:"loading,omitzero"`  // what is being fetched
	Percent int    `json:"percent,omitempty"` // of it
	Error   string `json:"error,omitempty"`   // why it does not come
}
