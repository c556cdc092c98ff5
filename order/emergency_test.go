package order

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"andon/correction"
)

func emergencyStop(t testing.TB) Emergency {
	t.Helper()
	e, err := NewEmergency("ops@acme", t0, time.Hour, stop(""), stop(""))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEmergencyLife(t *testing.T) {
	dir := t.TempDir()
	c := chain{t: t}
	f := reopen(t, dir)
	e := emergencyStop(t)
	signed := sign(t, e, emergency)
	now := t0.Add(time.Minute)

	got, err := f.OfferEmergency(signed, now)
	if err != nil || got.ID != e.ID || len(got.Corrections) != 2 || got.Corrections[1].ID != e.ID+"-2" {
		t.Fatal(got, err)
	}
	if again, err := f.OfferEmergency(signed, now); !errors.Is(err, ErrDuplicate) || again.ID != e.ID {
		t.Fatal(again, err)
	}
	forged := e
	forged.By = "another"
	if _, err := f.OfferEmergency(sign(t, forged, emergency), now); !errors.Is(err, ErrForged) {
		t.Fatal(err)
	}
	// A restart long after its window keeps it: it was accepted in time.
	f = reopen(t, dir)
	if len(f.Emergencies()) != 1 || string(f.Signed(e.ID)) != string(signed) {
		t.Fatal("lost over a restart")
	}
	// A resync that does not know it keeps it.
	c.put("c-1")
	if err := f.Resync(sign(t, c.state, control)); err != nil {
		t.Fatal(err)
	}
	persist(t, f)
	if len(f.Emergencies()) != 1 || len(reopen(t, dir).Emergencies()) != 1 {
		t.Fatal("lost over a resync")
	}
	// Adopted: now the state has its corrections.
	offer(t, f, c.next(Order{Put: e.Corrections, Adopted: []string{e.ID}}), Applied)
	if len(f.Emergencies()) != 0 || len(f.State().Corrections) != 3 {
		t.Fatal("not adopted")
	}
	if g := reopen(t, dir); len(g.Emergencies()) != 1 {
		t.Fatal("dropped from disk before the order that adopts it is durable")
	}
	persist(t, f)
	if _, err := os.Stat(f.emergencyPath(e.ID)); !os.IsNotExist(err) {
		t.Fatal("left on disk:", err)
	}
	// Lifted, it does not come back by a replay.
	offer(t, f, c.next(Order{Drop: []string{e.ID + "-1", e.ID + "-2"}}), Applied)
	if _, err := f.OfferEmergency(signed, now); !errors.Is(err, ErrAdopted) {
		t.Fatal(err)
	}
	// Not even if its file does: say the folder was restored from a copy.
	persist(t, f)
	if err := os.WriteFile(f.emergencyPath(e.ID), signed, 0o600); err != nil {
		t.Fatal(err)
	}
	if f = reopen(t, dir); len(f.Emergencies()) != 0 {
		t.Fatal("back from disk")
	}
}

func TestEmergencyRefused(t *testing.T) {
	f := reopen(t, t.TempDir())
	e := emergencyStop(t)
	now := t0.Add(time.Minute)
	for name, tc := range map[string]struct {
		signed []byte
		now    time.Time
		want   error
	}{
		"expired":        {sign(t, e, emergency), e.NotAfter.Add(time.Nanosecond), ErrExpired},
		"by control key": {sign(t, e, control), now, ErrSignature},
		"by a stranger":  {sign(t, e, stranger), now, ErrSignature},
		"an order":       {sign(t, Order{Revision: 1}, emergency), now, ErrSignature},
		"shadow":         {sign(t, with(e, func(e *Emergency) { e.Corrections[0].Mode = correction.Shadow }), emergency), now, ErrMalformed},
	} {
		if got, err := f.OfferEmergency(tc.signed, tc.now); !errors.Is(err, tc.want) || got.ID != "" {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
	if len(f.Emergencies()) != 0 {
		t.Error("one was kept")
	}
	if _, err := f.OfferEmergency(sign(t, e, emergency), e.NotAfter); err != nil {
		t.Error("at the last moment:", err)
	}
}

func with(e Emergency, f func(*Emergency)) Emergency {
	e.Corrections = append([]correction.Correction(nil), e.Corrections...)
	f(&e)
	return e
}

func TestEmergencyValidate(t *testing.T) {
	e := emergencyStop(t)
	for name, bad := range map[string]Emergency{
		"id":         with(e, func(e *Emergency) { e.ID = "e-XYZ" }),
		"upper case": with(e, func(e *Emergency) { e.ID = strings.ToUpper(e.ID[:2]) + e.ID[2:] }),
		"path":       with(e, func(e *Emergency) { e.ID = "e-../../../../x" }),
		"by":         with(e, func(e *Emergency) { e.By = "" }),
		"no end":     with(e, func(e *Emergency) { e.NotAfter = time.Time{} }),
		"too long":   with(e, func(e *Emergency) { e.NotAfter = e.IssuedAt.Add(MaxEmergencyWindow + 1) }),
		"empty":      with(e, func(e *Emergency) { e.Corrections = nil }),
		"foreign id": with(e, func(e *Emergency) { e.Corrections[0].ID = "c-1" }),
		"order":      with(e, func(e *Emergency) { e.Corrections[0], e.Corrections[1] = e.Corrections[1], e.Corrections[0] }),
		"shadow":     with(e, func(e *Emergency) { e.Corrections[0].Mode = correction.Shadow }),
		"kind":       with(e, func(e *Emergency) { e.Corrections[0].Kind = "lift" }),
		"scope":      with(e, func(e *Emergency) { e.Corrections[0].Scope = correction.Scope{} }),
		"reason":     with(e, func(e *Emergency) { e.Corrections[0].Reason = "" }),
	} {
		if err := bad.Validate(); err == nil {
			t.Errorf("%s: allowed", name)
		}
	}
	if err := e.Validate(); err != nil {
		t.Error(err)
	}
}

func TestEmergencyObeyedWithAFullDisk(t *testing.T) {
	dir := t.TempDir()
	f := reopen(t, dir)
	if err := os.RemoveAll(filepath.Join(dir, emergencyDir)); err != nil { // writing there fails now
		t.Fatal(err)
	}
	e := emergencyStop(t)
	got, err := f.OfferEmergency(sign(t, e, emergency), t0)
	if !errors.Is(err, ErrNotKept) || got.ID != e.ID || len(f.Emergencies()) != 1 {
		t.Fatal(got, err)
	}
	if err := f.Persist(); err == nil {
		t.Fatal("persisted nowhere")
	}
	if err := os.Mkdir(filepath.Join(dir, emergencyDir), 0o700); err != nil {
		t.Fatal(err)
	}
	persist(t, f)
	if len(reopen(t, dir).Emergencies()) != 1 {
		t.Fatal("not kept")
	}
}

func TestBrokenEmergencyFile(t *testing.T) {
	dir := t.TempDir()
	f := reopen(t, dir)
	e := emergencyStop(t)
	if _, err := f.OfferEmergency(sign(t, e, emergency), t0); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"e-0000000000000000": []byte("{"), "e-1111111111111111": f.Signed(e.ID), e.ID + "x.tmp": nil} {
		if err := os.WriteFile(f.emergencyPath(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f = reopen(t, dir)
	if len(f.Emergencies()) != 1 || f.Damage() == nil {
		t.Fatal(f.Emergencies(), f.Damage())
	}
}
