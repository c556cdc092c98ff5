package cli

import "testing"

func TestRestoreSaysWhichStateAndWhereItStands(t *testing.T) {
	const back = `{"to_revision":3,"to_entry":9,"lift":[{"id":"c-1","says":"stop L3 of model sim-large, except org globex"}],"reinstate":[],"change":[],"ended_since":[],"left":[],"revision":7,"done":true}`
	f := newFake(t).on("POST /restore", 200, back).on("GET /corrections/c-1", 200, effectOf("synced", "2026-11-20T12:00:00Z"))
	f.run(t, "restore", "--before", "c-1", "--revision", "3", "--preview").want(t, 2, "give one of them")
	f.run(t, "restore", "--preview").want(t, 2, "which state")
	f.run(t, "restore", "--before", "c-1", "--reason", "r").want(t, 0, "lift        c-1  stop L3 of model sim-large, except org globex", "after 3.2 ms", "undo: andon restore --revision 6")
	f.run(t, "restore", "--before", "c-1", "--reason", "r", "-o", "json").want(t, 0, `"time_to_effect_ms":3.2`, `"undo":"andon restore --revision 6`, `"done":true`)

	late := newFake(t).on("POST /restore", 200, back).on("GET /corrections/c-1", 200, effectOf("sent", ""))
	late.run(t, "restore", "--before", "c-1", "--reason", "r", "--wait", "20ms", "-o", "json").want(t, 4, `"pending":["gw-1 (sent)"]`)
	unknown := newFake(t).on("POST /restore", 200, back)
	unknown.run(t, "restore", "--before", "c-1", "--reason", "r", "-o", "json").want(t, 4, `"exit":4`)
}

func TestAWordTooMany(t *testing.T) {
	f := newFake(t)
	f.run(t, "concern", "status", "cr_x").want(t, 2, `"cr_x" does not belong here`, "andon concern status --receipt")
	f.run(t, "concern", "stattus").want(t, 2, `unknown command "stattus"`, "andon concern status")
}
