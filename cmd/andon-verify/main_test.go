package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"andon/ledger"
	"andon/witness"
)

// made is a ledger with all that an export can hold, and its keys.
type made struct {
	dir, key  string
	log       note.Verifier
	witnesses []string
	verifiers []note.Verifier
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const (
	entries = 40
	bigAt   = 13 // its body is kept apart
)

func makeLedger(t *testing.T) made {
	t.Helper()
	m := made{dir: t.TempDir()}
	m.key = filepath.Join(m.dir, "key.pub")
	s, vkey, err := ledger.LoadOrCreateSigner(filepath.Join(m.dir, "key"), "example.com/andon")
	ok(t, err)
	m.log, err = note.NewVerifier(vkey)
	ok(t, err)
	l, err := ledger.OpenSQLite(m.db(), s)
	ok(t, err)
	var cosigners []*witness.Cosigner
	for _, name := range []string{"gw-1", "gw-2"} {
		c, err := witness.NewCosigner(witness.GatewayName(name))
		ok(t, err)
		v, err := witness.NewVerifier(c.Verifier())
		ok(t, err)
		cosigners, m.witnesses, m.verifiers = append(cosigners, c), append(m.witnesses, c.Verifier()), append(m.verifiers, v)
	}
	var erased string
	for i := range entries {
		e := ledger.Entry{At: time.Unix(1e9+int64(i), 0), Type: "test.made", Actor: "op-1", Body: fmt.Appendf(nil, `{"n":%d,"text":"a\u2028b<é>"}`, i)}
		switch i {
		case 5, 7:
			e.Personal = map[string][]byte{}
			var names []string
			for _, who := range []string{"Ada", "Grace"} {
				name, sealed := ledger.Commit([]byte(who))
				e.Personal[name], names, erased = sealed, append(names, name), name
			}
			e.Body = []byte(`["` + strings.Join(names, `","`) + `"]`)
		case bigAt:
			e.Body = []byte(`{"big":"` + strings.Repeat("x", 70_000) + `"}`)
		case 20:
			e.Type, e.Body = ledger.TypeErased, []byte(`{"commitments":["`+erased+`"],"reason":"r"}`)
		}
		_, err := l.Append(t.Context(), uint64(i), e)
		ok(t, err)
		if i == 9 || i == 29 {
			cp, err := l.Checkpoint(t.Context())
			ok(t, err)
			text, _, err := witness.Split(cp)
			ok(t, err)
			for _, c := range cosigners[:1+i/29] {
				cp = append(cp, c.Cosign(text, time.Unix(1e9, 0))...)
			}
			ok(t, l.Cosigned(t.Context(), cp))
		}
	}
	ok(t, l.Erase(t.Context(), erased))
	ok(t, l.Close())
	return m
}

func (m made) db() string { return filepath.Join(m.dir, "ledger.db") }

func (m made) export(t *testing.T, personal bool) ([]byte, error) {
	t.Helper()
	var b bytes.Buffer
	err := ledger.Export(t.Context(), m.db(), &b, ledger.ExportOptions{Personal: personal})
	return b.Bytes(), err
}

// check runs the program on an export.
func (m made) check(t *testing.T, dump []byte, args ...string) (code int, said string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(append(append([]string{"-key", m.key}, args...), "-"), bytes.NewReader(dump), &out, &errs)
	return code, out.String() + errs.String()
}

func TestSound(t *testing.T) {
	m := makeLedger(t)
	keys := filepath.Join(m.dir, "witnesses")
	ok(t, os.WriteFile(keys, []byte(strings.Join(m.witnesses, "\n")), 0o600))
	with, err := m.export(t, true)
	ok(t, err)
	without, err := m.export(t, false)
	ok(t, err)
	for _, c := range []struct {
		dump []byte
		args []string
		code int
		want string
	}{
		{with, nil, 0, "sound: 40 entries, signed by example.com/andon"},
		{with, nil, 0, "personal values as committed to: 3"},
		{without, nil, 0, "personal values as committed to: 0"},
		{without, []string{"-witness", keys, "-quorum", "2"}, 0, "at least 2 of 2 witnesses vouch for the first 30 entries"},
		{without, []string{"-witness", m.witnesses[1]}, 0, "first 30 entries"},
		{without, []string{"-witness", strings.Replace(m.witnesses[1], "gw-2", "gw-3", 1)}, 2, "is not <name>"},
		{without, []string{"-quorum", "2"}, 2, "give -key"},
		{bytes.ReplaceAll(without, []byte(`{"cosigned":`), []byte(`{"checkpoin":`)), nil, 1, "not an entry"},
	} {
		if code, said := m.check(t, c.dump, c.args...); code != c.code || !strings.Contains(said, c.want) {
			t.Errorf("%v: %d: %s", c.args, code, said)
		}
	}
	file := filepath.Join(m.dir, "record.jsonl")
	ok(t, os.WriteFile(file, with, 0o600))
	var out bytes.Buffer
	for want, args := range map[int][]string{0: {"-key", m.key, file}, 2: {"-key", m.key, file + "x"}} {
		if code := run(args, nil, &out, &out); code != want {
			t.Errorf("%v: %d: %s", args, code, out.String())
		}
	}
	other := makeLedger(t)
	if code, said := other.check(t, with); code != 1 {
		t.Errorf("with another key: %d: %s", code, said)
	}
}

// agree compares the program with the ledger's own check of an export, which it
// shares no code with.
func (m made) agree(t *testing.T, what string, dump []byte) (sound bool) {
	t.Helper()
	r, err := ledger.VerifyExport(t.Context(), bytes.NewReader(dump), m.log, ledger.VerifyOptions{Witnesses: m.verifiers, Quorum: 2})
	var f *ledger.Fault
	if err != nil && !errors.As(err, &f) {
		t.Fatal(what, err)
	}
	code, said := m.check(t, dump, "-witness", m.witnesses[0], "-witness", m.witnesses[1], "-quorum", "2")
	if code == 2 || (code == 0) != (err == nil) {
		t.Errorf("%s: the program says %d: %s; the ledger %v", what, code, said, err)
	}
	// The program does not read what it need not: some faults it sees only in the tree.
	if f != nil && f.Entry >= 0 && !strings.HasPrefix(what, "byte") && !strings.Contains(said, fmt.Sprintf("entry %d:", f.Entry)) {
		t.Errorf("%s: the program says %s; the ledger names entry %d (%+v)", what, said, f.Entry, r.Fault)
	}
	return err == nil
}

// TestTamperedLedgers edits the database as somebody with a SQLite shell would,
// and exports that. What cannot be exported is found out, too.
func TestTamperedLedgers(t *testing.T) {
	intact := makeLedger(t)
	for what, c := range map[string]struct {
		sql  string
		left bool // the export does not hold what was touched
	}{
		"a word of a body":              {`UPDATE entry SET leaf = CAST(replace(CAST(leaf AS TEXT), '"n":9', '"n":8') AS BLOB) WHERE seq = 9`, false},
		"an actor":                      {`UPDATE entry SET leaf = CAST(replace(CAST(leaf AS TEXT), 'op-1', 'op-2') AS BLOB) WHERE seq = 9`, false},
		"a time":                        {`UPDATE entry SET leaf = CAST(replace(CAST(leaf AS TEXT), '2001', '2002') AS BLOB) WHERE seq = 9`, false},
		"all actors":                    {`UPDATE entry SET leaf = CAST(replace(CAST(leaf AS TEXT), 'op-1', 'op-2') AS BLOB)`, false},
		"another form":                  {`UPDATE entry SET leaf = CAST(leaf || ' ' AS BLOB) WHERE seq = 9`, false},
		"no JSON":                       {`UPDATE entry SET leaf = x'00' WHERE seq = 9`, false},
		"a row deleted":                 {`DELETE FROM entry WHERE seq = 9`, false},
		"the first row deleted":         {`DELETE FROM entry WHERE seq = 0`, false},
		"the tail cut off":              {`DELETE FROM entry WHERE seq >= 30`, false},
		"all rows deleted":              {`DELETE FROM entry`, false},
		"rows swapped":                  {`UPDATE entry SET seq = CASE seq WHEN 3 THEN -1 ELSE seq END; UPDATE entry SET seq = 3 WHERE seq = 4; UPDATE entry SET seq = 4 WHERE seq = -1`, false},
		"a gap closed":                  {`DELETE FROM entry WHERE seq = 9; UPDATE entry SET seq = -seq WHERE seq > 9; UPDATE entry SET seq = -seq - 1 WHERE seq < 0`, false},
		"a large body":                  {`UPDATE body SET data = CAST(replace(CAST(data AS TEXT), 'xxx', 'xxy') AS BLOB)`, false},
		"a large body removed":          {`DELETE FROM body`, false},
		"the checkpoint's text":         {`UPDATE checkpoint SET note = CAST(replace(CAST(note AS TEXT), char(10)||'40'||char(10), char(10)||'39'||char(10)) AS BLOB), size = 39`, false},
		"the checkpoint's size":         {`UPDATE checkpoint SET size = 39`, false},
		"the checkpoint removed":        {`DELETE FROM checkpoint`, false},
		"the checkpoint is no note":     {`UPDATE checkpoint SET note = x'00'`, false},
		"an older checkpoint":           {`UPDATE checkpoint SET size = 30, note = (SELECT note FROM cosigned WHERE size = 30)`, true}, // a genuine, older state
		"a value altered":               {`UPDATE personal SET sealed = CAST(sealed || 'x' AS BLOB) WHERE erased = 0`, false},
		"a value's salt":                {`UPDATE personal SET sealed = zeroblob(40) WHERE erased = 0`, false},
		"values swapped":                {`UPDATE personal SET sealed = (SELECT sealed FROM personal p WHERE p.id <> personal.id AND p.erased = 0 LIMIT 1) WHERE erased = 0`, false},
		"a value removed":               {`DELETE FROM personal WHERE id = 1`, true}, // as if it were left out: the ledger itself finds it
		"a cosigned checkpoint's root":  {`UPDATE cosigned SET note = CAST(replace(CAST(note AS TEXT), char(10)||'30'||char(10), char(10)||'29'||char(10)) AS BLOB) WHERE size = 30`, false},
		"a cosignature":                 {`UPDATE cosigned SET note = CAST(substr(CAST(note AS TEXT), 1, length(CAST(note AS TEXT)) - 9) || 'AAAAAAA=' || char(10) AS BLOB) WHERE size = 30`, false},
		"a cosigned checkpoint removed": {`DELETE FROM cosigned WHERE size = 30`, false}, // the quorum of two goes with it
		"stored hashes":                 {`UPDATE hash SET hash = zeroblob(32) WHERE idx = 9`, true},
		"stored hashes removed":         {`DELETE FROM hash`, true},
		"an entry slipped in":           {`INSERT INTO entry VALUES (40, x'00')`, true}, // beyond what is signed
	} {
		t.Run(what, func(t *testing.T) {
			m := intact
			m.dir = t.TempDir()
			ok(t, os.CopyFS(m.dir, os.DirFS(intact.dir)))
			db, err := sql.Open("sqlite", "file:"+m.db())
			ok(t, err)
			_, err = db.Exec(c.sql)
			ok(t, errors.Join(err, db.Close()))
			dump, err := m.export(t, true)
			if err != nil {
				return // found
			}
			if sound := m.agree(t, what, dump); sound != c.left {
				t.Errorf("sound: %v", sound)
			}
		})
	}
}

// TestTamperedExports edits the file itself, and in the end its bytes one by one.
func TestTamperedExports(t *testing.T) {
	m := makeLedger(t)
	raw, err := m.export(t, true)
	ok(t, err)
	dump := string(raw)
	lines := strings.SplitAfter(dump, "\n")
	lines = lines[:len(lines)-1]
	join := func(parts ...[]string) (out string) {
		for _, p := range parts {
			out += strings.Join(p, "")
		}
		return out
	}
	n := len(lines)
	for what, data := range map[string]string{
		"a line removed": join(lines[:3], lines[4:]), "lines swapped": join(lines[:2], lines[3:4], lines[2:3], lines[4:]), "a line doubled": join(lines[:3], lines[2:]),
		"an empty line": join(lines[:3], []string{"\n"}, lines[3:]), "the last entry removed": join(lines[:n-2], lines[n-1:]), "the checkpoint removed": join(lines[:n-1]),
		"nothing": "", "something after": dump + "x", "an empty line after": dump + "\n", "a second checkpoint": dump + lines[n-1], "cut in a line": dump[:700], "cut in the checkpoint": dump[:len(dump)-5],
		"a value before all": lines[6] + dump, "a value twice": join(lines[:7], lines[6:]), "a value elsewhere": join(lines[:2], lines[6:7], lines[2:]), "values swapped": join(lines[:6], lines[7:8], lines[6:7], lines[8:]),
		"an entry of another form": strings.Replace(dump, `{"n":3,`, `{"n": 3,`, 1), "a name twice": strings.Replace(dump, `,"seq":3,`, `,"seq":3,"seq":3,`, 1), "a name in capitals": strings.Replace(dump, `"seq":3,`, `"Seq":3,`, 1),
		"a member more": strings.Replace(dump, `,"seq":3,`, `,"sea":1,"seq":3,`, 1), "no names": strings.Replace(dump, `,"personal":[`, `,"personnl":[`, 1),
	} {
		if data == dump {
			t.Fatal("nothing was changed:", what)
		}
		if m.agree(t, what, []byte(data)) {
			t.Errorf("%s: sound", what)
		}
	}
	if !m.agree(t, "as it was", raw) {
		t.Fatal("not sound as it was")
	}
	big := strings.Index(dump, strings.Repeat("x", 1000))
	for i := int(time.Now().UnixNano() % 5); i < len(raw); i += 5 { // another fifth each time
		if i > big+50 && i < big+69_950 && i%997 != 0 {
			continue // one x is like another
		}
		b := bytes.Clone(raw)
		b[i] ^= 1
		m.agree(t, fmt.Sprintf("byte %d changed: %.60q", i, b[max(0, i-20):min(len(b), i+20)]), b)
		if t.Failed() {
			return
		}
	}
}

// TestFollowsTheKey: whoever has the first key can check what the third has signed.
func TestFollowsTheKey(t *testing.T) {
	const name = "example.com/andon"
	m := made{dir: t.TempDir()}
	var signers []note.Signer
	var keys []string
	step := func(own ...note.Signer) *ledger.SQLite {
		t.Helper()
		l, err := ledger.OpenSQLite(m.db(), own[0], own[1:]...)
		ok(t, err)
		return l
	}
	put := func(l *ledger.SQLite, kind string, body []byte) {
		t.Helper()
		_, err := l.Append(t.Context(), l.Size(), ledger.Entry{At: time.Unix(1e9, 0), Type: kind, Body: body})
		ok(t, errors.Join(err, l.Close()))
	}
	for i := range 3 {
		path := filepath.Join(m.dir, fmt.Sprint("key", i))
		s, key, err := ledger.LoadOrCreateSigner(path, name)
		ok(t, err)
		if signers, keys = append(signers, s), append(keys, key); i > 0 {
			b, err := ledger.Rekey(signers[i-1], s, keys[i-1], key)
			ok(t, err)
			body, err := json.Marshal(b)
			ok(t, err)
			put(step(s, signers[i-1]), ledger.TypeRekeyed, body)
		}
		put(step(s), "test.made", []byte(`{}`))
	}
	dump, err := m.export(t, false)
	ok(t, err)
	for i := range keys {
		m.key = filepath.Join(m.dir, fmt.Sprintf("key%d.pub", i))
		if code, said := m.check(t, dump); code != 0 || strings.Contains(said, "named in entry 3") != (i < 2) {
			t.Errorf("key %d: %d %s", i, code, said)
		}
	}
	// Neither a record that a former key has signed last, nor a key that nobody named.
	put(step(signers[2], signers[0]), "test.made", []byte(`{}`))
	put(step(signers[0]), "test.made", []byte(`{}`))
	dump, err = m.export(t, false)
	ok(t, err)
	for i := range keys {
		m.key = filepath.Join(m.dir, fmt.Sprintf("key%d.pub", i))
		if code, said := m.check(t, dump); code != 1 {
			t.Errorf("key %d: signed by the first key after the third had taken its place: %d %s", i, code, said)
		}
	}
}
