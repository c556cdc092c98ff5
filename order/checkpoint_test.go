package order

import (
	"bytes"
	"testing"
)

func TestCheckpointBehindAnOrder(t *testing.T) {
	s, err := GenerateSigner()
	if err != nil {
		t.Fatal(err)
	}
	o := Order{Revision: 1, Drop: []string{"a\nb"}}
	signed, err := Sign(o, s)
	if err != nil {
		t.Fatal(err)
	}
	note := []byte("example.com/log\n1\nAAAA\n\n— example.com/log AAAA\n")
	a, b := CutCheckpoint(WithCheckpoint(signed, note))
	if !bytes.Equal(a, signed) || !bytes.Equal(b, note) {
		t.Fatalf("%q, %q", a, b)
	}
	if a, b := CutCheckpoint(WithCheckpoint(signed, nil)); !bytes.Equal(a, signed) || b != nil {
		t.Errorf("%q, %q", a, b)
	}
	// What is chained does not know of it.
	_, head, err := OpenOrder(a, Trust{Control: []PublicKey{s.Public()}})
	if want, _ := o.Head(); err != nil || head != want {
		t.Errorf("%v, %v", head, err)
	}
	if _, _, err := OpenOrder(WithCheckpoint(signed, note), Trust{Control: []PublicKey{s.Public()}}); err == nil {
		t.Error("an order was opened with something behind it")
	}
}
