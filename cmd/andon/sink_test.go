package main

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/rogpeppe/go-internal/testscript"

	"andon/sim/sink"
)

// told N ADDRESS: waits until a sink has taken so many messages; what each says is stdout.
func cmdTold(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	until(ts, func() error {
		resp, err := http.Get("http://" + args[1] + "/_sink/requests")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var got struct {
			Requests []sink.Request `json:"requests"`
		}
		if err := json.UnmarshalRead(resp.Body, &got); err != nil {
			return err
		}
		text, n := "", 0
		for _, r := range got.Requests {
			if r.Verified && r.Status/100 == 2 && !r.Again {
				n++
				text += r.Type + " " + string(r.Payload) + "\n"
			}
		}
		if n < want {
			return fmt.Errorf("the sink took %d messages of %d", n, want)
		}
		fmt.Fprint(ts.Stdout(), text)
		return nil
	})
}
