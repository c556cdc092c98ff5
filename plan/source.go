package plan

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of one file. They keep the parser's time and stack small whatever is
// written: what is beyond them is refused before it is parsed.
const (
	maxDepth   = 32    // of values within values
	maxKeys    = 1000  // of one map
	maxTokens  = 60000 // words and signs of a file
	maxAnchors = 100   // of a file
	maxAliases = 1000  // of a file
)

// source is one file of the plan.
type source struct {
	name string
	data []byte
}

// parse reads the syntax of a file. It returns the one map that it holds; nil
// if it holds nothing, or if something was wrong.
func (s *source) parse(fs *faults) ast.Node {
	text, at, why := s.text()
	if why != "" {
		fs.add(Fault{Position: at, Detail: why})
		return nil
	}
	tree, fault := s.tree(text)
	if fault != nil {
		fs.add(*fault)
		return nil
	}
	var body ast.Node
	for _, doc := range tree.Docs {
		switch doc.Body.(type) {
		case nil, *ast.NullNode, *ast.CommentGroupNode:
			continue
		case *ast.DirectiveNode:
			fs.add(Fault{Position: s.at(doc.Body.GetToken()), Detail: "a directive is not taken here; leave it out"})
			return nil
		}
		if body != nil {
			fs.add(Fault{Position: s.at(first(doc.Body)), Detail: "a second document; a file holds one: leave out the line ---, or make another file"})
			return nil
		}
		body = doc.Body
	}
	return body
}

// text is the file as text, or where and why it is none. One byte order mark at
// the beginning is skipped. What a reviewer would not see is refused.
func (s *source) text() (text string, at Position, why string) {
	text = strings.TrimPrefix(string(s.data), "\ufeff")
	line, col := 1, 1
	for i, r := range text {
		switch at = (Position{s.name, line, col}); {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd"):
			return "", at, fmt.Sprintf("byte 0x%02x is not UTF-8; save the file as UTF-8", text[i])
		case r == '\n':
			line, col = line+1, 0
		case r < ' ' && r != '\t' && r != '\r' || r == 0x7f:
			return "", at, fmt.Sprintf("the control character %U is not taken", r)
		case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200e, r == 0x200f, r == 0x061c:
			return "", at, fmt.Sprintf("the character %U changes the order in which text is shown; it is not taken, since a reviewer would read something else", r)
		case r == '\ufeff', r >= 0x200b && r <= 0x200d, r == 0x2060, r == 0x85, r == 0x2028, r == 0x2029:
			return "", at, fmt.Sprintf("the invisible character %U is not taken", r)
		}
		col++
	}
	return text, Position{}, ""
}

// tree parses what is within the bounds. The parser is another house's: should
// it fail over some text, that is a fault of this file and of no other.
func (s *source) tree(text string) (tree *ast.File, fault *Fault) {
	defer func() {
		if r := recover(); r != nil {
			tree, fault = nil, &Fault{Position: Position{File: s.name}, Detail: "the YAML cannot be read; write it in a simpler form"}
		}
	}()
	if !strings.HasSuffix(text, "\n") {
		text += "\n" // at the very end of a text the lexer overlooks a tag
	}
	tokens := lexer.Tokenize(text)
	if fault := s.bounds(tokens); fault != nil {
		return nil, fault
	}
	tree, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) // duplicates are named by the decoder, all of them
	if err == nil {
		return tree, nil
	}
	var ye yaml.Error
	if errors.As(err, &ye) && ye.GetToken() != nil {
		return nil, &Fault{Position: s.at(ye.GetToken()), Detail: "not valid YAML: " + ye.GetMessage()}
	}
	return nil, &Fault{Position: Position{File: s.name}, Detail: "not valid YAML: " + err.Error()}
}

// level is a list or a map that is open while bounds reads tokens.
type level struct {
	col  int // of a block; 0 for one in brackets
	keys int
}

// bounds refuses what the parser would take too long over, or too deep.
func (s *source) bounds(tokens token.Tokens) *Fault {
	var open []level
	anchors, aliases := 0, 0
	for i, t := range tokens {
		fault := func(format string, args ...any) *Fault {
			return &Fault{Position: s.at(t), Detail: fmt.Sprintf(format, args...)}
		}
		flow := len(open) > 0 && open[len(open)-1].col == 0
		block := func(col int) {
			for len(open) > 0 && open[len(open)-1].col > col {
				open = open[:len(open)-1]
			}
			if len(open) == 0 || open[len(open)-1].col < col {
				open = append(open, level{col: col})
			}
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			open = append(open, level{})
		case token.SequenceEndType, token.MappingEndType:
			if flow {
				open = open[:len(open)-1]
			}
		case token.SequenceEntryType, token.MappingKeyType:
			if !flow {
				block(t.Position.Column)
			}
		case token.MappingValueType:
			if !flow && t.Prev != nil {
				block(t.Prev.Position.Column)
			}
			if len(open) > 0 {
				top := &open[len(open)-1]
				if top.keys++; top.keys > maxKeys {
					return fault("a map with more than %d names", maxKeys)
				}
			}
		case token.AnchorType:
			if anchors++; anchors > maxAnchors {
				return fault("more than %d anchors in one file; write the values out", maxAnchors)
			}
		case token.AliasType:
			if aliases++; aliases > maxAliases {
				return fault("more than %d aliases in one file; write the values out", maxAliases)
			}
		case token.TagType:
			return fault("the tag %s is not taken; leave it out", quote(t.Value))
		}
		if len(open) > maxDepth {
			return fault("more than %d levels of lists and maps within each other", maxDepth)
		}
		if i == maxTokens {
			return fault("more than %d words in one file; make several", maxTokens)
		}
	}
	return nil
}

func (s *source) at(t *token.Token) Position {
	if t == nil || t.Position == nil {
		return Position{File: s.name}
	}
	return Position{s.name, max(t.Position.Line, 1), max(t.Position.Column, 1)}
}

// first is the token that a value begins with.
func first(n ast.Node) *token.Token {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return first(n.Values[0])
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken()
	}
	return n.GetToken()
}
